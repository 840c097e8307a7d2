"""Deliver, then commit: the two ways to do it, side by side.

Exactly once, a batch's predictions, dead letters and input offsets are one transaction. At least once, they are
confirmed by the broker before the offsets are committed. Either way a batch that was not committed is read again.
"""

import time
from collections.abc import Callable
from typing import Protocol

from confluent_kafka import TopicPartition

from telco_stream.batch import Outcome
from telco_stream.kafka.committed import note
from telco_stream.kafka.sink import Sink, undelivered
from telco_stream.kafka.source import Batch, Source
from telco_stream.kafka.transactions import End, Transactions
from telco_stream.settings import Topics


class Delivery(Protocol):
    """What the loop asks for: all of an outcome, or nothing."""

    def deliver(self, outcome: Outcome, batch: Batch) -> bool:
        """Whether the outcome is committed; if not, the source stands at the last committed offsets again."""


class ExactlyOnce:
    """A transaction for each batch."""

    def __init__(self, transactions: Transactions, source: Source, topics: Topics) -> None:
        self._transactions = transactions
        self._source = source
        self._topics = topics

    def deliver(self, outcome: Outcome, batch: Batch) -> bool:
        """Begin, predictions and dead letters, offsets, commit."""
        self._transactions.begin()
        _send(self._transactions.send, outcome, self._topics)
        end = self._transactions.commit(_offsets(outcome, self._topics.raw), batch.group_metadata)
        if end is End.COMMITTED:
            return True
        self._source.rewind()
        return end is End.UNCLEAR and self._source.committed(outcome.next_offsets) == outcome.next_offsets


class AtLeastOnce:
    """Everything confirmed by the broker, then the offsets."""

    def __init__(self, sink: Sink, source: Source, topics: Topics) -> None:
        self._sink = sink
        self._source = source
        self._topics = topics

    def deliver(self, outcome: Outcome, batch: Batch) -> bool:  # noqa: ARG002 - the commit checks the group's view itself
        """Send, flush, commit."""
        with undelivered():
            _send(self._sink.send, outcome, self._topics)
            self._sink.flush()
        if self._source.commit(_offsets(outcome, self._topics.raw), self._sink.serve):
            return True
        self._source.rewind()
        return False


def _send(send: Callable[..., None], outcome: Outcome, topics: Topics) -> None:
    send(topics.predictions, outcome.predictions)
    send(topics.deadletter, outcome.letters)


def _offsets(outcome: Outcome, topic: str) -> list[TopicPartition]:
    beside = note(outcome.last_run, time.time_ns() // 1_000_000)
    return [TopicPartition(topic, number, offset, beside) for number, offset in outcome.next_offsets.items()]
