"""Tables about the models topic: published versions, and role changes."""

from collections.abc import Sequence

from rich.table import Column, Table

from telco_stream.display.layout import new_table, number_column
from telco_stream.display.text import TIME_WIDTH, format_timestamp, safe_text
from telco_stream.registry.results import ListedChange, ListedModel, RoleResult
from telco_stream.runtime.humanize import format_count


def model_table(models: Sequence[ListedModel]) -> Table:
    """Draw a row for each version, with its role."""
    time = Column("Published at (UTC)", no_wrap=True, max_width=TIME_WIDTH)
    table = new_table(Column("Version", overflow="fold"), Column("Role"), number_column("Bytes"), time, pad_edge=False)
    for model in models:
        size = "missing" if model.bytes is None else format_count(model.bytes)
        published = format_timestamp(model.published_at) if model.published_at else "-"
        table.add_row(safe_text(model.version), _role(model.role, model.percent) or "-", size, published)
    return table


def change_table(changes: Sequence[ListedChange]) -> Table:
    """Draw a row for each role change; a change without effect is marked."""
    time = Column("Time (UTC)", min_width=TIME_WIDTH // 2, max_width=TIME_WIDTH)  # two lines if narrow
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
    done = f"{result.action} {result.version}" if result.changed else "nothing"
    roles = {"serving": result.serving or "none", "canary": canary, "shadow": result.shadow}
    return {"changed": done} | {role: version for role, version in roles.items() if version}


def _role(role: str | None, percent: float | None) -> str:
    return (role or "") + ("" if percent is None else f" {_percent(percent)}")


def _percent(percent: float | None) -> str:
    return f"{percent or 0:g} %"
