"""The nouns that cross rooms."""

from dataclasses import dataclass
from typing import Protocol, TypeAlias

from telco_stream.contract.error_type import ErrorType

Headers: TypeAlias = list[tuple[str, bytes]]
#: What goes out: key, value, headers. A tuple, because a hundred thousand of them are made each second.
Message: TypeAlias = tuple[bytes | str | None, bytes, Headers]
#: The same, where there may be no value: a record that had none goes back as it came.
Outgoing: TypeAlias = tuple[bytes | str | None, bytes | None, Headers]


class Record(Protocol):
    """What the core reads of a record in Kafka; the client's own message fits, so nothing is copied."""

    def topic(self) -> str:
        """Name of the topic."""

    def partition(self) -> int:
        """Number of the partition."""

    def offset(self) -> int:
        """Position in the partition."""

    def key(self) -> bytes | None:
        """Key, verbatim."""

    def value(self) -> bytes | None:
        """Value, verbatim."""

    def headers(self) -> Headers | None:
        """Headers in their order."""

    def timestamp(self) -> tuple[int, int]:
        """Kind of the time stamp, and milliseconds since 1970."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A record that gets a dead letter instead of a prediction."""

    record: Record
    error_type: ErrorType
    code: str
    message: str

    @property
    def rejection(self) -> "Rejection":
        """The same without the record."""
        record = self.record
        return Rejection(record.topic(), record.partition(), record.offset(), self.error_type, self.code)


@dataclass(frozen=True, slots=True)
class Rejection:
    """Which record gets a dead letter, and why; without the record, which may be large."""

    topic: str
    partition: int
    offset: int
    error_type: ErrorType
    code: str


#: Bytes kept free for what Kafka's record and batch formats add to key, value and headers.
ENVELOPE = 1_024


def size_of(key: bytes | str | None, value: bytes | None, headers: Headers) -> int:
    """Return the bytes of a record without its envelope."""
    size = _bytes_of(key or b"") + len(value or b"")
    return size + sum(_bytes_of(name) + len(value or b"") + 16 for name, value in headers)


def _bytes_of(text: bytes | str) -> int:
    return len(text) if isinstance(text, bytes) or text.isascii() else len(text.encode())
