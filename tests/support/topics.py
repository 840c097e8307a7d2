"""Writing to and reading from topics in tests, independent of the product's own sources and sinks."""

import json
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)
from confluent_kafka.cimpl import NewTopic

from tests.support.waiting import wait_until

#: librdkafka's word for "the partitioner chooses".
PARTITION_ANY = -1
#: Key, value, headers, as the brokers keep them; the client encodes text as UTF-8.
Outgoing = tuple[bytes | str | None, bytes | str | None, list[tuple[str, bytes]]]


@dataclass(frozen=True, slots=True)
class Topics:
    """Names that belong to one test alone: three topics, a group, a transactional id."""

    raw: str
    predictions: str
    deadletter: str
    group: str
    transactional_id: str

    def env(self, bootstrap: str) -> dict[str, str]:
        """The settings that make a `telco-stream` process use them."""
        return {
            "TELCO_STREAM_BOOTSTRAP_SERVERS": bootstrap,
            "TELCO_STREAM_TOPICS__RAW": self.raw,
            "TELCO_STREAM_TOPICS__PREDICTIONS": self.predictions,
            "TELCO_STREAM_TOPICS__DEADLETTER": self.deadletter,
            "TELCO_STREAM_CONSUMER__GROUP_ID": self.group,
        }

    def partitions(self) -> dict[str, int]:
        """Each topic and its number of partitions."""
        return {self.raw: 3, self.predictions: 3, self.deadletter: 1}


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A record as a topic keeps it."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]
    timestamp: int

    def json(self) -> Any:
        """The value, parsed."""
        return json.loads(self.value or b"")

    def header(self, name: str) -> str | None:
        """The first header of this name, as text."""
        return next((value.decode() for key, value in self.headers if key == name), None)


def fresh_topics() -> Topics:
    """Names that no other test has."""
    prefix = f"test-{uuid.uuid4().hex[:12]}"
    return Topics(f"{prefix}.raw", f"{prefix}.predictions", f"{prefix}.deadletter", f"{prefix}-group", f"{prefix}-txn")


def create_topics(bootstrap: str, topics: Topics) -> None:
    """The three topics stand on this real broker."""
    wide = {topics.deadletter: {"max.message.bytes": str(2 * 1024 * 1024)}}
    admin = AdminClient({"bootstrap.servers": bootstrap})
    news = [NewTopic(name, count, 1, config=wide.get(name, {})) for name, count in topics.partitions().items()]
    for made in admin.create_topics(news, operation_timeout=15).values():
        made.result(20)
    # The controller has answered; the broker hears of it a moment later, and a moment later still where it is busy.
    wait_until(lambda: _stand(admin, topics), 30, "the topics on the broker")


def _stand(admin: AdminClient, topics: Topics) -> bool:
    """Whether each partition has its leader."""
    seen = admin.list_topics(timeout=10).topics
    return all(
        name in seen and [one.leader >= 0 for one in seen[name].partitions.values()] == [True] * count
        for name, count in topics.partitions().items()
    )


def create_by_metadata(bootstrap: str, *names: str) -> None:
    """Create topics on a broker that does so by itself for whoever asks for them, and can be asked for nothing else."""
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})

    def exist() -> bool:
        return all(admin.list_topics(name, timeout=5).topics[name].error is None for name in names)

    wait_until(exist, 30, "the topics")


def delete_topics(bootstrap: str, topics: Topics) -> None:
    """None of the three stands any more; one that a test deleted itself doesn't count as an error."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for gone in admin.delete_topics(list(topics.partitions()), operation_timeout=15).values():
        try:
            gone.result(20)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise


def recreate_topic(bootstrap: str, topic: str, partitions: int = 3) -> None:
    """Delete the topic and create it again under its name; it has another topic ID and is empty."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.delete_topics([topic], operation_timeout=15)[topic].result(20)

    def is_created() -> bool:
        try:
            admin.create_topics([NewTopic(topic, partitions, 1)], operation_timeout=15)[topic].result(20)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:  # the deletion goes on
                raise
            return False
        return True

    wait_until(is_created, 30, "the topic created again")
    wait_until(lambda: len(_leaders(admin, topic)) == partitions, 30, "its partitions on the broker")


def topic_id(bootstrap: str, topic: str) -> str:
    """The topic's ID as `kafka-topics.sh` prints it."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    described = admin.describe_topics(TopicCollection([topic]))[topic].result(20)
    return str(described.topic_id).translate(str.maketrans("+/", "-_"))


def configure_topic(bootstrap: str, topic: str, name: str, value: str) -> None:
    """Set one value of the topic's configuration."""
    entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    admin = AdminClient({"bootstrap.servers": bootstrap})  # its futures fail once it is gone
    admin.incremental_alter_configs([resource])[resource].result(20)


def _leaders(admin: AdminClient, topic: str) -> list[int]:
    """The partitions of the topic that have a leader."""
    found = admin.list_topics(timeout=10).topics.get(topic)
    return [number for number, one in found.partitions.items() if one.leader >= 0] if found else []


def send(bootstrap: str, topic: str, records: Iterable[Outgoing], partition: int | None = None) -> None:
    """All records are in the topic, confirmed, in their order; keys choose partitions as a Java producer's would."""
    failed: list[KafkaError] = []
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "enable.idempotence": True,
            "linger.ms": 5,
            "message.max.bytes": 20_000_000,
            "partitioner": "murmur2_random",
            "queue.buffering.max.messages": 2_000_000,
        }
    )

    def note(error: KafkaError | None, _: Message) -> None:
        if error is not None:
            failed.append(error)

    place = PARTITION_ANY if partition is None else partition
    for key, value, headers in records:
        producer.produce(topic, value, key, place, note, headers=list(headers))
        producer.poll(0)
    assert producer.flush(60) == 0, f"records for {topic} were not confirmed within 60 s"
    assert not failed, f"records for {topic} were refused: {failed[0]}"


def read_topic(bootstrap: str, topic: str, isolation: str = "read_committed") -> list[StoredRecord]:
    """Everything the topic keeps, partition by partition, up to its end when reached; no group is joined.

    Transaction markers at the end of a partition don't count as records and aren't waited for.
    """
    reader = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": f"reader-{uuid.uuid4().hex}",
            "isolation.level": isolation,
            "enable.auto.commit": False,
            "enable.partition.eof": True,
        }
    )
    try:
        found = reader.list_topics(topic, timeout=15).topics[topic]
        assert found.error is None, f"{topic}: {found.error}"
        reader.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in found.partitions])
        return sorted(_to_the_end(reader, topic, set(found.partitions)), key=lambda kept: (kept.partition, kept.offset))
    finally:
        reader.close()


def _to_the_end(reader: Consumer, topic: str, unfinished: set[int]) -> Iterable[StoredRecord]:
    silences = 0
    while unfinished:
        messages = reader.consume(10_000, 0.2)
        silences = 0 if messages else silences + 1
        assert silences < 100, f"{topic}: nothing arrived for 20 s, partitions {sorted(unfinished)} have not ended"
        for message in messages:
            error = message.error()
            if error is None:
                yield _kept(message)
            elif error.code() == KafkaError._PARTITION_EOF:
                unfinished.discard(message.partition())
            else:
                raise KafkaException(error)


def _kept(message: Message) -> StoredRecord:
    # The client's type hints allow a message without coordinates; one that was fetched has them.
    topic, partition, offset = cast("tuple[str, int, int]", (message.topic(), message.partition(), message.offset()))
    headers = cast("list[tuple[str, bytes]]", message.headers() or [])
    return StoredRecord(topic, partition, offset, message.key(), message.value(), headers, message.timestamp()[1])
