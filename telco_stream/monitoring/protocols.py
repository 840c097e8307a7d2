"""Protocols of the observers of a run, and what the loops report to them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias, TypeVar

from telco_stream.scoring import Outcome

Item = TypeVar("Item")
#: Items of a batch that are sampled.
_SAMPLES = 64


@dataclass(frozen=True, slots=True)
class BatchTimings:
    """Seconds that a committed batch took."""

    #: To decode, score and encode.
    processing: float
    #: To send and commit.
    delivery: float
    #: From timestamp to commit, of a few evenly spaced records: sampling all would cost as much as scoring.
    ages: Sequence[float] = ()
    #: To score with the shadow model.
    shadow: float = 0.0


@dataclass(frozen=True, slots=True)
class PartitionView:
    """Snapshot of a consumer's partitions; the defaults are those of a consumer that has not joined its group."""

    #: Offset up to which each partition is answered and committed.
    answered: Mapping[int, int] = field(default_factory=dict)
    #: End offset of each partition, as far as the client knows without a request.
    end_offsets: Mapping[int, int] = field(default_factory=dict)
    #: Partitions assigned to this member.
    assigned: frozenset[int] = frozenset()
    #: Whether the group has sent this member an assignment, even an empty one.
    joined: bool = False
    #: Reason why the group refuses this member.
    refusal: str | None = None
    #: Number of assignments and revocations.
    rebalances: int = 0
    #: Records that retention deleted before this group answered them.
    expired_unanswered: int = 0
    #: Transactions that answered them, by outcome.
    transactions: Mapping[str, int] = field(default_factory=dict)


#: Returns the current view; safe to call from any thread.
ViewPartitions: TypeAlias = Callable[[], PartitionView]


class RunObserver(Protocol):
    """Observer of a run of `consume`; subclasses inherit methods that do nothing, except `on_committed`.

    The loop calls it, so every method has to be fast and must not raise.
    """

    def attach(self, partitions: ViewPartitions) -> None:  # noqa: ARG002 - ignored unless overridden
        """Take a function that returns the consumer's partitions, before the loop starts."""
        return

    def on_poll(self) -> None:
        """Take note that the loop has polled, with or without records."""
        return

    def on_delivering(self, outcome: Outcome) -> None:  # noqa: ARG002 - as above
        """Take note of a batch that is being committed, with its events; the next call is for the next batch.

        The commit can fail: only `on_committed` says that it has not.
        """
        return

    def on_committed(self, outcome: Outcome, timings: BatchTimings) -> None:
        """Take note of a committed batch, which has lost its events."""

    def finish(self) -> None:
        """Take note that the loop has ended, or failed; the consumer still has its partitions."""
        return


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


def sample_batch(items: Sequence[Item]) -> list[Item]:
    """Return up to 64 evenly spaced items, beginning with the first."""
    count = min(_SAMPLES, len(items))
    return [items[index * len(items) // count] for index in range(count)]
