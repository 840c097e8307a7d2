"""Protocols of the observers of a run, and what the loops report to them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from telco_stream.scoring import Outcome


@dataclass(frozen=True, slots=True)
class BatchTimings:
    """Seconds that a committed batch took."""

    #: To decode, score and encode.
    processing: float
    #: To send and commit.
    delivery: float
    #: From timestamp to commit, of a few evenly spaced records: sampling all would cost as much as scoring.
    ages: Sequence[float] = ()


#: Returns the offset up to which each partition is answered and committed; safe to call from any thread.
Answered: TypeAlias = Callable[[], Mapping[int, int]]


class PartitionView(Protocol):
    """Partitions of a consumer; safe to read from any thread."""

    @property
    def cached_end_offsets(self) -> Mapping[int, int]:
        """End offset of each partition, as far as the client knows without a request."""

    @property
    def assigned(self) -> frozenset[int]:
        """Partitions assigned to this member."""

    @property
    def joined(self) -> bool:
        """Whether the group has sent this member an assignment, even an empty one."""

    @property
    def refusal(self) -> str | None:
        """Reason why the group refuses this member, or None."""

    @property
    def rebalances(self) -> int:
        """Number of assignments and revocations."""

    @property
    def expired_unanswered(self) -> int:
        """Records that retention deleted before this group answered them."""


class RunObserver(Protocol):
    """Observer of a run of `consume`. The loop calls it, so every method has to be fast and must not raise."""

    def attach(self, source: PartitionView, answered: Answered) -> None:
        """Take the source of the records and the offsets answered, before the loop starts."""

    def on_poll(self) -> None:
        """Take note that the loop has polled, with or without records."""

    def on_committed(self, outcome: Outcome, timings: BatchTimings) -> None:
        """Take note of a committed batch."""


@dataclass(frozen=True, slots=True)
class SendCounters:
    """Functions that return the counters of a writer of rows."""

    #: Rows that Kafka refused or that timed out.
    failed: Callable[[], int]
    #: Transactions by outcome.
    outcomes: Callable[[], Mapping[str, int]]


class ProduceObserver(Protocol):
    """Observer of a run of `produce`."""

    def attach(self, counters: SendCounters) -> None:
        """Take the counters of the writer, once it exists."""

    def resumed(self, rows: int) -> None:
        """Take note of the rows of the file that earlier runs have sent."""

    def advance(self, rows: int) -> None:
        """Take note of rows that Kafka has confirmed."""
