"""Parts of which all tables of results are made."""

import re
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from typing import Any, Literal

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Column, Table
from rich.text import Text

from telco_stream.display.text import format_value, humanize, safe_text

#: Columns after which a name is cut.
_NAME_WIDTH = 26
#: Columns to which names and headings are cut at most.
_LEAST_WIDTH = 8
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
    """Table of names and of `numbers`, given by their positions, that fits.

    The widest names are cut first, then headings. Columns of names for which that is not enough are left out, the
    last ones first, and named below the table.
    """

    def __init__(self, titles: Sequence[str], rows: Iterable[Sequence[str]], numbers: Container[int]) -> None:
        self._titles = list(map(safe_text, titles))
        self._rows = [list(map(safe_text, row)) for row in rows]
        self._is_number = [column in numbers for column in range(len(titles))]

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        shown, least = self._shown(options.max_width)
        table = new_table(*map(self._column, shown, self._widths(shown, least, options.max_width)))
        for row in self._rows:
            table.add_row(*(row[column] for column in shown))
        yield table
        hidden = [title.plain for column, title in enumerate(self._titles) if column not in shown]
        if hidden:
            yield Text(f" Too narrow for {', '.join(hidden)}.", "dim", no_wrap=True, overflow="ellipsis")

    def _shown(self, columns: int) -> tuple[list[int], list[int]]:
        """Return the columns that fit if their names and headings are cut, and their least widths."""
        shown = list(range(len(self._titles)))
        least = [self._contents(column) if number else 0 for column, number in enumerate(self._is_number)]
        least = [min(max(width, _LEAST_WIDTH), self._full(column)) for column, width in enumerate(least)]
        while sum(least[column] for column in shown) > _available(columns, len(shown)):
            names = [column for column in shown if not self._is_number[column]]
            if len(names) <= 1:
                break
            shown.remove(names[-1])
        return shown, [least[column] for column in shown]

    def _widths(self, shown: Sequence[int], least: Sequence[int], columns: int) -> list[int]:
        widths, available = list(map(self._full, shown)), _available(columns, len(shown))
        headings = [min(_NAME_WIDTH, self._titles[column].cell_len) for column in shown]
        whole = [max(low, heading) for low, heading in zip(least, headings, strict=True)]
        names = [n for n, column in enumerate(shown) if not self._is_number[column]]
        for floors, cut in ((whole, names), (least, names), (least, range(len(shown)))):
            while sum(widths) > available and (longer := [n for n in cut if widths[n] > floors[n]]):
                widths[max(longer, key=widths.__getitem__)] -= 1
        return widths

    def _full(self, column: int) -> int:
        """Return the width of a column in which nothing but long names and headings is cut."""
        contents, heading = self._contents(column), min(_NAME_WIDTH, self._titles[column].cell_len)
        return max(heading, contents if self._is_number[column] else min(_NAME_WIDTH, contents))

    def _contents(self, column: int) -> int:
        return max([0, *(row[column].cell_len for row in self._rows)])

    def _column(self, column: int, width: int) -> Column:
        justify: Literal["left", "right"] = "right" if self._is_number[column] else "left"
        return Column(self._titles[column], justify=justify, no_wrap=True, overflow="ellipsis", width=width)


def _available(columns: int, number: int) -> int:
    """Return the columns of a terminal for the contents: three are between cells, one is at each end."""
    return columns - 3 * number + 1


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
