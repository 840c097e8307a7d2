"""Parts of which all tables of results are made."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.table import Column, Table
from rich.text import Text

from telco_stream.display.text import format_value, humanize, safe_text

#: Columns after which a name is cut.
_NAME_WIDTH = 26


def field_table(items: Mapping[str, Any]) -> Table:
    """Draw names on the left and values on the right."""
    table = Table(box=None, show_header=False, pad_edge=True)
    table.add_column(style="bold", no_wrap=True, overflow="ellipsis", max_width=_NAME_WIDTH)
    table.add_column(overflow="fold")
    for name, value in items.items():
        table.add_row(safe_text(humanize(name)), safe_text(format_value(name, value)))
    return table


def new_table(*columns: Column, pad_edge: bool = True) -> Table:
    """Return an empty table in the style of all commands."""
    return Table(*columns, box=box.SIMPLE_HEAD, header_style="bold", show_edge=False, pad_edge=pad_edge)


def number_column(title: str) -> Column:
    """Return a column of numbers, which are never cut."""
    return Column(title, justify="right", no_wrap=True, min_width=len(title))


def name_column(title: str, min_width: int | None = None) -> Column:
    """Return a column of untrusted names, of which long ones are cut with an ellipsis."""
    return Column(title, no_wrap=True, overflow="ellipsis", min_width=min_width, max_width=_NAME_WIDTH)


def fit_name_columns(names: Mapping[str, Sequence[str]], width: int) -> list[Column]:
    """Return a column of untrusted names for each heading; the widest are cut until all fit, but no heading is."""
    least = {title: cell_len(title) for title in names}
    widths = {
        title: min(_NAME_WIDTH, max(least[title], *(cell_len(safe_text(text).plain) for text in texts)))
        for title, texts in names.items()
    }
    while sum(widths.values()) > width and (longer := [title for title in names if widths[title] > least[title]]):
        widths[max(longer, key=widths.__getitem__)] -= 1
    return [Column(title, no_wrap=True, overflow="ellipsis", width=widths[title]) for title in names]


def stack(*blocks: RenderableType) -> Group:
    """Return the blocks with an empty line between them."""
    spaced = [part for block in blocks for part in (Text(), block)]
    return Group(*spaced[1:])
