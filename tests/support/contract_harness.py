"""Runs the loop of `consume` on fakes in memory, on the embedded broker or on a real Kafka."""

import time
from contextlib import closing
from typing import Any, Protocol, cast

from confluent_kafka import Message

from telco_stream.consume.batches import BatchScorer
from telco_stream.consume.counters import ConsumePlan, ConsumeResult
from telco_stream.consume.delivery import AtLeastOnce, ExactlyOnce
from telco_stream.consume.loop import ConsumeLoop, Delivery
from telco_stream.kafka.clients import Clients
from telco_stream.kafka.cluster import Cluster
from telco_stream.kafka.sink import Sink
from telco_stream.kafka.source import KafkaSource, Subscription
from telco_stream.kafka.starts import AskOffsets, TopicToRead
from telco_stream.kafka.transactions import Transactions
from telco_stream.model.serving import Models, ServingModels
from telco_stream.runtime.clock import utc_timestamp
from telco_stream.runtime.signals import Stop
from telco_stream.scoring import Limits
from telco_stream.settings import Settings
from tests.conftest import Broker
from tests.support.consumer_harness import answers, settings_of
from tests.support.fakes import ask_nothing_kept
from tests.support.memory_kafka import MemoryConsumer, MemoryKafka, MemoryProducer
from tests.support.records import RuleScorer
from tests.support.topics import Outgoing, StoredRecord, fresh_topics, read_topic, send

#: On the embedded broker, the next member of a group that has just become empty waits for a session timeout.
QUICK_SESSION = {"session.timeout.ms": "1200", "heartbeat.interval.ms": "300"}


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
            scorer = BatchScorer(Models(ServingModels(RuleScorer())), plan, utc_timestamp)
            loop = ConsumeLoop(source, self.delivery(source), scorer.process, plan, stop=self.stop, observers=())
            return loop.run()

    def source(self) -> KafkaSource:
        return KafkaSource(
            self.environment.consumer(),
            Subscription(TopicToRead(self.environment.settings.topics.raw, self.environment.ask_offsets)),
            self.stop,
        )

    def delivery(self, source: KafkaSource) -> Delivery:
        topics = self.environment.settings.topics
        if self._delivery == "at-least-once":
            return AtLeastOnce(Sink(self.environment.producer(), self.stop), source, topics, Limits().letter)
        name = f"{self.environment.settings.consumer.group_id}-{time.monotonic_ns()}"
        transactions = Transactions(lambda: self.environment.producer(name), self.stop, has_unique_id=True)
        transactions.start()
        return ExactlyOnce(transactions, source, topics, Limits().letter)
