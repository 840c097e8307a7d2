"""Dead letters as a listing that fits 80 columns, and one dead letter in full."""

import base64
from collections.abc import Sequence
from dataclasses import fields

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from telco_stream.display.tables import ResultList, list_table, new_table, result_table
from telco_stream.display.text import safe_text
from telco_stream.dlq.listing import ListedLetter, ShownLetter
from telco_stream.messages.dead_letter import format_original
from telco_stream.runtime.humanize import escape, format_count

#: Characters of a time up to its seconds, of the longest key, and of the narrowest reason.
_TIME_WIDTH = 19
_KEY_WIDTH = 12
_REASON_WIDTH = 24
#: Fields that are drawn separately, below the others.
_SEPARATE_FIELDS = frozenset({"headers", "original_encoding", "original_message"})


@list_table(ListedLetter)
def letter_table(letters: Sequence[ListedLetter]) -> Table:
    """Draw a row for each dead letter, its position as `dlq show` accepts it."""
    table = new_table(pad_edge=False)
    table.add_column("Letter", justify="right", no_wrap=True)
    table.add_column("Failed at (UTC)", no_wrap=True, max_width=_TIME_WIDTH)
    table.add_column("Key", no_wrap=True, overflow="ellipsis", max_width=_KEY_WIDTH)
    table.add_column("Retries", justify="right", no_wrap=True)
    table.add_column("Reason", overflow="fold", min_width=_REASON_WIDTH)
    for letter in letters:
        position = f"{letter.partition}:{letter.offset}"
        time = safe_text(letter.timestamp[:_TIME_WIDTH].replace("T", " "))
        reason = safe_text(f"{letter.error_type}: {letter.error_message}")
        table.add_row(position, time, safe_text(letter.key or "-"), format_count(letter.retry_count), reason)
    return table


@result_table.register
def _(result: ShownLetter) -> RenderableType:
    """Draw all fields, the headers, and the whole original, decoded, indented and escaped."""
    plain = {field.name: getattr(result, field.name) for field in fields(result) if field.name not in _SEPARATE_FIELDS}
    blocks: list[RenderableType] = [result_table(plain), Text()]
    if result.headers:
        blocks += [ResultList(result.headers), Text()]
    return Group(*blocks, safe_text(_original_title(result), "bold"), _draw_original(result))


def _original_title(result: ShownLetter) -> str:
    if result.original_message is None:
        return "No original: the record had no value"
    return "Original (truncated)" if result.truncated else "Original"


def _draw_original(result: ShownLetter) -> Text:
    message = (result.original_message or "").encode()
    original = base64.b64decode(message) if result.original_encoding else message
    lines = format_original(original).split("\n")
    return Text("\n".join(escape(line) for line in lines), overflow="fold")
