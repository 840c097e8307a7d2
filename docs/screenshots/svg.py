"""Draws a terminal as a self-contained SVG: rich's export without external fonts."""

import io
import re
from itertools import groupby
from typing import Any

import pyte
from rich.console import Console
from rich.style import Style
from rich.terminal_theme import TerminalTheme
from rich.text import Text

#: Rich's template with fonts of the reader's system.
_FORM = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{
  font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: {char_height}px; line-height: {line_height}px; white-space: pre;
}}
.{unique_id}-title {{ font: bold 17px system-ui, "Segoe UI", Helvetica, Arial, sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/>
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""
_THEME = TerminalTheme(
    (22, 27, 34),
    (221, 227, 234),
    [
        (72, 79, 88),
        (255, 123, 114),
        (86, 211, 100),
        (227, 179, 65),
        (121, 192, 255),
        (210, 168, 255),
        (86, 212, 221),
        (221, 227, 234),
    ],
)
#: pyte's colour names that differ from rich's.
_NAMES = {"brown": "yellow", "default": "default"}
#: pyte does not support dim text, so a colour that is otherwise unused marks it.
_DIM = "123456"


def screen_of(raw: bytes, columns: int, rows: int) -> Text:
    """Return the screen of a terminal after this output, with styles and without empty rows at the end."""
    screen: Any = pyte.Screen(columns, rows)
    pyte.ByteStream(screen).feed(_mark_dim(raw))
    lines = [_line([screen.buffer[row][column] for column in range(columns)]) for row in range(rows)]
    while lines and not lines[-1].plain.strip():
        lines.pop()
    return Text("\n").join(lines)


def svg(shown: Text, title: str, name: str, columns: int) -> str:
    """Return an SVG of the text in a window; `name` makes its CSS classes unique on a page."""
    console = Console(width=columns, record=True, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(shown, soft_wrap=True)
    exported = console.export_svg(title=title, theme=_THEME, code_format=_FORM, unique_id=name)
    return re.sub(
        r"[ \t]+\n", "\n", re.sub(r"></(?=text)|/><", lambda match: match.group().replace("><", ">\n<"), exported)
    )


def _mark_dim(raw: bytes) -> bytes:
    return re.sub(rb"\x1b\[([0-9;]*)m", lambda match: b"\x1b[" + _without_dim(match.group(1)) + b"m", raw)


def _without_dim(codes: bytes) -> bytes:
    """Replace the parameter 2 (dim) by the marking colour, except inside of a colour."""
    parts, kept = codes.split(b";"), list[bytes]()
    while parts:
        if parts[0] in {b"38", b"48"}:
            length = 3 if parts[1:2] == [b"5"] else 5
            kept += parts[:length]
            del parts[:length]
        else:
            part = parts.pop(0)
            kept.append(b"38;2;18;52;86" if part == b"2" else part)
    return b";".join(kept)


def _line(cells: list[Any]) -> Text:
    line = Text()
    for style, group in groupby(cells, key=_style):
        line.append("".join(cell.data for cell in group), style)
    line.rstrip()
    return line


def _style(cell: Any) -> Style:
    dim = cell.fg == _DIM
    return Style(
        color=None if dim else _colour(cell.fg),
        bgcolor=_colour(cell.bg),
        bold=cell.bold,
        dim=dim,
        italic=cell.italics,
        underline=cell.underscore,
        reverse=cell.reverse,
    )


def _colour(name: str) -> str | None:
    if name == "default":
        return None
    if re.fullmatch("[0-9a-f]{6}", name):
        return f"#{name}"
    return _NAMES.get(name, name.replace("bright", "bright_"))
