"""Parts of which all tables of results are made."""

import re
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from typing import Any, Literal

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.table import Column, Table
from rich.text import Text

from telco_stream.display.text import TIME_WIDTH, format_value, humanize, safe_text

#: Style of the tables of all commands.
_STYLE: dict[str, Any] = {"box": box.SIMPLE_HEAD, "header_style": "bold", "show_edge": False}
#: Columns after which a name is cut.
_NAME_WIDTH = 26
#: Columns to which names and headings are cut at most, and names of the first column, by which a row is looked up.
_LEAST_WIDTH, _LEAST_FIRST_WIDTH = 8, 10
#: Columns of a table up to which a word with digits, such as a model version, is on one line.
_NUMBER_WIDTH = 20
#: Columns around a name and its value.
_PADDING = 4
_DIGIT = re.compile(r"\d")
#: Values that are useless in parts: checksums and URLs.
_UNBREAKABLE = re.compile(r"[0-9a-f]{40,}|https?://\S+")


def field_table(items: Mapping[str, Any], label: Callable[[str], str] = humanize) -> RenderableType:
    """Draw names on the left and values on the right; `label` returns the text for a name."""
    return _FieldTable([(label(name), safe_text(format_value(name, value))) for name, value in items.items()])


def new_table(*columns: Column, pad_edge: bool = True) -> Table:
    """Return an empty table in the style of all commands; see `_WholeTable`."""
    return _WholeTable(*columns, **_STYLE, pad_edge=pad_edge)


def number_column(title: str) -> Column:
    """Return a column of numbers, which are never cut; the title can have several lines."""
    return Column(title, justify="right", no_wrap=True, min_width=max(map(len, title.splitlines())))


def name_column(title: str, min_width: int | None = None) -> Column:
    """Return a column of untrusted names, of which long ones are cut with an ellipsis."""
    return Column(title, no_wrap=True, overflow="ellipsis", min_width=min_width, max_width=_NAME_WIDTH)


def time_column(title: str) -> Column:
    """Return a column of times to the second; date and time are below each other if there is no room."""
    return Column(title, min_width=TIME_WIDTH // 2, max_width=TIME_WIDTH)


def stack(*blocks: RenderableType) -> Group:
    """Return the blocks with an empty line between them."""
    spaced = [part for block in blocks for part in (Text(), block)]
    return Group(*spaced[1:])


class _WholeTable(Table):
    """Table in which no number is cut; if its columns do not fit side by side, each row is a block of fields.

    The widest columns become narrower first.
    """

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        rows = list(zip(*(column.cells for column in self.columns), strict=True))
        least = list(map(_least_width, self.columns))
        available = options.max_width - 3 * len(self.columns) + (1 if self.pad_edge else 3)
        if sum(least) > available:
            yield _blocks([column.header for column in self.columns], rows)
            return
        widths = [min(_full_width(column), options.max_width) for column in self.columns]
        _narrow(widths, least, available, range(len(widths)))
        columns = [column.copy() for column in self.columns]
        for column, width in zip(columns, widths, strict=True):
            column.width = width
        table = Table(*columns, **_STYLE, pad_edge=self.pad_edge)
        for row in rows:
            table.add_row(*row)
        yield table


class NamesTable:
    """Table of names and of `numbers`, given by their positions, that fits.

    The widest names are cut first, then headings. Columns of names for which that is not enough are left out, the
    last ones first, and named below the table. If the numbers do not fit either, each row is a block of fields.
    """

    def __init__(self, titles: Sequence[str], rows: Iterable[Sequence[str]], numbers: Container[int]) -> None:
        self._titles = list(map(safe_text, titles))
        self._rows = [list(map(safe_text, row)) for row in rows]
        self._is_number = [column in numbers for column in range(len(titles))]

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        shown, least = self._shown(options.max_width)
        if sum(least) > _available(options.max_width, len(shown)):
            yield _blocks(self._titles, self._rows)
            return
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
        least[self._is_number.index(False)] = _LEAST_FIRST_WIDTH
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
            _narrow(widths, floors, available, cut)
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


def _narrow(widths: list[int], least: Sequence[int], available: int, columns: Sequence[int]) -> None:
    """Make the widest of these columns narrower until all widths fit, or none is above its least width."""
    while sum(widths) > available and (wider := [column for column in columns if widths[column] > least[column]]):
        widths[max(wider, key=widths.__getitem__)] -= 1


def _blocks(titles: Iterable[RenderableType], rows: Iterable[Iterable[RenderableType]]) -> RenderableType:
    """Draw each row as a block of its titles and cells."""
    names = [_one_line(title).plain for title in titles]
    return stack(*(_FieldTable(list(zip(names, map(_one_line, row), strict=True))) for row in rows))


def _cells(column: Column) -> list[Text]:
    return list(map(_text, column.cells))


def _text(cell: RenderableType) -> Text:
    return cell if isinstance(cell, Text) else Text(str(cell))


def _one_line(cell: RenderableType) -> Text:
    return Text(" ").join(_text(cell).split("\n"))


def _full_width(column: Column) -> int:
    """Return the width in which nothing is cut or continued on another line, unless the column limits it."""
    if column.width is not None:
        return column.width
    full = max(_width(cell) for cell in (_text(column.header), *_cells(column)))
    return max(column.min_width or 0, min(full, column.max_width or full))


def _least_width(column: Column) -> int:
    """Return the least width: that of whole numbers, and of whole lines if the column is neither wrapped nor cut."""
    if column.width is not None:
        return column.width
    if column.no_wrap:
        least = _full_width(column) if column.max_width is None else _LEAST_WIDTH
        return min(_full_width(column), max(column.min_width or 0, least))
    numbers = min(_NUMBER_WIDTH, max([0, *map(_number_width, _cells(column))]))
    return max(column.min_width or 0, min(_full_width(column), max(numbers, _LEAST_WIDTH)))


def _width(text: Text) -> int:
    return max([0, *map(cell_len, text.plain.splitlines())])


def _number_width(text: Text) -> int:
    """Return the width of the longest word with a digit, up to that of a name."""
    return min(_NAME_WIDTH, max([0, *(cell_len(word) for word in text.plain.split() if _DIGIT.search(word))]))


class _FieldTable:
    """Rows of a name and a value; a value whose numbers do not fit beside its name is below it.

    A checksum or URL is then neither wrapped nor cut, so that the terminal copies it as one word.
    """

    def __init__(self, rows: Sequence[tuple[str, Text]]) -> None:
        self._rows = [(safe_text(name), value) for name, value in rows]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = min(_NAME_WIDTH, max((name.cell_len for name, _ in self._rows), default=0))
        table = self._table(width)
        for name, value in self._rows:
            left, is_one_word = options.max_width - width - _PADDING, _UNBREAKABLE.fullmatch(value.plain)
            if (value.cell_len if is_one_word else _number_width(value)) <= left:
                table.add_row(name, value)
                continue
            yield table
            table = self._table(width)
            yield Text(f" {name.plain}", "bold")
            if is_one_word:
                yield Text(f"   {value.plain}", no_wrap=True, overflow="ignore")
            else:
                yield Padding(value, (0, 0, 0, 3))
        yield table

    @staticmethod
    def _table(width: int) -> Table:
        table = Table(box=None, show_header=False, pad_edge=True)
        table.add_column(style="bold", no_wrap=True, overflow="ellipsis", width=width)
        table.add_column(overflow="fold")
        return table
