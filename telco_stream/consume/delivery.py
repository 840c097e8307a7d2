"""Delivery of a scored batch, and the commit of its input offsets (the read-process-write cycle).

`ExactlyOnce` commits predictions, dead letters and input offsets in one transaction. `AtLeastOnce` commits the offsets
after the broker has acknowledged every message. A batch that was not committed is read again in both cases.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

from telco_stream.consume.loop import PendingDelivery
from telco_stream.kafka.blocking_calls import BackgroundCall
from telco_stream.kafka.sink import Sink, delivery_errors
from telco_stream.kafka.source import Batch, KafkaSource
from telco_stream.kafka.transactions import End, Transactions
from telco_stream.messages.record import split_into_batches
from telco_stream.scoring import Outcome
from telco_stream.settings import TopicSettings


class ExactlyOnce:
    """Delivery in one transaction per batch, committed in the background while the next batch is scored."""

    def __init__(
        self, transactions: Transactions, source: KafkaSource, topics: TopicSettings, largest_letters: int
    ) -> None:
        """Take the size in bytes of the largest batch that the topic of dead letters accepts."""
        self._transactions = transactions
        self._source = source
        self._topics = topics
        self._largest_letters = largest_letters

    def deliver(self, outcome: Outcome, batch: Batch) -> PendingDelivery:
        """Deliver an outcome.

        1. Begin a transaction.
        2. Send predictions and dead letters.
        3. Add the input offsets, with the group metadata of the moment when the batch was polled (zombie fencing).
        4. Commit. Steps 3 and 4 go on in the background; a rebalance waits for them before it revokes partitions.
        """
        self._transactions.begin()
        _send(self._transactions, outcome, self._topics, self._largest_letters)
        offsets = self._source.offsets.advance(outcome.next_offsets, outcome.consecutive_dead_letters)
        commit = BackgroundCall(partial(self._transactions.commit, offsets, batch.group_metadata))
        self._source.membership.on_revoke = commit.wait
        return _PendingTransaction(commit, self._source, outcome.next_offsets)


class AtLeastOnce:
    """Delivery that waits for all acknowledgements and then commits the offsets."""

    def __init__(self, sink: Sink, source: KafkaSource, topics: TopicSettings, largest_letters: int) -> None:
        """Take the size in bytes of the largest batch that the topic of dead letters accepts."""
        self._sink = sink
        self._source = source
        self._topics = topics
        self._largest_letters = largest_letters

    def deliver(self, outcome: Outcome, batch: Batch) -> PendingDelivery:  # noqa: ARG002 - the client checks the generation itself
        """Send predictions and dead letters, flush, commit."""
        with delivery_errors():
            _send(self._sink, outcome, self._topics, self._largest_letters)
            self._sink.flush()
        offsets = self._source.offsets.advance(outcome.next_offsets, outcome.consecutive_dead_letters)
        committed = self._source.offsets.commit(offsets, self._sink.serve)
        if not committed:
            self._source.rewind()
        return _EndedDelivery(committed)


@dataclass(frozen=True, slots=True)
class _PendingTransaction:
    """Delivery whose transaction is being committed."""

    commit: BackgroundCall[End]
    source: KafkaSource
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
        """Return whether the group's offsets include the batch; the new owner of a revoked partition may be further."""
        committed = self.source.offsets.committed(self.next_offsets)
        assigned = self.source.membership.assigned
        return all(
            committed[partition] == offset or (partition not in assigned and committed[partition] > offset)
            for partition, offset in self.next_offsets.items()
        )


@dataclass(frozen=True, slots=True)
class _EndedDelivery:
    """Delivery that has ended."""

    committed: bool
    ended: float = field(default_factory=time.perf_counter)

    def wait(self, seconds: float) -> None:
        """Return at once."""

    def result(self) -> bool:
        return self.committed


def _send(sink: Sink | Transactions, outcome: Outcome, topics: TopicSettings, largest_letters: int) -> None:
    if outcome.prediction_messages:  # outcomes have none, and need no such topic
        sink.send(topics.predictions, outcome.prediction_messages)
    # The client's batches are as large as the topic of predictions accepts, and that of dead letters may accept less.
    for number, letters in enumerate(split_into_batches(outcome.dead_letter_messages, largest_letters)):
        if number:
            sink.drain()
        sink.send(topics.deadletter, letters)
