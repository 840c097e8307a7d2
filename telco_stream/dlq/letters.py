"""Letters of the dead-letter topic, and filters for them."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import TypeAlias

from telco_stream.contract.events import BAD_DATA
from telco_stream.contract.timestamps import parse_timestamp
from telco_stream.errors import UsageError
from telco_stream.messages.dead_letter import DeadLetter, decode_dead_letter, field_as_text, letter_fingerprint
from telco_stream.messages.headers import parse_position, source_of
from telco_stream.messages.record import Record
from telco_stream.runtime.clock import record_time

#: Partition and offset of a letter.
LetterPosition: TypeAlias = tuple[int, int]


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
        try:
            return parse_timestamp(self.content.timestamp)
        except ValueError:
            return record_time(self.record.timestamp()[1])

    @property
    def source(self) -> str | None:
        """Return `topic/partition/offset` of the input, or None without a source header."""
        return text_of(source_of(self.record)[0] or None)

    @property
    def source_topic(self) -> str | None:
        """Return the topic of the input, or None without a source header that names one."""
        position = parse_position(source_of(self.record)[0])
        return position and position.topic


@dataclass(frozen=True, slots=True)
class LetterFilter:
    """Selects the letters that match all given values.

    `since` is inclusive, `until` exclusive; `customer` is compared with the key of the letter and with the field
    `key_name` of the original.
    """

    error_types: frozenset[str] = frozenset()
    since: datetime | None = None
    until: datetime | None = None
    customer: str | None = None
    partition: int | None = None
    limit: int | None = None
    key_name: str = ""
    #: Topic of the letters' originals, which the header `source` names.
    source_topic: str | None = None

    def matches(self, letter: Letter) -> bool:
        """Return whether the letter matches; the limit and the partition are not checked."""
        return (
            (not self.error_types or letter.content.error_type in self.error_types)
            and (self.since is None or letter.time >= self.since)
            and (self.until is None or letter.time < self.until)
            and (self.customer is None or self.customer in self._keys(letter))
            and (self.source_topic is None or self.source_topic == letter.source_topic)
        )

    def _keys(self, letter: Letter) -> set[str | None]:
        """Return what may identify the letter's customer."""
        return {text_of(letter.record.key()), field_as_text(letter.original or b"", self.key_name)}


class Letters:
    """Iterable over the matching letters among a topic's records, in order and in constant memory.

    `is_selected` is a further condition; the limit applies to the letters that meet it.
    """

    def __init__(
        self, records: Iterable[Record], criteria: LetterFilter, is_selected: Callable[[Letter], bool] = lambda _: True
    ) -> None:
        self._records = records
        self._criteria = criteria
        self._is_selected = is_selected
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
            elif self._criteria.matches(letter) and self._is_selected(letter):
                yield letter


def open_letter(record: Record) -> Letter | None:
    """Decode a letter; return None if the record is not a dead letter."""
    try:
        content = decode_dead_letter(record.value() or b"")
        return Letter(record, content, content.original)
    except BAD_DATA:
        return None


def parse_letter_position(text: str) -> LetterPosition:
    """Parse `PARTITION:OFFSET`; raise `UsageError` if the text is invalid."""
    partition, colon, offset = text.partition(":")
    if not (colon and partition.isdecimal() and offset.isdecimal() and len(text) < 30):  # noqa: PLR2004 - a long is 19
        raise UsageError(f"{text[:40]!r} is not a dead-letter position; use PARTITION:OFFSET, as in 0:42")
    return int(partition), int(offset)


def text_of(value: bytes | None) -> str | None:
    """Decode a key or header; escape bytes that are not UTF-8."""
    return None if value is None else value.decode(errors="backslashreplace")
