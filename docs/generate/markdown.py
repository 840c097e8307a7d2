"""Lists and paragraphs in Markdown."""

import re
import textwrap
from collections.abc import Iterable

_WIDTH = 120
_CODE = re.compile(r"`[^`]*`")
#: Longer code may continue on the next line.
_LONGEST_UNBROKEN = 60


def bullets(items: Iterable[str]) -> str:
    """Return a Markdown list with wrapped lines."""
    return "\n".join(paragraph(f"- {item}", indent="  ") for item in items)


def paragraph(text: str, indent: str = "") -> str:
    """Wrap a paragraph; the indent is for all lines but the first."""
    unbroken = _CODE.sub(_keep_together, text)
    lines = textwrap.wrap(unbroken, _WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
    return "\n".join(lines).replace("\0", " ")


def code(text: object) -> str:
    """Return the text as inline code."""
    return f"`{text}`"


def codes(texts: Iterable[object]) -> str:
    """Return the texts as inline code, separated by commas."""
    return ", ".join(map(code, texts))


def _keep_together(match: re.Match[str]) -> str:
    text = match[0]
    return text.replace(" ", "\0") if len(text) <= _LONGEST_UNBROKEN else text
