"""What the pictures of running commands are made of: lines of plain text, which cost a quarter of rich's tables."""

from collections.abc import Iterable, Sequence

from rich.text import Text

from telco_stream.display.text import count, percent, visible

_LABEL, _NUMBER = 14, 12
#: From here on rates have no decimal.
_WHOLE = 100
_EIGHTHS = "▏▎▍▌▋▊▉█"
_LEVELS = "▁▂▃▄▅▆▇█"


def rule(width: int, left: str, right: Text | None = None) -> Text:
    """A line across, words on it at both ends."""
    line = Text("── " if left else "", "dim").append(f"{left} " if left else "", "not dim bold")
    end = Text(" ", "dim").append_text(right).append(" ──") if right else Text("", "dim")
    line.append("─" * max(0, width - line.cell_len - end.cell_len))
    return _cropped(line.append_text(end), width)


def field(label: str, number: str, *more: tuple[str, str] | str, style: str = "bold") -> Text:
    """A label, its number, and what there is to say of it."""
    line = Text("  ").append(label.ljust(_LABEL), "dim").append(number.rjust(_NUMBER), style)
    for one in more:
        words, how = (one, "") if isinstance(one, str) else one
        line.append("   ").append(words, how)
    return line


def row(cells: Sequence[tuple[str, str]], widths: Sequence[int]) -> Text:
    """Cells beside each other, each a text and its style, cut to its width; safe for whatever strangers wrote."""
    line = Text("  ")
    for (text, style), width in zip(cells, widths, strict=True):
        cell = Text(visible(text), style)
        cell.truncate(width, overflow="ellipsis", pad=True)
        line.append_text(cell).append("  ")
    return line


def bar(share: float, width: int) -> str:
    """A share from 0 to 1 as a bar of at most that width, in eighths of a column."""
    eighths = round(max(0.0, min(1.0, share)) * width * 8)
    return "█" * (eighths // 8) + (_EIGHTHS[eighths % 8 - 1] if eighths % 8 else "")


def way(share: float, width: int, left: str) -> Text:
    """How far something has come, from 0 to 1, and what is left."""
    done = round(max(0.0, min(1.0, share)) * width)
    line = field("Done", percent(share)).append("   ").append("━" * done, "green").append("━" * (width - done), "dim")
    return line.append(f"   {left}" if left else "", "dim")


def sparks(values: Iterable[float], most: int) -> str:
    """The newest of these as columns, the highest one full."""
    shown = list(values)[-most:]
    highest = max(shown, default=0.0) or 1.0
    return "".join(_LEVELS[min(7, int(one / highest * 7.99))] for one in shown)


def clock(seconds: float) -> str:
    """Hours, minutes, seconds."""
    whole = int(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"


def rate_text(rate: float) -> str:
    """A rate a second; a decimal where it says something."""
    return f"{rate:,.1f}/s" if 0 < rate < _WHOLE else f"{count(round(rate))}/s"


def page(lines: Iterable[Text], width: int) -> Text:
    """The lines as one text, none wider than that."""
    return Text("\n", no_wrap=True).join(_cropped(one, width) for one in lines)


def beside(left: Sequence[Text], right: Sequence[Text], gap: int) -> list[Text]:
    """Two blocks of lines beside each other, the right one beginning at column `gap`."""
    lines = []
    for number in range(max(len(left), len(right))):
        line = left[number].copy() if number < len(left) else Text()
        if number < len(right):
            line.truncate(gap, pad=True)
            line.append_text(right[number])
        lines.append(line)
    return lines


def _cropped(line: Text, width: int) -> Text:
    if line.cell_len > width:
        line.truncate(width, overflow="crop")
    return line
