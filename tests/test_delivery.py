"""Delivery, exactly once and at least once, with a fake producer and a fake consumer that share a log."""

import json
import math
import threading
import time
import weakref
from typing import Any, cast

import pytest
from confluent_kafka import KafkaError, TopicPartition

from telco_stream import errors
from telco_stream.consume.delivery import AtLeastOnce, ExactlyOnce
from telco_stream.kafka.sink import Sink
from telco_stream.kafka.source import Batch, KafkaSource, Subscription
from telco_stream.kafka.starts import TopicToRead
from telco_stream.kafka.transactions import Transactions
from telco_stream.runtime.signals import Stop
from telco_stream.scoring import Limits, Outcome, process
from telco_stream.settings import TopicSettings
from tests.support.fakes import FakeConsumer, FakeProducer, kafka_exception
from tests.support.records import FakeRecord, RuleScorer, good

TOPICS = TopicSettings(raw="raw", predictions="predictions", deadletter="deadletter")
RECORDS: list[Any] = [FakeRecord(good(), 5), FakeRecord(b"not JSON", 6, headers_=[("traceparent", b"00-1")])]
BATCH = Batch(RECORDS, "generation 2", {0: 7}, rewinds=0)


class WeaklyReferableRecord(FakeRecord):
    """Record without slots, so that it can have weak references."""


class DeliveryHarness:
    """Both deliveries with the same fakes, which share a log."""

    def __init__(self, largest_letters: int = Limits().letter, **failures: Any) -> None:
        self._largest_letters = largest_letters
        self.log: list[str] = []
        self.producer = FakeProducer(self.log, failures)
        self.consumer = FakeConsumer([], log=self.log)
        self._stop = Stop()
        self._source = KafkaSource(
            cast("Any", self.consumer), Subscription(TopicToRead("raw", self.consumer.ask_offsets)), self._stop
        )
        self._source.poll_batch(1, 0)  # starts the partition
        self.log.clear()

    def exactly_once(self) -> ExactlyOnce:
        transactions = Transactions(lambda: cast("Any", self.producer), self._stop, has_unique_id=True)
        transactions.start()
        self.log.clear()
        return ExactlyOnce(transactions, self._source, TOPICS, self._largest_letters)

    def at_least_once(self) -> AtLeastOnce:
        sink = Sink(cast("Any", self.producer), self._stop)
        return AtLeastOnce(sink, self._source, TOPICS, self._largest_letters)


def outcome() -> Outcome:
    return process(RECORDS, RuleScorer(), processed_at="2026-01-01T00:00:00Z", limits=Limits(), consecutive_before=0)


def test_exactly_once_commits_messages_and_offsets_together() -> None:
    harness = DeliveryHarness()
    assert harness.exactly_once().deliver(outcome(), BATCH).result()
    assert harness.log == ["begin", "send", "send", "offsets", "commit"]
    assert [sent[0] for sent in harness.producer.sent] == ["predictions", "deadletter"]
    (offset,) = harness.producer.offsets
    assert (offset.topic, offset.partition, offset.offset) == ("raw", 0, 7)
    assert json.loads(offset.metadata or "")["dead_letters_in_a_row"] == 1
    assert harness.producer.metadata == "generation 2", "of the generation in which the batch was polled"


def test_at_least_once_commits_after_the_flush() -> None:
    harness = DeliveryHarness()
    assert harness.at_least_once().deliver(outcome(), BATCH).result()
    assert harness.log == ["send", "send", "flush", "commit"]
    assert harness.consumer.offsets[0].offset == 7


def test_delivery_waits_between_letters_that_exceed_a_batch() -> None:
    """The client's batches may be larger than the topic of dead letters accepts."""
    records: list[Any] = [FakeRecord(b"x" * 5_000, offset) for offset in range(5)]
    letters = process(records, RuleScorer(), processed_at="2026", limits=Limits())
    harness = DeliveryHarness(largest_letters=15_000)
    assert harness.exactly_once().deliver(letters, Batch(records, "", {0: 5}, rewinds=0)).result()
    assert harness.log == ["begin", "send", "send", "flush", "send", "send", "flush", "send", "offsets", "commit"]
    harness = DeliveryHarness(largest_letters=100_000)
    assert harness.at_least_once().deliver(letters, Batch(records, "", {0: 5}, rewinds=0)).result()
    assert harness.log == ["send"] * 5 + ["flush", "commit"]


def test_delivery_forwards_the_headers_of_the_input() -> None:
    harness = DeliveryHarness()
    harness.at_least_once().deliver(outcome(), BATCH)
    names = [name for name, _ in harness.producer.sent[1][3]]
    assert names[:2] == ["traceparent", "source"]


def test_at_least_once_does_not_commit_when_the_broker_refuses() -> None:
    harness = DeliveryHarness()
    harness.producer.refused = KafkaError(KafkaError.MSG_SIZE_TOO_LARGE, "too large")
    with pytest.raises(errors.KafkaError, match=r"max\.message\.bytes"):
        harness.at_least_once().deliver(outcome(), BATCH)
    assert "commit" not in harness.log


