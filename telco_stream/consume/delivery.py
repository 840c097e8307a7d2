"""Deliver, then commit: the two ways to do it, side by side.

Exactly once, a batch's predictions, dead letters and input offsets are one transaction. At least once, they are
confirmed by the broker before the offsets are committed. Either way a batch that was not committed is read again.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from telco_stream.kafka.background import BackgroundCall
from telco_stream.kafka.sink import Sink, delivery_errors
from telco_stream.kafka.source import Batch, Source
from telco_stream.kafka.transactions import End, Transactions
from telco_stream.scoring import Outcome
from telco_stream.settings import TopicSettings


class PendingDelivery(Protocol):
    """An outcome on its way to the broker."""

    @property
    def ended(self) -> float:
        """When it was known, by `time.perf_counter`; infinite until then."""

    def wait(self, seconds: float) -> None:
        """Until it is known, but no longer than that."""

    def result(self) -> bool:
        """Whether the outcome is committed, once that is known.

        If not, the source stands at the commit again, and what was taken before that is void.
        """


class Delivery(Protocol):
    """What the loop asks for: all of an outcome, or nothing; the one before has got its result."""

    def deliver(self, outcome: Outcome, batch: Batch) -> PendingDelivery:
        """Begin to send it and to commit the offsets behind it."""


class ExactlyOnce:
    """A transaction for each batch, which is committed while the loop makes the next one."""

    def __init__(self, transactions: Transactions, source: Source, topics: TopicSettings) -> None:
        self._transactions = transactions
        self._source = source
        self._topics = topics

    def deliver(self, outcome: Outcome, batch: Batch) -> PendingDelivery:
        """Begin, predictions and dead letters, offsets, commit: the last two go on after this has returned."""
        self._transactions.begin()
        _send(self._transactions.send, outcome, self._topics)
        offsets = self._source.offsets_to_commit(outcome.next_offsets, outcome.trailing_dead_letter_run)
        commit = BackgroundCall(partial(self._transactions.commit, offsets, batch.group_metadata))
        self._source.membership.on_revoke = commit.wait
        return _Committing(commit, self._source, outcome.next_offsets)


class AtLeastOnce:
    """Everything confirmed by the broker, then the offsets."""

    def __init__(self, sink: Sink, source: Source, topics: TopicSettings) -> None:
        self._sink = sink
        self._source = source
        self._topics = topics

    def deliver(self, outcome: Outcome, batch: Batch) -> PendingDelivery:  # noqa: ARG002 - the commit checks the group's view itself
        """Send, flush, commit."""
        with delivery_errors():
            _send(self._sink.send, outcome, self._topics)
            self._sink.flush()
        offsets = self._source.offsets_to_commit(outcome.next_offsets, outcome.trailing_dead_letter_run)
        committed = self._source.commit(offsets, self._sink.serve)
        if not committed:
            self._source.rewind()
        return _Delivered(committed)


@dataclass(frozen=True, slots=True)
class _Committing:
    """A transaction whose commit is under way."""

    commit: BackgroundCall[End]
    source: Source
    next_offsets: Mapping[int, int]

    @property
    def ended(self) -> float:
        return self.commit.ended

    def wait(self, seconds: float) -> None:
        self.commit.wait(seconds)

    def result(self) -> bool:
        end = self.commit.result()
        if end is End.COMMITTED:
            return True
        self.source.rewind()
        return end is End.UNCLEAR and self._was_applied()

    def _was_applied(self) -> bool:
        """The offsets tell; a partition that was given up meanwhile may have got further."""
        found, assigned = self.source.committed(self.next_offsets), self.source.assigned
        return all(
            found[one] == at or (one not in assigned and found[one] > at) for one, at in self.next_offsets.items()
        )


@dataclass(frozen=True, slots=True)
class _Delivered:
    """Nothing is left to wait for."""

    committed: bool
    ended: float = field(default_factory=time.perf_counter)

    def wait(self, seconds: float) -> None:
        """There is nothing to wait for."""

    def result(self) -> bool:
        return self.committed


def _send(send: Callable[..., None], outcome: Outcome, topics: TopicSettings) -> None:
    send(topics.predictions, outcome.prediction_messages)
    send(topics.deadletter, outcome.dead_letter_messages)
