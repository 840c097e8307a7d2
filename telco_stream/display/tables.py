"""Results as tables that fit a terminal of 80 columns. A result without a function of its own gets the general form."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import singledispatch
from typing import Any, TypeVar

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from telco_stream.analytics import AtRisk, Segment, Summary
from telco_stream.display.text import OF_ONE_MODE, count, is_number, percent, percent_of, safe, value_text, words
from telco_stream.report import Report

#: Columns that a name may take before it is cut.
_NAME_WIDTH = 26
#: More columns than any terminal has.
_ANY_WIDTH = 100_000


@singledispatch
def table(result: object) -> RenderableType:
    """What people see of a result: its plain fields, and below them its parts, each with its title."""
    items = {name: value for name, value in _items(result).items() if value is not None or name not in OF_ONE_MODE}
    plain = {name: value for name, value in items.items() if not _is_part(value)}
    blocks: list[RenderableType] = [_pairs(plain)] if plain else []
    for name, value in items.items():
        if _is_part(value):
            blocks += [Text(" ").append_text(safe(words(name), "bold")), _part(value)]
    return Group(*_spaced(blocks))


Rows = TypeVar("Rows", bound=Callable[..., RenderableType])
#: Listings that have a form of their own, by the type of their rows.
_OWN_FORM: dict[type, Callable[[Sequence[Any]], RenderableType]] = {}


def lists(kind: type) -> Callable[[Rows], Rows]:
    """Marks the function that draws a listing of such rows."""

    def register(draw: Rows) -> Rows:
        _OWN_FORM[kind] = draw
        return draw

    return register


def listing(rows: Sequence[Any]) -> RenderableType:
    """What people see of several results of one type, of which there is at least one."""
    return _OWN_FORM.get(type(rows[0]), Listing)(rows)


class Listing:
    """Results of one type: a row each where the columns fit side by side, else a block each, so that nothing is cut."""

    def __init__(self, rows: Sequence[object]) -> None:
        self._rows = [_items(row) for row in rows]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        grid = self._grid()
        if Measurement.get(console, options.update(max_width=_ANY_WIDTH), grid).maximum <= options.max_width:
            yield grid
            return
        yield from _spaced([_pairs(row) for row in self._rows])

    def _grid(self) -> Table:
        grid = _grid()
        for name in self._rows[0]:
            numbers = all(row.get(name) is None or is_number(row[name]) for row in self._rows)
            grid.add_column(words(name), justify="right" if numbers else "left", overflow="fold")
        for row in self._rows:
            grid.add_row(*(safe(value_text(name, value)) for name, value in row.items()))
        return grid


@table.register
def _(result: Report) -> RenderableType:
    return table(result.summary)


@table.register
def _(result: Summary) -> RenderableType:
    if not result.total:
        return _totals(result)
    blocks = [
        _totals(result),
        _segments("Contract", result.by_contract),
        _segments("Internet service", result.by_internet_service),
    ]
    return Group(*_spaced([*blocks, _top(result.top)] if result.top else blocks))


def _spaced(blocks: Sequence[RenderableType]) -> Iterator[RenderableType]:
    """The blocks with an empty line before each but the first."""
    for place, block in enumerate(blocks):
        if place:
            yield Text()
        yield block


def _totals(result: Summary) -> Table:
    grid = _grid()
    for title in ("Predictions", "Customers", "Churners", "Churn rate", "Mean probability"):
        grid.add_column(title, justify="right")
    grid.add_row(
        count(result.total),
        count(result.customers),
        count(result.churners),
        percent_of(result.churn_rate, result.total),
        percent_of(result.mean_probability, result.total),
    )
    return grid


def _segments(title: str, segments: Mapping[str, Segment]) -> Table:
    grid = _grid()
    _name_column(grid, title, min_width=16)
    for heading in ("Predictions", "Churners", "Churn rate"):
        grid.add_column(heading, justify="right", no_wrap=True)
    for name, segment in segments.items():
        grid.add_row(safe(name), count(segment.total), count(segment.churners), percent(segment.churn_rate))
    return grid


def _top(customers: Sequence[AtRisk]) -> Table:
    grid = _grid()
    grid.add_column("#", justify="right", no_wrap=True)
    _name_column(grid, "Customer at risk", min_width=16)
    grid.add_column("Probability", justify="right", no_wrap=True)
    _name_column(grid, "Contract")
    _name_column(grid, "Internet service")
    for place, one in enumerate(customers, 1):
        probability = percent(one.churn_probability)
        grid.add_row(count(place), safe(one.customerID), probability, safe(one.Contract), safe(one.InternetService))
    return grid


def _name_column(grid: Table, title: str, min_width: int | None = None) -> None:
    """A column of names from outside, cut with an ellipsis where they are long."""
    grid.add_column(title, no_wrap=True, overflow="ellipsis", min_width=min_width, max_width=_NAME_WIDTH)


def _grid() -> Table:
    return Table(box=box.SIMPLE_HEAD, header_style="bold", show_edge=False)


def _pairs(items: Mapping[str, Any]) -> Table:
    """Names on the left, values on the right."""
    grid = Table(box=None, show_header=False, pad_edge=True)
    grid.add_column(style="bold", no_wrap=True, overflow="ellipsis", max_width=_NAME_WIDTH)
    grid.add_column(overflow="fold")
    for name, value in items.items():
        grid.add_row(safe(words(name)), safe(value_text(name, value)))
    return grid


def _part(value: Any) -> RenderableType:  # noqa: ANN401 - any result's field
    if isinstance(value, (list, tuple)):
        return listing(value)
    return table(value)


def _is_part(value: object) -> bool:
    """Whether a field is a table in itself: a result, a mapping of several kinds, or a list of either."""
    if isinstance(value, (list, tuple)):
        return bool(value) and all(is_dataclass(one) or isinstance(one, Mapping) for one in value)
    if isinstance(value, Mapping):
        return any(not is_number(one) for one in value.values())
    return is_dataclass(value)


def _items(result: object) -> dict[str, Any]:
    if isinstance(result, Mapping):
        return {str(key): value for key, value in result.items()}
    if is_dataclass(result):
        return {field.name: getattr(result, field.name) for field in fields(result)}
    return {"value": result}
