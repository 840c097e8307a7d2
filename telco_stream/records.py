"""The nouns that cross rooms."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

Headers: TypeAlias = list[tuple[str, bytes]]
#: What goes out: key, value, headers. A tuple, because a hundred thousand of them are made each second.
Message: TypeAlias = tuple[bytes | str | None, bytes, Headers]
ErrorType: TypeAlias = Literal["empty", "encoding", "json", "validation", "scoring", "output_too_large"]


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


@dataclass(frozen=True, slots=True)
class Outcome:
    """All that one batch leads to: what to send, and where each partition continues."""

    predictions: list[Message]
    letters: list[Message]
    next_offsets: dict[tuple[str, int], int]
    rejected: Sequence[Rejected] = ()
    dead_letters_in_a_row: int = 0
    labels: dict[str, int] = field(default_factory=dict)

    @property
    def consumed(self) -> int:
        """Records answered, either way."""
        return len(self.predictions) + len(self.letters)
