"""Parts of the live view as plain lines of text, which take a quarter of the CPU time of rich's tables."""

from collections.abc import Iterable, Sequence
from itertools import zip_longest

from rich.cells import cell_len
from rich.text import Text

from telco_stream.runtime.humanize import escape_unprintable

_LABEL_WIDTH, _NUMBER_WIDTH = 14, 12
_EIGHTHS = "▏▎▍▌▋▊▉█"
_LEVELS = "▁▂▃▄▅▆▇█"


def rule(width: int, left: str, right: Text | None = None) -> Text:
    """Draw a horizontal line with text at both ends."""
    line = Text("── " if left else "", "dim").append(f"{left} " if left else "", "not dim bold")
    end = Text(" ", "dim").append_text(right).append(" ──") if right else Text("", "dim")
    line.append("─" * max(0, width - line.cell_len - end.cell_len))
    return _crop(line.append_text(end), width)


def number_field(label: str, number: str, *details: Text, style: str = "bold") -> Text:
    """Draw a label, its number in `style`, and details."""
    line = Text("  ").append(label.ljust(_LABEL_WIDTH), "dim").append(number.rjust(_NUMBER_WIDTH), style)
    for detail in details:
        line.append("   ").append_text(detail)
    return line


def table_row(cells: Sequence[tuple[str, str]], widths: Sequence[int]) -> Text:
    """Draw cells, each an untrusted text and its style, side by side and cut to the widths."""
    line = Text("  ")
    for (text, style), width in zip(cells, widths, strict=True):
        cell = Text(escape_unprintable(text), style)
        cell.truncate(width, overflow="ellipsis", pad=True)
        line.append_text(cell).append("  ")
    return line


def fit_words(text: str, width: int) -> str:
    """Return the untrusted text escaped, or as many of its first words as fit into the columns, and an ellipsis."""
    text = escape_unprintable(text)
    words = text.split(" ")
    while cell_len(text) > width and len(words) > 1:
        words.pop()
        text = " ".join(words) + "…"
    return text


def bar(share: float, width: int) -> str:
    """Draw a share from 0 to 1 as a bar, in eighths of a column."""
    eighths = round(max(0.0, min(1.0, share)) * width * 8)
    return "█" * (eighths // 8) + (_EIGHTHS[eighths % 8 - 1] if eighths % 8 else "")


def progress_bar(share: float, width: int) -> Text:
    """Draw a share from 0 to 1 as a line of full width, its part that is done in green."""
    filled = round(max(0.0, min(1.0, share)) * width)
    return Text().append("━" * filled, "green").append("━" * (width - filled), "dim")


def sparkline(values: Iterable[float], width: int) -> str:
    """Draw the last values as columns relative to the highest of them."""
    shown = list(values)[-width:]
    highest = max(shown, default=0.0) or 1.0
    return "".join(_LEVELS[min(7, int(value / highest * 7.99))] for value in shown)


def join_lines(lines: Iterable[Text], width: int) -> Text:
    """Join the lines to one text, each cut to the width."""
    return Text("\n", no_wrap=True).join(_crop(line, width) for line in lines)


def join_columns(left: Sequence[Text], right: Sequence[Text], start: int) -> list[Text]:
    """Put two blocks of lines side by side, the right one from column `start` on."""
    lines = []
    for left_line, right_line in zip_longest(left, right, fillvalue=Text()):
        line = left_line.copy()
        line.truncate(start, pad=True)
        lines.append(line.append_text(right_line))
    return lines


def _crop(line: Text, width: int) -> Text:
    if line.cell_len > width:
        line.truncate(width, overflow="crop")
    return line
