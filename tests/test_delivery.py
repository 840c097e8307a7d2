"""Deliver, then commit: the two ways to do it, on doors that keep one log."""

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
from telco_stream.kafka.source import Batch, Source, Subscription
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


class Watched(FakeRecord):
    """Tells whoever asks whether it is still there: without slots it can be referred to weakly."""


class Bench:
    """Both ways over the same fakes; consumer and producer write into one log."""

    def __init__(self, **failures: Any) -> None:
        self.log: list[str] = []
        self.producer = FakeProducer(self.log, failures)
        self.consumer = FakeConsumer([], log=self.log)
        self._stop = Stop()
        self._source = Source(
            cast("Any", self.consumer), Subscription(TopicToRead("raw", self.consumer.ask_offsets)), self._stop
        )
        self._source.poll_batch(1, 0)  # the partition begins
        self.log.clear()

    def exactly_once(self) -> ExactlyOnce:
        transactions = Transactions(lambda: cast("Any", self.producer), self._stop, has_unique_id=True)
        self.log.clear()
        return ExactlyOnce(transactions, self._source, TOPICS)

    def at_least_once(self) -> AtLeastOnce:
        return AtLeastOnce(Sink(cast("Any", self.producer), self._stop), self._source, TOPICS)


def outcome() -> Outcome:
    return process(RECORDS, RuleScorer(), now="2026-01-01T00:00:00Z", limits=Limits(), consecutive_before=0)


def test_exactly_once_commits_answers_and_offsets_in_one_transaction() -> None:
    bench = Bench()
    assert bench.exactly_once().deliver(outcome(), BATCH).result()
    assert bench.log == ["begin", "send", "send", "offsets", "commit"]
    assert [sent[0] for sent in bench.producer.sent] == ["predictions", "deadletter"]
    (offset,) = bench.producer.offsets
    assert (offset.topic, offset.partition, offset.offset) == ("raw", 0, 7)
    assert json.loads(offset.metadata or "")["dead_letters_in_a_row"] == 1
    assert bench.producer.metadata == "generation 2", "the view under which the batch was taken"


def test_at_least_once_commits_after_the_broker_has_confirmed_all() -> None:
    bench = Bench()
    assert bench.at_least_once().deliver(outcome(), BATCH).result()
    assert bench.log == ["send", "send", "flush", "commit"]
    assert bench.consumer.offsets[0].offset == 7


def test_headers_of_the_input_are_carried_beside_the_source() -> None:
    bench = Bench()
    bench.at_least_once().deliver(outcome(), BATCH)
    names = [name for name, _ in bench.producer.sent[1][3]]
    assert names[:2] == ["traceparent", "source"]


def test_failed_delivery_never_commits() -> None:
    bench = Bench()
    bench.producer.refused = KafkaError(KafkaError.MSG_SIZE_TOO_LARGE, "too large")
    with pytest.raises(errors.KafkaError, match=r"max\.message\.bytes"):
        bench.at_least_once().deliver(outcome(), BATCH)
    assert "commit" not in bench.log


@pytest.mark.parametrize("name", ["_FATAL", "MSG_SIZE_TOO_LARGE"])
def test_a_record_that_the_client_itself_refuses_ends_the_run_with_3(name: str) -> None:
    with pytest.raises(errors.KafkaError, match="A record was not delivered"):
        Bench(send=[kafka_exception(name)]).at_least_once().deliver(outcome(), BATCH)


def test_an_aborted_batch_goes_back_to_the_commit() -> None:
    bench = Bench(offsets=[kafka_exception("ILLEGAL_GENERATION", txn_requires_abort=True)])
    bench.consumer.offsets = {0: TopicPartition("raw", 0, 5)}
    assert not bench.exactly_once().deliver(outcome(), BATCH).result()
    assert bench.log[-2:] == ["abort", "committed"]
    assert bench.consumer.sought == [(0, 5)]


