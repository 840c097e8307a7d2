"""Tables of the reasons of predictions."""

from collections.abc import Mapping, Sequence

from rich.console import RenderableType
from rich.table import Column

from telco_stream.display.layout import new_table, number_column, stack
from telco_stream.display.text import format_value, safe_text
from telco_stream.messages.prediction import Reason, reasons_of
from telco_stream.model.reasons.sentences import Sentences
from telco_stream.report.lookup import Lookup


def lookup_reasons(lookup: Lookup) -> RenderableType | None:
    """Draw the reasons of the newest prediction that has any; None without one."""
    for found in lookup.predictions:
        if reasons := reasons_of(found.prediction):
            title = "Reasons of the newest prediction" if found is lookup.predictions[0] else "Newest reasons"
            return reasons_table(f"{title}, in log-odds", reasons, lookup.sentences)
    return None


def reasons_table(title: str, reasons: Sequence[Reason], sentences: Mapping[str, Sentences]) -> RenderableType:
    """Draw a row for each reason: its effect, the feature, the value if it is known, and the sentence about it."""
    has_values = any(reason.has_value for reason in reasons)
    columns = [number_column("Effect"), Column("Feature", overflow="fold")]
    columns += [Column("Value", overflow="fold")] if has_values else []
    table = new_table(*columns, Column("Meaning", overflow="fold"), pad_edge=False)
    for reason in reasons:
        sentence = sentences[reason.feature].about(reason.contribution) if reason.feature in sentences else ""
        value = [] if not has_values else [format_value(reason.feature, reason.value) if reason.has_value else ""]
        table.add_row(f"{reason.contribution:+.2f}", *map(safe_text, (reason.feature, *value, sentence)))
    return stack(safe_text(title, "bold"), table)
