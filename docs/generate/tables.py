"""Tables in Markdown."""

from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """The table, with each bar inside of a cell escaped."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(_escaped, line))} |" for line in lines)


def code(text: object) -> str:
    """The text as it is typed."""
    return f"`{text}`"


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|")
