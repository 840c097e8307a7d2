"""Tables about the models topic: published versions, and role changes."""

from collections.abc import Sequence

from rich.console import Group
from rich.table import Column, Table
from rich.text import Text

from telco_stream.display.layout import name_column, new_table, number_column, stack, time_column
from telco_stream.display.text import format_timestamp, format_value, humanize, result_fields, safe_text
from telco_stream.model.results import ChangedRow, ModelComparison
from telco_stream.registry.results import ListedChange, ListedModel, RoleResult
from telco_stream.runtime.humanize import count_of, format_count, format_percent


def model_table(models: Sequence[ListedModel]) -> Table:
    """Draw a row for each version, with its role."""
    time = time_column("Published at (UTC)")
    columns = Column("Version", overflow="fold"), Column("Role"), Column("Workers", overflow="fold")
    table = new_table(*columns, number_column("Bytes"), time, pad_edge=False)
    for model in models:
        size = "missing" if model.bytes is None else format_count(model.bytes)
        published = format_timestamp(model.published_at) if model.published_at else "-"
        role, workers = _role(model.role, model.percent), _workers(model)
        table.add_row(safe_text(model.version), role or "-", workers or "-", size, published)
    return table


def change_table(changes: Sequence[ListedChange]) -> Table:
    """Draw a row for each role change; a change without effect is marked."""
    time = time_column("Time (UTC)")
    columns = (Column("Change"), Column("Version", overflow="fold"), Column("By", overflow="fold"))
    table = new_table(time, *columns, pad_edge=False)
    for change in changes:
        role = f" {_role(change.role, change.percent)}" if change.role != "serving" else ""
        action = f"{change.action}{role}{'' if change.changed else ' (no effect)'}"
        by = safe_text(f"{change.by}: {change.reason}" if change.reason else change.by)
        table.add_row(format_timestamp(change.at), action, safe_text(change.version), by)
    return table


def role_fields(result: RoleResult) -> dict[str, str]:
    """Return what was changed, and the versions by role after it."""
    canary = result.canary and f"{result.canary}, {_percent(result.percent)} of the keys"
    changed = f"{result.action} {result.version}" if result.changed else "nothing"
    roles = {"serving": result.serving or "none", "canary": canary, "shadow": result.shadow}
    return {"changed": changed} | {role: version for role, version in roles.items() if version}


def model_comparison_tables(result: ModelComparison) -> Group:
    """Draw the figures of both models side by side, how many decisions change, and the rows that change most."""
    figures = new_table(Column("Figure"), Column("A", justify="right"), Column("B", justify="right"))
    b = result_fields(result.b)
    for name, value in result_fields(result.a).items():
        figures.add_row(humanize(name), *(safe_text(format_value(name, each)) for each in (value, b[name])))
    up, down = map(format_count, (result.changed_to_positive, result.changed_to_negative))
    decisions = f"{format_count(result.changed_decisions)} of {count_of(result.rows, 'decision')} change"
    decisions = f" {decisions}: {up} to positive, {down} to negative"
    changes = f" Probabilities change by {result.mean_change:+.4f} on average, and by up to {result.largest_change:.4f}"
    said = Group(safe_text(decisions), safe_text(changes))
    return stack(figures, said, *([_changed_rows(result.largest)] if result.largest else []))


def _changed_rows(changed: Sequence[ChangedRow]) -> Table:
    """Draw a row for each changed row, with both probabilities and predictions."""
    table = new_table(name_column("Key"), *map(number_column, ("A", "B")), Column("Prediction"), Column("Label"))
    for row in changed:
        is_same = row.prediction_a == row.prediction_b
        prediction = row.prediction_a if is_same else f"{row.prediction_a} → {row.prediction_b}"
        probabilities = map(format_percent, (row.probability_a, row.probability_b))
        table.add_row(safe_text(row.key), *probabilities, safe_text(prediction), safe_text(row.label))
    return table


def _workers(model: ListedModel) -> Text:
    """Name the workers that accepted the version, and those that rejected it."""
    lines = [*model.accepted_by, *(f"{worker} rejects it" for worker in model.rejected_by)]
    return Text("\n").join(map(safe_text, lines))


def _role(role: str | None, percent: float | None) -> str:
    return (role or "") + ("" if percent is None else f" {_percent(percent)}")


def _percent(percent: float | None) -> str:
    return f"{percent or 0:g}%"
