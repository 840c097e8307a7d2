"""Dead letters for people: a listing that fits 80 columns, and one letter whole."""

import base64
from collections.abc import Sequence
from dataclasses import fields

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from telco_stream.contracts.original import readable
from telco_stream.display.tables import Listing, lists, table
from telco_stream.display.text import LONGEST, count, safe, visible
from telco_stream.dlq.listing import ListedLetter, ShownLetter

#: Characters of a time to the second, of a key before it is cut, of a reason at least.
_SECONDS = 19
_KEY_WIDTH = 12
_REASON_WIDTH = 24
#: Fields that have a form of their own below the others.
_APART = frozenset({"headers", "original_encoding", "original_message"})


@lists(ListedLetter)
def letters_grid(letters: Sequence[ListedLetter]) -> Table:
    """A row for each letter; its place is written as `dlq show` takes it."""
    grid = Table(box=box.SIMPLE_HEAD, header_style="bold", show_edge=False, pad_edge=False)
    grid.add_column("Letter", justify="right", no_wrap=True)
    grid.add_column("Failed at (UTC)", no_wrap=True, max_width=_SECONDS)
    grid.add_column("Key", no_wrap=True, overflow="ellipsis", max_width=_KEY_WIDTH)
    grid.add_column("Retries", justify="right", no_wrap=True)
    grid.add_column("Reason", overflow="fold", min_width=_REASON_WIDTH)
    for one in letters:
        place, time = f"{one.partition}:{one.offset}", one.timestamp[:_SECONDS].replace("T", " ")
        reason = f"{one.error_type}: {one.error_message}"
        grid.add_row(place, safe(time), safe(one.key or "-"), count(one.retry_count), safe(reason))
    return grid


@table.register
def _(result: ShownLetter) -> RenderableType:
    """All fields, the headers, and the original as it reads best, with nothing left out and nothing that acts."""
    plain = {field.name: getattr(result, field.name) for field in fields(result) if field.name not in _APART}
    blocks: list[RenderableType] = [table(plain), Text()]
    if result.headers:
        blocks += [Listing(result.headers), Text()]
    return Group(*blocks, safe(_title(result), "bold"), _original(result))


def _title(result: ShownLetter) -> str:
    if result.original_message is None:
        return "No original: the record had no value"
    return "Original, of which only the beginning is kept" if result.truncated else "Original"


def _original(result: ShownLetter) -> Text:
    message = (result.original_message or "").encode()
    original = base64.b64decode(message) if result.original_encoding else message
    lines = readable(original).split("\n")
    return Text("\n".join(_whole(line) for line in lines), overflow="fold")


def _whole(line: str) -> str:
    """The line, made visible piece by piece, because a long one would be cut."""
    return "".join(visible(line[start : start + LONGEST]) for start in range(0, len(line), LONGEST))
