"""Tables in Markdown."""

from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table; escapes bars in cells."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(_escape, line))} |" for line in lines)


def code(text: object) -> str:
    """Return the text as inline code."""
    return f"`{text}`"


def _escape(cell: str) -> str:
    return cell.replace("|", "\\|")
