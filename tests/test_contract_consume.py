"""One contract of the consuming side: the same in memory, on the embedded broker and on a real Kafka."""

import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any, Protocol, cast

import pytest
from confluent_kafka import Message

from telco_stream.consume.counters import ConsumePlan, ConsumeResult
from telco_stream.consume.delivery import AtLeastOnce, Delivery, ExactlyOnce
from telco_stream.consume.loop import consume
from telco_stream.kafka.clients import Clients
from telco_stream.kafka.cluster import Cluster
from telco_stream.kafka.sink import Sink
from telco_stream.kafka.source import Source, Subscription
from telco_stream.kafka.starts import AskOffsets, TopicToRead
from telco_stream.kafka.transactions import Transactions
from telco_stream.runtime.clock import now
from telco_stream.runtime.signals import Stop
from telco_stream.scoring import Limits
from telco_stream.settings import Settings
from tests.conftest import Broker
from tests.support.consumer_harness import answers, customers, settings_of, sources
from tests.support.fakes import ask_nothing_kept
from tests.support.memory_kafka import MemoryConsumer, MemoryKafka, MemoryProducer
from tests.support.records import RuleScorer
from tests.support.topics import Outgoing, StoredRecord, fresh_topics, read_topic, send

#: The embedded broker has the next member of a group that has just become empty wait for a session's length.
QUICK_SESSION = {"session.timeout.ms": "1200", "heartbeat.interval.ms": "300"}
BAD: Outgoing = ("bad", b"not JSON", [("traceparent", b"00-1")])


class World(Protocol):
    """A Kafka, and the doors to it."""

    settings: Settings
    ask_offsets: AskOffsets

    def put(self, records: list[Outgoing]) -> None:
        """They stand in the raw topic."""

    def consumer(self) -> Any: ...

    def producer(self, transactional_id: str | None = None) -> Any: ...

    def answers(self) -> list[StoredRecord]:
        """What a reader of committed records sees."""

    def inputs(self) -> list[str]:
        """Where the raw topic's records stand."""


class Memory:
    """The fakes."""

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

    def producer(self, transactional_id: str | None = None) -> Any:  # noqa: ARG002 - nobody else is there
        return MemoryProducer(self._kafka)

    def answers(self) -> list[StoredRecord]:
        return self._kafka.kept

    def inputs(self) -> list[str]:
        return sorted(f"{one.topic()}/{one.partition()}/{one.offset()}" for one in self._kafka.raw)


class Brokers:
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
        found = read_topic(self._broker.bootstrap, self._broker.topics.raw)
        return sorted(f"{one.topic}/{one.partition}/{one.offset}" for one in found)


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
def bench(request: pytest.FixtureRequest) -> Iterator["Bench"]:
    where, delivery = request.param
    if where == "memory":
        yield Bench(Memory(), delivery)
    elif where == "embedded":
        cluster, names = request.getfixturevalue("embedded"), request.getfixturevalue("embedded_topics")
        yield Bench(Brokers(Broker(cluster.bootstrap, names, real=False)), delivery)
    else:
        address, names = request.getfixturevalue("kafka"), request.getfixturevalue("topics")
        yield Bench(Brokers(Broker(address, names, real=True)), delivery)


class Bench:
    """Runs of the loop over one world."""

    def __init__(self, world: World, delivery: str) -> None:
        self.world = world
        self._delivery = delivery
        self.stop = Stop()

    def run(self, most: int, **more: Any) -> ConsumeResult:
        """Consume exactly so many records, as a new member of the group."""
        plan = ConsumePlan("streaming", batch_size=4, limits=Limits(), max_messages=most, idle_timeout=10, **more)
        with closing(self.source()) as source:
            return consume(source, self.delivery(source), RuleScorer(), plan, now=now, stop=self.stop, observers=())

    def source(self) -> Source:
        return Source(
            self.world.consumer(),
            Subscription(TopicToRead(self.world.settings.topics.raw, self.world.ask_offsets)),
            self.stop,
        )

    def delivery(self, source: Source) -> Delivery:
        topics = self.world.settings.topics
        if self._delivery == "at-least-once":
            return AtLeastOnce(Sink(self.world.producer(), self.stop), source, topics)
        name = f"{self.world.settings.consumer.group_id}-{time.monotonic_ns()}"
        return ExactlyOnce(
            Transactions(lambda: self.world.producer(name), self.stop, has_unique_id=True), source, topics
        )


def test_each_input_is_answered_once_under_its_source(bench: Bench) -> None:
    bench.world.put([*customers(range(5)), BAD, *customers(range(5, 9))])
    result = bench.run(10)
    assert (result.predicted, result.dead_lettered) == (9, 1)
    assert sources(bench.world.answers()) == bench.world.inputs()


def test_bounds_add_up(bench: Bench) -> None:
    """Ten, then ten more, are twenty answers to twenty inputs."""
    bench.world.put(customers(range(23)))
    assert [bench.run(10).consumed, bench.run(10).consumed] == [10, 10]
    found = sources(bench.world.answers())
    assert len(found) == len(set(found)) == 20


def test_answers_carry_the_key_and_the_inputs_headers(bench: Bench) -> None:
    (customer,) = customers([7])
    bench.world.put([(None, customer[1], [("traceparent", b"00-2"), ("source", b"a lie")]), BAD])
    bench.run(2)
    letter, prediction = _two(bench)
    assert (prediction.key, letter.key) == (b"c7", b"bad")
    assert (prediction.header("traceparent"), letter.header("traceparent")) == ("00-2", "00-1")
    assert [value for name, value in prediction.headers if name == "source"] == [bench.world.inputs()[0].encode()]


def test_what_was_taken_but_not_committed_is_taken_again(bench: Bench) -> None:
    bench.world.put(customers(range(6)))
    with closing(bench.source()) as source:
        first = _take(source)
        source.rewind()
        assert _take(source) == first
    assert bench.run(6).consumed == 6
    assert sources(bench.world.answers()) == bench.world.inputs()


def test_the_count_of_dead_letters_in_a_row_outlives_the_member(bench: Bench) -> None:
    bench.world.put([BAD] * 3)
    bench.run(3)
    with closing(bench.source()) as source:
        bench.world.put([BAD])
        _take(source)
        assert source.dead_letters_in_a_row() == 3


def _two(bench: Bench) -> tuple[StoredRecord, StoredRecord]:
    found = {kept.topic: kept for kept in bench.world.answers()}
    topics = bench.world.settings.topics
    return found[topics.deadletter], found[topics.predictions]


def _take(source: Source) -> list[int]:
    deadline = time.monotonic() + 20
    while not (records := source.poll_batch(1, 0.5).records):
        assert time.monotonic() < deadline
    return [record.offset() for record in records]
