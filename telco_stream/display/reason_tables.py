"""Tables of the reasons of predictions."""

from collections.abc import Mapping, Sequence

from rich.console import RenderableType
from rich.table import Column
from rich.text import Text

from telco_stream.display.layout import field_table, new_table, number_column, stack
from telco_stream.display.text import format_value, safe_text
from telco_stream.messages.prediction import APPROXIMATE, APPROXIMATE_MARK, Reason, reasons_of
from telco_stream.model.reasons.sentences import Sentences, sentence_about
from telco_stream.report.explanation import Effect, Explanation, WhatIf
from telco_stream.report.lookup import Lookup
from telco_stream.runtime.humanize import format_percent

#: Smallest difference of an effect that two digits show.
_VISIBLE = 0.005


def lookup_reasons(lookup: Lookup) -> RenderableType | None:
    """Draw the reasons of the newest prediction that has any; None without one."""
    for found in lookup.predictions:
        if reasons := reasons_of(found.prediction):
            title = "Reasons of the newest prediction" if found is lookup.predictions[0] else "Newest reasons"
            if found.prediction.reasons_approximate is True:
                title = f"Approximate {title[0].lower()}{title[1:]}"
            has_values = all(reason.has_value for reason in reasons)
            return reasons_table(f"{title}, in log-odds", reasons, lookup.sentences, has_values=has_values)
    return None


def reason_column(labels: Sequence[str | None]) -> tuple[str, list[str]]:
    """Return the title and the cells of a column of main reasons; if all are approximate, only the title says so."""
    known = [label for label in labels if label]
    if known and all(label.endswith(APPROXIMATE_MARK) for label in known):
        return "Approximate reason", [(label or "").removesuffix(APPROXIMATE_MARK) for label in labels]
    return "Main reason", [label or "" for label in labels]


def reasons_table(
    title: str, reasons: Sequence[Reason | Effect], sentences: Mapping[str, Sentences], *, has_values: bool
) -> RenderableType:
    """Draw a row for each reason: its effect, the feature, the value if they have any, and the sentence about it."""
    columns = [number_column("Effect"), Column("Feature", overflow="fold")]
    columns += [Column("Value", overflow="fold")] if has_values else []
    table = new_table(*columns, Column("Meaning", overflow="fold"), pad_edge=False)
    for reason in reasons:
        sentence = sentence_about(sentences, reason.feature, reason.contribution)
        value = [format_value(reason.feature, reason.value)] if has_values else []
        table.add_row(f"{reason.contribution:+.2f}", *map(safe_text, (reason.feature, *value, sentence)))
    return stack(safe_text(title, "bold"), table)


def explanation_tables(explanation: Explanation, sentences: Mapping[str, Sentences]) -> RenderableType:
    """Draw a recorded prediction, the answer computed again, and the reasons."""
    fields: dict[str, object] = {
        "Key": explanation.key,
        "Record": explanation.source,
        "Model": f"{explanation.model_version} ({explanation.engine})",
        "Probability": format_percent(explanation.probability),
        "Prediction": explanation.prediction,
        "Computed again": "the same, to the last bit" if explanation.reproduced else "; ".join(explanation.differences),
    }
    if explanation.recorded.get(APPROXIMATE) and explanation.reasons:
        fields["Its reasons"] = "approximate; these are exact"
    blocks: list[RenderableType] = [field_table(fields, label=str)]
    if explanation.reasons:
        title = f"Reasons in log-odds, from {explanation.base:+.2f} on average to {_total(explanation):+.2f}"
        blocks.append(reasons_table(title, explanation.reasons, sentences, has_values=True))
    else:
        blocks.append(Text("The model has no exact reasons: telco-stream model show says why"))
    if explanation.what_if is not None:
        blocks.append(_what_if_table(explanation, explanation.what_if))
    return stack(*blocks)


def _total(explanation: Explanation) -> float:
    return (explanation.base or 0.0) + sum(reason.contribution for reason in explanation.reasons)


def _what_if_table(explanation: Explanation, what_if: WhatIf) -> RenderableType:
    """Draw the effects of the changes: values, probability, prediction, and the effects of the features."""
    table = new_table(Column("", overflow="fold"), number_column("Now"), number_column("Changed"), pad_edge=False)
    for name, value in what_if.changes.items():
        table.add_row(*map(safe_text, (name, format_value(name, explanation.record[name]), format_value(name, value))))
    table.add_row("Probability", format_percent(explanation.probability), format_percent(what_if.probability))
    table.add_row("Prediction", safe_text(explanation.prediction), safe_text(what_if.prediction))
    before = {reason.feature: reason.contribution for reason in explanation.reasons}
    moved = [reason for reason in what_if.reasons if abs(reason.contribution - before[reason.feature]) >= _VISIBLE]
    for reason in moved:
        label = safe_text(f"Effect of {reason.feature}")
        table.add_row(label, f"{before[reason.feature]:+.2f}", f"{reason.contribution:+.2f}")
    return stack(Text("What if", "bold"), table)
