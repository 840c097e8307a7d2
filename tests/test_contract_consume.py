"""Contract of consuming: the same in memory, on the embedded broker and on a real Kafka."""

import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any, Protocol, cast

import pytest
from confluent_kafka import Message

from telco_stream.consume.counters import ConsumePlan, ConsumeResult, RunCounters
from telco_stream.consume.delivery import AtLeastOnce, ExactlyOnce
from telco_stream.consume.loop import consume
from telco_stream.consume.protocols import Delivery
from telco_stream.kafka.clients import Clients
from telco_stream.kafka.cluster import Cluster
from telco_stream.kafka.sink import Sink
from telco_stream.kafka.source import KafkaSource, Subscription
from telco_stream.kafka.starts import AskOffsets, TopicToRead
from telco_stream.kafka.transactions import Transactions
from telco_stream.runtime.clock import utc_timestamp
from telco_stream.runtime.signals import Stop
from telco_stream.scoring import Limits
from telco_stream.settings import Settings
from tests.conftest import Broker
from tests.support.consumer_harness import answers, customers, settings_of, sources
from tests.support.fakes import ask_nothing_kept
from tests.support.memory_kafka import MemoryConsumer, MemoryKafka, MemoryProducer
from tests.support.records import RuleScorer
from tests.support.topics import Outgoing, StoredRecord, fresh_topics, read_topic, send

#: On the embedded broker, the next member of a group that has just become empty waits for a session timeout.
QUICK_SESSION = {"session.timeout.ms": "1200", "heartbeat.interval.ms": "300"}
BAD: Outgoing = ("bad", b"not JSON", [("traceparent", b"00-1")])


class Environment(Protocol):
    """A Kafka and its clients."""

    settings: Settings
    ask_offsets: AskOffsets

    def put(self, records: list[Outgoing]) -> None:
        """Write records into the raw topic."""

    def consumer(self) -> Any: ...

    def producer(self, transactional_id: str | None = None) -> Any: ...

    def answers(self) -> list[StoredRecord]:
        """Return the committed predictions and dead letters."""

    def inputs(self) -> list[str]:
        """Return the sorted coordinates of the raw topic's records."""


class MemoryEnvironment:
    """Fakes in memory."""

    def __init__(self) -> None:
        self.settings = settings_of("nowhere", fresh_topics())
        self.ask_offsets: AskOffsets = ask_nothing_kept
        self._kafka = MemoryKafka()

    def put(self, records: list[Outgoing]) -> None:
        topic = self.settings.topics.raw
        for key, value, headers in records:
            offset = len(self._kafka.raw)
            self._kafka.raw.append(
                Message(topic, 0, offset, cast("bytes", key), cast("bytes", value), cast("Any", headers))
            )

    def consumer(self) -> Any:
        return MemoryConsumer(self._kafka, self.settings.topics.raw)

    def producer(self, transactional_id: str | None = None) -> Any:  # noqa: ARG002 - there is only one producer
        return MemoryProducer(self._kafka)

    def answers(self) -> list[StoredRecord]:
        return self._kafka.kept

    def inputs(self) -> list[str]:
        return sorted(f"{record.topic()}/{record.partition()}/{record.offset()}" for record in self._kafka.raw)


