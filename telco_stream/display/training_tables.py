"""Tables about a training: the models that were tried, and the replaced model beside the new one."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Column

from telco_stream.display.layout import new_table, number_column
from telco_stream.display.text import format_value, humanize, safe_text
from telco_stream.model.manifest import Candidate
from telco_stream.model.results import ReplacedModel


def candidate_table(candidates: Sequence[Candidate]) -> RenderableType:
    """Draw a row for each model that was tried, in the order of the trials, and below them why models were refused."""
    columns = [
        Column("Model", no_wrap=True),
        Column("Settings"),
        *map(number_column, ("Log loss", "AUC", "Difference")),
    ]
    table = new_table(*columns, Column("Outcome", no_wrap=True))
    for candidate in candidates:
        scores = (_figure(candidate.log_loss, ".4f"), _figure(candidate.roc_auc, ".4f"))
        difference = _figure(candidate.max_difference, ".1e")
        outcome = "kept" if candidate.kept else "refused" if candidate.refused else "not kept"
        table.add_row(safe_text(candidate.name), safe_text(candidate.settings), *scores, difference, outcome)
    refused = [candidate for candidate in candidates if candidate.refused]
    source = safe_text(" In the first repeat of the cross-validation, and after compilation:")
    return Group(source, table, *(safe_text(f" {one.name}, {one.settings}: {one.refused}") for one in refused))


def replaced_table(model: ReplacedModel) -> RenderableType:
    """Draw the metrics of a replaced model beside those of the new one."""
    table = new_table(Column("Metric"), number_column("Old"), number_column("New"))
    for name, values in model.metrics.items():
        table.add_row(humanize(name), format_value(name, values.old), format_value(name, values.new))
    note = "on the same data" if model.same_data else "on other data, which can make figures differ"
    return Group(safe_text(f" Old: {model.version}, measured {note}"), table)


def _figure(number: float | None, form: str) -> str:
    return "-" if number is None else format(number, form)
