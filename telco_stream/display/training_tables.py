"""Tables about a training or an import: models and engines that were tried, and the replaced model and the new one."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Column

from telco_stream.display.layout import new_table, number_column
from telco_stream.display.text import format_value, humanize, safe_text
from telco_stream.model.manifest import Candidate, EngineReport
from telco_stream.model.results import ReplacedModel

#: Microseconds from which on tenths are left out.
_WHOLE = 100.0


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
    return Group(source, table, *(safe_text(f" {each.name}, {each.settings}: {each.refused}") for each in refused))


def engine_table(engines: Sequence[EngineReport]) -> RenderableType:
    """Draw a row for each engine that could run a model, and below them why engines were rejected."""
    columns = [Column("Engine", no_wrap=True), *map(number_column, ("Difference", "Decisions", "1", "50", "5,000"))]
    table = new_table(*columns, Column("Outcome", no_wrap=True))
    for engine in engines:
        decisions = "-" if engine.decisions_differing is None else f"{engine.decisions_differing:,}"
        times = map(_microseconds, (engine.us_1, engine.us_50, engine.us_5000))
        outcome = "serves" if engine.serves else "rejected" if engine.rejected else "equal"
        difference = _figure(engine.max_difference, ".1e")
        table.add_row(safe_text(engine.name), difference, decisions, *times, outcome)
    rejected = [engine for engine in engines if engine.rejected]
    source = safe_text(" Differences from the original; microseconds per row, by size of the batch:")
    return Group(source, table, *(safe_text(f" {each.name}: {each.rejected}") for each in rejected))


def replaced_table(model: ReplacedModel) -> RenderableType:
    """Draw the metrics of a replaced model beside those of the new one."""
    table = new_table(Column("Metric"), number_column("Old"), number_column("New"))
    for name, values in model.metrics.items():
        table.add_row(humanize(name), format_value(name, values.old), format_value(name, values.new))
    note = "on the same data" if model.same_data else "on other data, which can make figures differ"
    return Group(safe_text(f" Old: {model.version}, measured {note}"), table)


def _microseconds(number: float | None) -> str:
    return _figure(number, ",.1f" if number is None or number < _WHOLE else ",.0f")


def _figure(number: float | None, form: str) -> str:
    return "-" if number is None else format(number, form)