@pytest.mark.parametrize("name", ["_FATAL", "MSG_SIZE_TOO_LARGE"])
def test_at_least_once_raises_when_the_client_refuses(name: str) -> None:
    with pytest.raises(errors.KafkaError, match="A record was not delivered"):
        DeliveryHarness(send=[kafka_exception(name)]).at_least_once().deliver(outcome(), BATCH)


def test_exactly_once_rewinds_when_a_transaction_is_aborted() -> None:
    harness = DeliveryHarness(offsets=[kafka_exception("ILLEGAL_GENERATION", txn_requires_abort=True)])
    harness.consumer.offsets = {0: TopicPartition("raw", 0, 5)}
    assert not harness.exactly_once().deliver(outcome(), BATCH).result()
    assert harness.log[-2:] == ["abort", "committed"]
    assert harness.consumer.sought == [(0, 5)]


@pytest.mark.parametrize(("committed", "counts"), [(7, True), (5, False)])
def test_unclear_commit_counts_when_the_offsets_include_it(committed: int, counts: bool) -> None:
    """The broker may have applied it although its response was lost."""
    harness = DeliveryHarness(commit=[kafka_exception("_TIMED_OUT")])
    harness.consumer.offsets = {0: TopicPartition("raw", 0, committed)}
    assert harness.exactly_once().deliver(outcome(), BATCH).result() is counts
    assert harness.consumer.sought == [(0, committed)]


@pytest.mark.parametrize(("committed", "counts"), [(9, True), (5, False)])
def test_unclear_commit_counts_when_the_new_owner_is_further(committed: int, counts: bool) -> None:
    harness = DeliveryHarness(commit=[kafka_exception("_TIMED_OUT")])
    harness.consumer.offsets = {0: TopicPartition("raw", 0, committed)}
    pending_delivery = harness.exactly_once().deliver(outcome(), BATCH)
    harness.consumer.revoke(0)
    assert pending_delivery.result() is counts


def test_pending_delivery_keeps_no_records() -> None:
    """With the next batch they would double the memory."""
    records: list[Any] = [WeaklyReferableRecord(good(), 5)]
    reference, batch = weakref.ref(records[0]), Batch(records, "generation 2", {0: 6}, rewinds=0)
    harness, processed = (
        DeliveryHarness(),
        process(records, RuleScorer(), processed_at="2026-01-01T00:00:00Z", limits=Limits()),
    )
    harness.producer = slow = SlowProducer(harness.log)
    pending_delivery = harness.exactly_once().deliver(processed, batch)
    del records, batch
    assert reference() is None
    slow.may_return.set()
    assert pending_delivery.result()


def test_at_least_once_rewinds_when_the_generation_is_stale() -> None:
    harness = DeliveryHarness()
    harness.consumer.failures = [kafka_exception("ILLEGAL_GENERATION")]
    harness.consumer.offsets = {0: TopicPartition("raw", 0, 5)}
    assert not harness.at_least_once().deliver(outcome(), BATCH).result()
    assert harness.consumer.sought == [(0, 5)]


class SlowProducer(FakeProducer):
    """Producer whose commit returns when the test allows it."""

    def __init__(self, log: list[str]) -> None:
        super().__init__(log)
        self.is_committing, self.may_return = threading.Event(), threading.Event()

    def commit_transaction(self, timeout: float) -> None:
        self.is_committing.set()
        assert self.may_return.wait(10)
        super().commit_transaction(timeout)


def test_exactly_once_returns_while_the_commit_runs() -> None:
    harness = DeliveryHarness()
    harness.producer = slow = SlowProducer(harness.log)
    pending_delivery = harness.exactly_once().deliver(outcome(), BATCH)
    assert slow.is_committing.wait(10)
    assert pending_delivery.ended == math.inf
    slow.may_return.set()
    assert pending_delivery.result()
    assert pending_delivery.ended <= time.perf_counter()


def test_revocation_waits_for_the_running_commit() -> None:
    """The new owner starts behind the batch, without waiting for a transaction."""
    harness = DeliveryHarness()
    harness.producer = slow = SlowProducer(harness.log)
    pending_delivery = harness.exactly_once().deliver(outcome(), BATCH)
    revocation = threading.Thread(target=harness.consumer.revoke, args=(0,))
    revocation.start()
    assert slow.is_committing.wait(10)
    revocation.join(0.2)
    assert revocation.is_alive()
    slow.may_return.set()
    revocation.join(10)
    assert not revocation.is_alive()
    assert pending_delivery.ended < math.inf
    assert pending_delivery.result()


def test_result_raises_when_the_commit_fails() -> None:
    harness = DeliveryHarness(commit=[kafka_exception("TRANSACTIONAL_ID_AUTHORIZATION_FAILED")])
    pending_delivery = harness.exactly_once().deliver(outcome(), BATCH)
    with pytest.raises(errors.TelcoStreamError):
        pending_delivery.result()
