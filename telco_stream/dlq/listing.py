"""`dlq list` and `dlq show`: what the letters say."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from telco_stream.dlq.letters import Letter, Letters, open_letter, text_of
from telco_stream.errors import DataError
from telco_stream.messages.record import Record

#: Characters of a text in the list, of which there may be thousands in one letter; `dlq show` has all of them.
MAX_LISTED = 256


@dataclass(frozen=True, slots=True)
class ListedLetter:
    """A letter in one line; `key` and `source` are None where it has none. Texts end with `…` after 256 characters."""

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
    """How many letters, and how many of each type, the most frequent first; `unreadable` are no letters at all."""

    total: int
    by_error_type: dict[str, int]
    unreadable: int


@dataclass(frozen=True, slots=True)
class Header:
    """A header as text; a name may come more than once."""

    name: str
    value: str | None


@dataclass(frozen=True, slots=True)
class ShownLetter:
    """All that a letter holds; `original_message` is base64 where `original_encoding` says so."""

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
    """A line for each letter, as it comes."""
    return map(_listed, letters)


def summarize(letters: Letters) -> LetterSummary:
    """Counts by type, in constant memory."""
    counts = Counter(letter.content.error_type for letter in letters)
    return LetterSummary(counts.total(), {str(name): count for name, count in counts.most_common()}, letters.unreadable)


def show_letter(record: Record) -> ShownLetter:
    """All that the letter in this record holds; raises `DataError` where it is no letter."""
    letter = open_letter(record)
    if letter is None:
        raise DataError(
            f"{record.topic()} {record.partition()}:{record.offset()} is no dead letter: another hand wrote it;"
            " look at it with kcat or kafka-console-consumer.sh"
        )
    content = letter.content
    return ShownLetter(
        *letter.place,
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
        *letter.place,
        None if key is None else _shortened(text_of(key[: 4 * MAX_LISTED + 4]) or ""),
        content.error_type,
        _shortened(content.error_message),
        _shortened(content.timestamp),
        content.retry_count,
        letter.source and _shortened(letter.source),
    )


def _shortened(text: str) -> str:
    return text if len(text) <= MAX_LISTED else f"{text[:MAX_LISTED]}…"


def _size(letter: Letter) -> int | None:
    """Bytes of the whole original."""
    if letter.content.truncated or letter.original is None:
        return letter.content.original_bytes
    return len(letter.original)