class BrokerEnvironment:
    """A broker, embedded or real."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self.settings = settings_of(broker.bootstrap, broker.topics, None if broker.real else QUICK_SESSION)
        self._clients = Clients(self.settings)
        self.ask_offsets: AskOffsets = Cluster(self._clients).ask_offsets

    def put(self, records: list[Outgoing]) -> None:
        send(self._broker.bootstrap, self._broker.topics.raw, records, partition=0)

    def consumer(self) -> Any:
        return self._clients.consumer(self.settings.consumer.group_id)

    def producer(self, transactional_id: str | None = None) -> Any:
        return self._clients.producer(transactional_id)

    def answers(self) -> list[StoredRecord]:
        return answers(self._broker.bootstrap, self._broker.topics)

    def inputs(self) -> list[str]:
        records = read_topic(self._broker.bootstrap, self._broker.topics.raw)
        return sorted(f"{record.topic}/{record.partition}/{record.offset}" for record in records)


@pytest.fixture(
    params=[
        ("memory", "at-least-once"),
        ("memory", "exactly-once"),
        ("embedded", "at-least-once"),
        pytest.param(("real", "at-least-once"), marks=pytest.mark.real),
        pytest.param(("real", "exactly-once"), marks=pytest.mark.real),
    ],
    ids="-".join,
)
def harness(request: pytest.FixtureRequest) -> Iterator["ContractHarness"]:
    kind, delivery = request.param
    if kind == "memory":
        yield ContractHarness(MemoryEnvironment(), delivery)
    elif kind == "embedded":
        cluster, names = request.getfixturevalue("embedded"), request.getfixturevalue("embedded_topics")
        yield ContractHarness(BrokerEnvironment(Broker(cluster.bootstrap, names, real=False)), delivery)
    else:
        address, names = request.getfixturevalue("kafka"), request.getfixturevalue("topics")
        yield ContractHarness(BrokerEnvironment(Broker(address, names, real=True)), delivery)


class ContractHarness:
    """Runs of the loop in one environment."""

    def __init__(self, environment: Environment, delivery: str) -> None:
        self.environment = environment
        self._delivery = delivery
        self.stop = Stop()

    def run(self, most: int, **more: Any) -> ConsumeResult:
        """Consume exactly `most` records as a new member of the group."""
        plan = ConsumePlan("streaming", batch_size=4, limits=Limits(), max_messages=most, idle_timeout=10, **more)
        with closing(self.source()) as source:
            return consume(
                source,
                self.delivery(source),
                RuleScorer(),
                RunCounters(plan),
                utc_timestamp=utc_timestamp,
                stop=self.stop,
                observers=(),
            )

    def source(self) -> KafkaSource:
        return KafkaSource(
            self.environment.consumer(),
            Subscription(TopicToRead(self.environment.settings.topics.raw, self.environment.ask_offsets)),
            self.stop,
        )

    def delivery(self, source: KafkaSource) -> Delivery:
        topics = self.environment.settings.topics
        if self._delivery == "at-least-once":
            return AtLeastOnce(Sink(self.environment.producer(), self.stop), source, topics)
        name = f"{self.environment.settings.consumer.group_id}-{time.monotonic_ns()}"
        return ExactlyOnce(
            Transactions(lambda: self.environment.producer(name), self.stop, has_unique_id=True), source, topics
        )


def test_loop_answers_each_input_once(harness: ContractHarness) -> None:
    harness.environment.put([*customers(range(5)), BAD, *customers(range(5, 9))])
    result = harness.run(10)
    assert (result.predicted, result.dead_lettered) == (9, 1)
    assert sources(harness.environment.answers()) == harness.environment.inputs()


def test_max_messages_adds_up_over_two_runs(harness: ContractHarness) -> None:
    """Ten and ten more are twenty answers to twenty inputs."""
    harness.environment.put(customers(range(23)))
    assert [harness.run(10).consumed, harness.run(10).consumed] == [10, 10]
    answered = sources(harness.environment.answers())
    assert len(answered) == len(set(answered)) == 20


def test_answers_have_the_key_and_headers_of_the_input(harness: ContractHarness) -> None:
    (customer,) = customers([7])
    harness.environment.put([(None, customer[1], [("traceparent", b"00-2"), ("source", b"forged")]), BAD])
    harness.run(2)
    letter, prediction = _two(harness)
    assert (prediction.key, letter.key) == (b"c7", b"bad")
    assert (prediction.header("traceparent"), letter.header("traceparent")) == ("00-2", "00-1")
    assert [value for name, value in prediction.headers if name == "source"] == [
        harness.environment.inputs()[0].encode()
    ]


def test_source_returns_records_again_when_not_committed(harness: ContractHarness) -> None:
    harness.environment.put(customers(range(6)))
    with closing(harness.source()) as source:
        first = _poll(source)
        source.rewind()
        assert _poll(source) == first
    assert harness.run(6).consumed == 6
    assert sources(harness.environment.answers()) == harness.environment.inputs()


def test_consecutive_dead_letters_survive_a_restart(harness: ContractHarness) -> None:
    harness.environment.put([BAD] * 3)
    harness.run(3)
    with closing(harness.source()) as source:
        harness.environment.put([BAD])
        _poll(source)
        assert source.consecutive_dead_letters() == 3


def _two(harness: ContractHarness) -> tuple[StoredRecord, StoredRecord]:
    found = {kept.topic: kept for kept in harness.environment.answers()}
    topics = harness.environment.settings.topics
    return found[topics.deadletter], found[topics.predictions]


def _poll(source: KafkaSource) -> list[int]:
    deadline = time.monotonic() + 20
    while not (records := source.poll_batch(1, 0.5).records):
        assert time.monotonic() < deadline
    return [record.offset() for record in records]
