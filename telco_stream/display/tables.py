"""Results as tables that fit a terminal of 80 columns, some of them in a form for their type."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import singledispatch
from typing import Any, TypeVar

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from telco_stream.display.text import OPTIONAL_FIELDS, format_value, humanize, is_number, safe_text
from telco_stream.report.analytics import AtRisk, Segment, Summary
from telco_stream.report.predictions import Report
from telco_stream.runtime.humanize import format_count, format_percent

#: Columns after which a name is cut.
_NAME_WIDTH = 26
#: More columns than any terminal has.
_UNLIMITED_WIDTH = 100_000


@singledispatch
def result_table(result: object) -> RenderableType:
    """Draw a result's plain fields, and below them its nested results, each under its name."""
    items = {name: value for name, value in _items(result).items() if value is not None or name not in OPTIONAL_FIELDS}
    plain = {name: value for name, value in items.items() if not _is_nested(value)}
    blocks: list[RenderableType] = [_field_table(plain)] if plain else []
    for name, value in items.items():
        if _is_nested(value):
            nested = rows_table(value) if isinstance(value, (list, tuple)) else result_table(value)
            blocks += [Text(" ").append_text(safe_text(humanize(name), "bold")), nested]
    return Group(*_separated(blocks))


Draw = TypeVar("Draw", bound=Callable[..., RenderableType])
_LIST_TABLES: dict[type, Callable[[Sequence[Any]], RenderableType]] = {}


def list_table(row_type: type) -> Callable[[Draw], Draw]:
    """Register the decorated function to draw rows of a type."""

    def register(draw: Draw) -> Draw:
        _LIST_TABLES[row_type] = draw
        return draw

    return register


def rows_table(rows: Sequence[Any]) -> RenderableType:
    """Draw one or more results of the same type."""
    return _LIST_TABLES.get(type(rows[0]), ResultList)(rows)


class ResultList:
    """Results of one type: a row each if the columns fit side by side, otherwise a block each, so nothing is cut."""

    def __init__(self, rows: Sequence[object]) -> None:
        self._rows = [_items(row) for row in rows]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        table = self._table()
        width = Measurement.get(console, options.update(max_width=_UNLIMITED_WIDTH), table).maximum
        if width <= options.max_width:
            yield table
        else:
            yield from _separated([_field_table(row) for row in self._rows])

    def _table(self) -> Table:
        table = new_table()
        for name in self._rows[0]:
            is_numeric = all(row.get(name) is None or is_number(row[name]) for row in self._rows)
            table.add_column(humanize(name), justify="right" if is_numeric else "left", overflow="fold")
        for row in self._rows:
            table.add_row(*(safe_text(format_value(name, value)) for name, value in row.items()))
        return table


def new_table(*, pad_edge: bool = True) -> Table:
    """Return an empty table in the style of all commands."""
    return Table(box=box.SIMPLE_HEAD, header_style="bold", show_edge=False, pad_edge=pad_edge)


@result_table.register
def _(result: Report) -> RenderableType:
    return result_table(result.summary)


@result_table.register
def _(result: Summary) -> RenderableType:
    if not result.total:
        return _totals_table(result)
    blocks = [
        _totals_table(result),
        _segment_table("Contract", result.by_contract),
        _segment_table("Internet service", result.by_internet_service),
    ]
    return Group(*_separated([*blocks, _customer_table(result.top)] if result.top else blocks))


def _separated(blocks: Sequence[RenderableType]) -> Iterator[RenderableType]:
    """Yield the blocks with an empty line between them."""
    for number, block in enumerate(blocks):
        if number:
            yield Text()
        yield block


def _totals_table(result: Summary) -> Table:
    table = new_table()
    for title in ("Predictions", "Customers", "Churners", "Churn rate", "Mean probability"):
        table.add_column(title, justify="right")
    table.add_row(
        format_count(result.total),
        format_count(result.customers),
        format_count(result.churners),
        format_percent(result.churn_rate if result.total else None),
        format_percent(result.mean_probability if result.total else None),
    )
    return table


def _segment_table(title: str, segments: Mapping[str, Segment]) -> Table:
    table = new_table()
    _add_name_column(table, title, min_width=16)
    for heading in ("Predictions", "Churners", "Churn rate"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, segment in segments.items():
        counts = format_count(segment.total), format_count(segment.churners)
        table.add_row(safe_text(name), *counts, format_percent(segment.churn_rate))
    return table


def _customer_table(customers: Sequence[AtRisk]) -> Table:
    table = new_table()
    table.add_column("#", justify="right", no_wrap=True)
    _add_name_column(table, "Customer at risk", min_width=16)
    table.add_column("Probability", justify="right", no_wrap=True)
    _add_name_column(table, "Contract")
    _add_name_column(table, "Internet service")
    for rank, customer in enumerate(customers, 1):
        table.add_row(
            format_count(rank),
            safe_text(customer.customerID),
            format_percent(customer.churn_probability),
            safe_text(customer.Contract),
            safe_text(customer.InternetService),
        )
    return table


def _add_name_column(table: Table, title: str, min_width: int | None = None) -> None:
    """Add a column of untrusted names, of which long ones are cut with an ellipsis."""
    table.add_column(title, no_wrap=True, overflow="ellipsis", min_width=min_width, max_width=_NAME_WIDTH)


def _field_table(items: Mapping[str, Any]) -> Table:
    """Draw names on the left and values on the right."""
    table = Table(box=None, show_header=False, pad_edge=True)
    table.add_column(style="bold", no_wrap=True, overflow="ellipsis", max_width=_NAME_WIDTH)
    table.add_column(overflow="fold")
    for name, value in items.items():
        table.add_row(safe_text(humanize(name)), safe_text(format_value(name, value)))
    return table


def _is_nested(value: object) -> bool:
    """Return whether a field is drawn as a table: a result, a mapping of mixed values, or a list of either."""
    if isinstance(value, (list, tuple)):
        return bool(value) and all(is_dataclass(item) or isinstance(item, Mapping) for item in value)
    if isinstance(value, Mapping):
        return any(not is_number(item) for item in value.values())
    return is_dataclass(value)


def _items(result: object) -> dict[str, Any]:
    if isinstance(result, Mapping):
        return {str(key): value for key, value in result.items()}
    if is_dataclass(result):
        return {field.name: getattr(result, field.name) for field in fields(result)}
    return {"value": result}
