"""The letters of the dead-letter topic, and which of them somebody asks for."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import TypeAlias

from telco_stream.contract.customer import BAD_DATA
from telco_stream.contract.timestamps import parse_timestamp
from telco_stream.errors import UsageError
from telco_stream.messages.dead_letter import DeadLetter, decode_dead_letter, fingerprint
from telco_stream.messages.original import customer_id
from telco_stream.messages.record import Record
from telco_stream.messages.source import source_of

#: A letter's partition and offset, which name it.
LetterPosition: TypeAlias = tuple[int, int]

#: Milliseconds; a record may claim any time, a datetime ends with the year 9999.
_END_OF_TIME = 253_402_300_799_000


@dataclass(frozen=True, slots=True)
class Letter:
    """A letter in its record, and the original that it holds."""

    record: Record
    content: DeadLetter
    original: bytes | None

    @property
    def place(self) -> LetterPosition:
        """Where it stands."""
        return self.record.partition(), self.record.offset()

    @property
    def fingerprint(self) -> bytes:
        """What tells a replay of this letter from a record that only claims to be one."""
        return fingerprint(*self.place, self.record.key(), self.original)

    @property
    def time(self) -> datetime:
        """When the record failed; where the letter doesn't say so, when the letter was written."""
        written = datetime.fromtimestamp(min(max(0, self.record.timestamp()[1]), _END_OF_TIME) / 1_000, UTC)
        try:
            return parse_timestamp(self.content.timestamp)
        except ValueError:
            return written

    @property
    def source(self) -> str | None:
        """`topic/partition/offset` of the input; None where the letter doesn't say."""
        return text_of(source_of(self.record)[0] or None)


@dataclass(frozen=True, slots=True)
class LetterFilter:
    """Which letters: those that pass all that is given; `since` counts, `until` doesn't; `customer` is key or id."""

    error_types: frozenset[str] = frozenset()
    since: datetime | None = None
    until: datetime | None = None
    customer: str | None = None
    partition: int | None = None
    limit: int | None = None

    def matches(self, letter: Letter) -> bool:
        """Whether the letter is wanted, but for the limit."""
        return (
            (not self.error_types or letter.content.error_type in self.error_types)
            and (self.since is None or letter.time >= self.since)
            and (self.until is None or letter.time < self.until)
            and (self.customer is None or self.customer in _customers(letter))
        )


class Letters:
    """The wanted letters among a topic's records, in their order, in constant memory."""

    def __init__(self, records: Iterable[Record], wanted: LetterFilter) -> None:
        self._records = records
        self._wanted = wanted
        #: Records so far that are no letters; another hand has written them.
        self.unreadable = 0

    def __iter__(self) -> Iterator[Letter]:
        return islice(self._passing(), self._wanted.limit)

    def _passing(self) -> Iterator[Letter]:
        for record in self._records:
            if self._wanted.partition not in {None, record.partition()}:
                continue
            letter = open_letter(record)
            if letter is None:
                self.unreadable += 1
            elif self._wanted.matches(letter):
                yield letter


def open_letter(record: Record) -> Letter | None:
    """The letter, or nothing where the record is none."""
    try:
        content = decode_dead_letter(record.value() or b"")
        return Letter(record, content, content.original)
    except BAD_DATA:
        return None


def parse_letter_position(text: str) -> LetterPosition:
    """The place in `PARTITION:OFFSET`; raises `UsageError`."""
    partition, colon, offset = text.partition(":")
    if not (colon and partition.isdecimal() and offset.isdecimal() and len(text) < 30):  # noqa: PLR2004 - a long is 19
        raise UsageError(f"{text[:40]!r} is no place of a letter: give PARTITION:OFFSET, as in 0:42")
    return int(partition), int(offset)


def text_of(value: bytes | None) -> str | None:
    """A key or header as text; bytes that are no UTF-8 are spelt out."""
    return None if value is None else value.decode(errors="backslashreplace")


def _customers(letter: Letter) -> set[str | None]:
    """Under which names the letter's customer may be looked for."""
    return {text_of(letter.record.key()), customer_id(letter.original or b"")}
