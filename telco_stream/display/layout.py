"""Parts of which all tables of results are made."""

import re
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from typing import Any, Literal

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Column, Table
from rich.text import Text

from telco_stream.display.text import format_value, humanize, safe_text

#: Columns after which a name is cut.
_NAME_WIDTH = 26
#: Columns around a name and its value.
_PADDING = 4
#: Values that are useless in parts: checksums and URLs.
_UNBREAKABLE = re.compile(r"[0-9a-f]{40,}|https?://\S+")


def field_table(items: Mapping[str, Any], label: Callable[[str], str] = humanize) -> RenderableType:
    """Draw names on the left and values on the right; `label` returns the text for a name."""
    return _FieldTable([(label(name), safe_text(format_value(name, value))) for name, value in items.items()])


def new_table(*columns: Column, pad_edge: bool = True) -> Table:
    """Return an empty table in the style of all commands."""
    return Table(*columns, box=box.SIMPLE_HEAD, header_style="bold", show_edge=False, pad_edge=pad_edge)


def number_column(title: str) -> Column:
    """Return a column of numbers, which are never cut."""
    return Column(title, justify="right", no_wrap=True, min_width=len(title))


def name_column(title: str, min_width: int | None = None) -> Column:
    """Return a column of untrusted names, of which long ones are cut with an ellipsis."""
    return Column(title, no_wrap=True, overflow="ellipsis", min_width=min_width, max_width=_NAME_WIDTH)


def stack(*blocks: RenderableType) -> Group:
    """Return the blocks with an empty line between them."""
    spaced = [part for block in blocks for part in (Text(), block)]
    return Group(*spaced[1:])


class NamesTable:
    """Table of names and `numbers` (titles) that fits: the widest names are cut; headings and numbers are whole."""

    def __init__(self, titles: Sequence[str], rows: Iterable[Sequence[str]], numbers: Container[str]) -> None:
        self._titles = titles
        self._rows = [list(map(safe_text, row)) for row in rows]
        self._numbers = numbers

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        table = new_table(*map(self._column, self._titles, self._widths(options.max_width)))
        for row in self._rows:
            table.add_row(*row)
        yield table

    def _widths(self, columns: int) -> list[int]:
        least = [min(_NAME_WIDTH, cell_len(title)) for title in self._titles]
        widths = [max([low, *(row[n].cell_len for row in self._rows)]) for n, low in enumerate(least)]
        names = [n for n, title in enumerate(self._titles) if title not in self._numbers]
        for name in names:
            widths[name] = min(_NAME_WIDTH, widths[name])
        available = columns - 3 * len(widths) + 1  # three columns between cells, one at each end
        while sum(widths) > available and (longer := [name for name in names if widths[name] > least[name]]):
            widths[max(longer, key=widths.__getitem__)] -= 1
        return widths

    def _column(self, title: str, width: int) -> Column:
        justify: Literal["left", "right"] = "right" if title in self._numbers else "left"
        return Column(title, justify=justify, no_wrap=True, overflow="ellipsis", width=width)


class _FieldTable:
    """Rows of a name and a value; a checksum or URL that does not fit is on a line below its name.

    That line is neither wrapped nor cut, so that the terminal copies it as one word.
    """

    def __init__(self, rows: Sequence[tuple[str, Text]]) -> None:
        self._rows = [(safe_text(name), value) for name, value in rows]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = min(_NAME_WIDTH, max((name.cell_len for name, _ in self._rows), default=0))
        table = self._table(width)
        for name, value in self._rows:
            if width + value.cell_len + _PADDING > options.max_width and _UNBREAKABLE.fullmatch(value.plain):
                yield table
                table = self._table(width)
                yield Text(f" {name.plain}", "bold")
                yield Text(f"   {value.plain}", no_wrap=True, overflow="ignore")
            else:
                table.add_row(name, value)
        yield table

    @staticmethod
    def _table(width: int) -> Table:
        table = Table(box=None, show_header=False, pad_edge=True)
        table.add_column(style="bold", no_wrap=True, overflow="ellipsis", width=width)
        table.add_column(overflow="fold")
        return table
