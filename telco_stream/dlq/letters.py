"""Letters of the dead-letter topic, filters for them, and the results of `dlq list` and `dlq show`."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import TypeAlias

from telco_stream.contract.customer import BAD_DATA, parse_timestamp
from telco_stream.errors import DataError, UsageError
from telco_stream.messages.dead_letter import DeadLetter, customer_id, decode_dead_letter, letter_fingerprint
from telco_stream.messages.headers import source_of
from telco_stream.messages.record import Record

#: Partition and offset of a letter.
LetterPosition: TypeAlias = tuple[int, int]

#: Latest time of a datetime, in milliseconds; a record can have any time.
_MAX_TIME = 253_402_300_799_000
#: Maximum length of a text in the list, in characters; `dlq show` shows texts in full.
MAX_LISTED = 256


@dataclass(frozen=True, slots=True)
class Letter:
    """Dead letter: its record, the decoded content and the original value."""

    record: Record
    content: DeadLetter
    original: bytes | None

    @property
    def position(self) -> LetterPosition:
        """Return the partition and offset of the letter."""
        return self.record.partition(), self.record.offset()

    @property
    def fingerprint(self) -> bytes:
        """Return the fingerprint that distinguishes replays of this letter from records with a forged marker."""
        return letter_fingerprint(*self.position, self.record.key(), self.original)

    @property
    def time(self) -> datetime:
        """Return the time of the failure, or the letter's record time if the former is invalid."""
        written = datetime.fromtimestamp(min(max(0, self.record.timestamp()[1]), _MAX_TIME) / 1_000, UTC)
        try:
            return parse_timestamp(self.content.timestamp)
        except ValueError:
            return written

    @property
    def source(self) -> str | None:
        """Return `topic/partition/offset` of the input, or None without a source header."""
        return text_of(source_of(self.record)[0] or None)


@dataclass(frozen=True, slots=True)
class LetterFilter:
    """Selects the letters that match all given values.

    `since` is inclusive, `until` exclusive; `customer` is compared with the key and the customer ID.
    """

    error_types: frozenset[str] = frozenset()
    since: datetime | None = None
    until: datetime | None = None
    customer: str | None = None
    partition: int | None = None
    limit: int | None = None

    def matches(self, letter: Letter) -> bool:
        """Return whether the letter matches; the limit and the partition are not checked."""
        return (
            (not self.error_types or letter.content.error_type in self.error_types)
            and (self.since is None or letter.time >= self.since)
            and (self.until is None or letter.time < self.until)
            and (self.customer is None or self.customer in _customers(letter))
        )


class Letters:
    """Iterable over the matching letters among a topic's records, in order and in constant memory."""

    def __init__(self, records: Iterable[Record], criteria: LetterFilter) -> None:
        self._records = records
        self._criteria = criteria
        #: Records so far that are not dead letters; another program wrote them.
        self.unreadable = 0

    def __iter__(self) -> Iterator[Letter]:
        return islice(self._matching(), self._criteria.limit)

    def _matching(self) -> Iterator[Letter]:
        for record in self._records:
            if self._criteria.partition not in {None, record.partition()}:
                continue
            letter = open_letter(record)
            if letter is None:
                self.unreadable += 1
            elif self._criteria.matches(letter):
                yield letter


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
class ShownLetter(ListedLetter):
    """Complete content of a letter; `original_message` is Base64 if `original_encoding` is `base64`."""

    headers: tuple[Header, ...]
    truncated: bool
    original_bytes: int | None
    original_sha256: str | None
    original_encoding: str | None
    original_message: str | None


def open_letter(record: Record) -> Letter | None:
    """Decode a letter; return None if the record is not a dead letter."""
    try:
        content = decode_dead_letter(record.value() or b"")
        return Letter(record, content, content.original)
    except BAD_DATA:
        return None


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


def parse_letter_position(text: str) -> LetterPosition:
    """Parse `PARTITION:OFFSET`; raise `UsageError` if the text is invalid."""
    partition, colon, offset = text.partition(":")
    if not (colon and partition.isdecimal() and offset.isdecimal() and len(text) < 30):  # noqa: PLR2004 - a long is 19
        raise UsageError(f"{text[:40]!r} is not a dead-letter position; use PARTITION:OFFSET, as in 0:42")
    return int(partition), int(offset)


def text_of(value: bytes | None) -> str | None:
    """Decode a key or header; escape bytes that are not UTF-8."""
    return None if value is None else value.decode(errors="backslashreplace")


def _customers(letter: Letter) -> set[str | None]:
    """Return the names that identify the letter's customer."""
    return {text_of(letter.record.key()), customer_id(letter.original or b"")}


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
