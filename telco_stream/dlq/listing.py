"""Results of `dlq list` and `dlq show`."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from telco_stream.dlq.letters import Letter, Letters, open_letter, text_of
from telco_stream.errors import DataError
from telco_stream.messages.record import Record

#: Maximum length of a text in the list, in characters; `dlq show` shows texts in full.
MAX_LISTED = 256


@dataclass(frozen=True, slots=True)
class ListedLetter:
    """One letter of the list; `key` and `source` are None if the record has none.

    Texts of more than 256 characters are cut and end with `…`.
    """

    partition: int
    offset: int
    key: str | None
    error_type: str
    error_message: str
    timestamp: str
    retry_count: int
    source: str | None


@dataclass(frozen=True, slots=True)
class LetterSummary:
    """Numbers of letters in total and by type, the most frequent first; `unreadable` records are not dead letters."""

    total: int
    by_error_type: dict[str, int]
    unreadable: int


@dataclass(frozen=True, slots=True)
class Header:
    """Header as text; names can repeat."""

    name: str
    value: str | None


@dataclass(frozen=True, slots=True)
class ShownLetter:
    """Complete content of a letter; `original_message` is Base64 if `original_encoding` is `base64`."""

    partition: int
    offset: int
    key: str | None
    error_type: str
    error_message: str
    timestamp: str
    retry_count: int
    source: str | None
    headers: tuple[Header, ...]
    truncated: bool
    original_bytes: int | None
    original_sha256: str | None
    original_encoding: str | None
    original_message: str | None


def list_letters(letters: Iterable[Letter]) -> Iterator[ListedLetter]:
    """Yield a list entry per letter."""
    return map(_listed, letters)


def summarize(letters: Letters) -> LetterSummary:
    """Count letters by type, in constant memory."""
    counts = Counter(letter.content.error_type for letter in letters)
    return LetterSummary(counts.total(), {str(name): count for name, count in counts.most_common()}, letters.unreadable)


def show_letter(record: Record) -> ShownLetter:
    """Return the content of the letter; raise `DataError` if the record is not a dead letter."""
    letter = open_letter(record)
    if letter is None:
        raise DataError(
            f"{record.topic()} {record.partition()}:{record.offset()} is not a dead letter; another program wrote it,"
            " inspect it with kcat or kafka-console-consumer.sh"
        )
    content = letter.content
    return ShownLetter(
        *letter.position,
        text_of(record.key()),
        content.error_type,
        content.error_message,
        content.timestamp,
        content.retry_count,
        letter.source,
        headers=tuple(Header(name, text_of(value)) for name, value in record.headers() or ()),
        truncated=content.truncated,
        original_bytes=_size(letter),
        original_sha256=content.original_sha256,
        original_encoding=content.original_encoding,
        original_message=content.original_message,
    )


def _listed(letter: Letter) -> ListedLetter:
    content, key = letter.content, letter.record.key()
    return ListedLetter(
        *letter.position,
        None if key is None else _cut(text_of(key[: 4 * MAX_LISTED + 4]) or ""),
        content.error_type,
        _cut(content.error_message),
        _cut(content.timestamp),
        content.retry_count,
        letter.source and _cut(letter.source),
    )


def _cut(text: str) -> str:
    return text if len(text) <= MAX_LISTED else f"{text[:MAX_LISTED]}…"


def _size(letter: Letter) -> int | None:
    """Return the size of the complete original in bytes."""
    if letter.content.truncated or letter.original is None:
        return letter.content.original_bytes
    return len(letter.original)
