"""Records read from Kafka, messages sent to it, and rejected records."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from telco_stream.errors import ErrorType

Headers: TypeAlias = list[tuple[str, bytes]]
#: Outgoing message: key, value, headers. A tuple, because 100,000 of them are built per second.
Message: TypeAlias = tuple[bytes | str | None, bytes, Headers]
#: Outgoing message that may have no value, such as a replayed record without one.
Outgoing: TypeAlias = tuple[bytes | str | None, bytes | None, Headers]


class Record(Protocol):
    """Record in Kafka. The message class of the client satisfies it, so records are not copied."""

    def topic(self) -> str:
        """Return the name of the topic."""

    def partition(self) -> int:
        """Return the number of the partition."""

    def offset(self) -> int:
        """Return the offset in the partition."""

    def key(self) -> bytes | None:
        """Return the key, verbatim."""

    def value(self) -> bytes | None:
        """Return the value, verbatim."""

    def headers(self) -> Headers | None:
        """Return the headers in their order."""

    def timestamp(self) -> tuple[int, int]:
        """Return the kind of the timestamp, and milliseconds since 1970."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """Record that gets a dead letter instead of a prediction."""

    record: Record
    error_type: ErrorType
    code: str
    message: str

    @property
    def rejection(self) -> "Rejection":
        """Position and error, without the record."""
        record = self.record
        return Rejection(record.topic(), record.partition(), record.offset(), self.error_type, self.code)


@dataclass(frozen=True, slots=True)
class Rejection:
    """Position and error of a rejected record, without its content, which can be large."""

    topic: str
    partition: int
    offset: int
    error_type: ErrorType
    code: str


#: Bytes reserved for what the record and batch formats of Kafka add to key, value and headers.
ENVELOPE = 1_024


#: Most bytes that the record format adds to one record, without its headers.
_RECORD = 64


def split_into_batches(messages: Iterable[Message], limit: int) -> Iterator[list[Message]]:
    """Yield the messages in parts, each of which is one message or fits in a batch of `limit` bytes."""
    part, size = list[Message](), ENVELOPE
    for message in messages:
        added = size_of(*message) + _RECORD
        if part and size + added > limit:
            yield part
            part, size = [], ENVELOPE
        part.append(message)
        size += added
    if part:
        yield part


def size_of(key: bytes | str | None, value: bytes | None, headers: Headers) -> int:
    """Return the bytes of key, value and headers in a record."""
    size = _bytes_of(key or b"") + len(value or b"")
    return size + sum(_bytes_of(name) + len(value or b"") + 16 for name, value in headers)


def _bytes_of(text: bytes | str) -> int:
    return len(text) if isinstance(text, bytes) or text.isascii() else len(text.encode())