@pytest.mark.parametrize(("committed", "counts"), [(7, True), (5, False)])
def test_an_unclear_commit_counts_if_the_offsets_say_so(committed: int, counts: bool) -> None:
    """The broker may have applied it although its answer was lost."""
    bench = Bench(commit=[kafka_exception("_TIMED_OUT")])
    bench.consumer.offsets = {0: TopicPartition("raw", 0, committed)}
    assert bench.exactly_once().deliver(outcome(), BATCH).result() is counts
    assert bench.consumer.sought == [(0, committed)]


@pytest.mark.parametrize(("committed", "counts"), [(9, True), (5, False)])
def test_an_unclear_commit_counts_too_where_the_partitions_new_owner_is_further(committed: int, counts: bool) -> None:
    bench = Bench(commit=[kafka_exception("_TIMED_OUT")])
    bench.consumer.offsets = {0: TopicPartition("raw", 0, committed)}
    pending_delivery = bench.exactly_once().deliver(outcome(), BATCH)
    bench.consumer.revoke(0)
    assert pending_delivery.result() is counts


def test_what_is_on_its_way_holds_on_to_no_record() -> None:
    """The next batch would double the memory."""
    records: list[Any] = [Watched(good(), 5)]
    gone, batch = weakref.ref(records[0]), Batch(records, "generation 2", {0: 6}, rewinds=0)
    bench, made = Bench(), process(records, RuleScorer(), now="2026-01-01T00:00:00Z", limits=Limits())
    bench.producer = slow = SlowProducer(bench.log)
    pending_delivery = bench.exactly_once().deliver(made, batch)
    del records, batch
    assert gone() is None
    slow.let_go.set()
    assert pending_delivery.result()


def test_a_commit_after_a_rebalance_is_left_to_the_new_owner() -> None:
    bench = Bench()
    bench.consumer.failures = [kafka_exception("ILLEGAL_GENERATION")]
    bench.consumer.offsets = {0: TopicPartition("raw", 0, 5)}
    assert not bench.at_least_once().deliver(outcome(), BATCH).result()
    assert bench.consumer.sought == [(0, 5)]


class SlowProducer(FakeProducer):
    """Its commit comes back when it is let go."""

    def __init__(self, log: list[str]) -> None:
        super().__init__(log)
        self.asked, self.let_go = threading.Event(), threading.Event()

    def commit_transaction(self, timeout: float) -> None:
        self.asked.set()
        assert self.let_go.wait(10)
        super().commit_transaction(timeout)


def test_exactly_once_returns_while_the_commit_is_under_way() -> None:
    bench = Bench()
    bench.producer = slow = SlowProducer(bench.log)
    pending_delivery = bench.exactly_once().deliver(outcome(), BATCH)
    assert slow.asked.wait(10)
    assert pending_delivery.ended == math.inf
    slow.let_go.set()
    assert pending_delivery.result()
    assert pending_delivery.ended <= time.perf_counter()


def test_a_partition_is_given_up_only_after_the_commit_that_is_under_way() -> None:
    """Its new owner begins behind it, and need not wait for a transaction."""
    bench = Bench()
    bench.producer = slow = SlowProducer(bench.log)
    pending_delivery = bench.exactly_once().deliver(outcome(), BATCH)
    losing = threading.Thread(target=bench.consumer.revoke, args=(0,))
    losing.start()
    assert slow.asked.wait(10)
    losing.join(0.2)
    assert losing.is_alive()
    slow.let_go.set()
    losing.join(10)
    assert not losing.is_alive()
    assert pending_delivery.ended < math.inf
    assert pending_delivery.result()


def test_a_failure_of_the_commit_is_raised_where_the_result_is_asked_for() -> None:
    bench = Bench(commit=[kafka_exception("TRANSACTIONAL_ID_AUTHORIZATION_FAILED")])
    pending_delivery = bench.exactly_once().deliver(outcome(), BATCH)
    with pytest.raises(errors.TelcoStreamError):
        pending_delivery.result()
