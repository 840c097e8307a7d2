"""Writes and reads topics for tests, independent of the package's sources and sinks."""

import json
import time
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
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

#: Seconds to wait for the end of open transactions: a commit's markers take a few milliseconds, unless a test holds it.
_MARKER_SECONDS = 0.5
#: The partitioner chooses.
PARTITION_ANY = -1
#: Key, value and headers; the client encodes text as UTF-8.
Outgoing = tuple[bytes | str | None, bytes | str | None, list[tuple[str, bytes]]]


@dataclass(frozen=True, slots=True)
class Topics:
    """Unique names for one test: three topics, a group and a transactional ID."""

    raw: str
    predictions: str
    deadletter: str
    group: str
    transactional_id: str

    @property
    def models(self) -> str:
        """Return the name of the models topic, which only `topics init --models` creates."""
        return f"{self.raw}.models"

    @property
    def outcomes(self) -> str:
        """Return the name of the outcomes topic, which only `topics init --outcomes` creates."""
        return f"{self.raw}.outcomes"

    def env(self, bootstrap: str) -> dict[str, str]:
        """Return the environment that makes a `telco-stream` process use these names."""
        return {
            "TELCO_STREAM_BOOTSTRAP_SERVERS": bootstrap,
            "TELCO_STREAM_TOPICS__RAW": self.raw,
            "TELCO_STREAM_TOPICS__PREDICTIONS": self.predictions,
            "TELCO_STREAM_TOPICS__DEADLETTER": self.deadletter,
            "TELCO_STREAM_TOPICS__MODELS": self.models,
            "TELCO_STREAM_TOPICS__OUTCOMES": self.outcomes,
            "TELCO_STREAM_CONSUMER__GROUP_ID": self.group,
        }

    def partitions(self) -> dict[str, int]:
        """Return the number of partitions of each topic."""
        return {self.raw: 3, self.predictions: 3, self.deadletter: 1}


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A record read from a topic."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]
    timestamp: int

    def json(self) -> Any:
        """Parse the value as JSON."""
        return json.loads(self.value or b"")

    def header(self, name: str) -> str | None:
        """Return the first header of this name, as text."""
        return next((value.decode() for key, value in self.headers if key == name), None)


def fresh_topics() -> Topics:
    """Return names that no other test uses."""
    prefix = f"test-{uuid.uuid4().hex[:12]}"
    return Topics(f"{prefix}.raw", f"{prefix}.predictions", f"{prefix}.deadletter", f"{prefix}-group", f"{prefix}-txn")


def create_topics(bootstrap: str, topics: Topics) -> None:
    """Create the three topics on a real broker.

    Records are kept forever: within five minutes, the broker deletes those that a test has given a time 7 days ago.
    """
    limits = {topics.predictions: 4_194_304, topics.deadletter: 2_097_152}
    larger = {name: {"max.message.bytes": str(limit)} for name, limit in limits.items()}
    admin = AdminClient({"bootstrap.servers": bootstrap})
    new = [
        NewTopic(name, count, 1, config={"retention.ms": "-1", **larger.get(name, {})})
        for name, count in topics.partitions().items()
    ]
    for future in admin.create_topics(new, operation_timeout=15).values():
        future.result(20)
    wait_for_topics(bootstrap, topics.partitions())


def create_internal_topics(bootstrap: str) -> None:
    """Create the topics of groups and transactions, as the first request for each does; others may wait for it long."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "first", "log_level": 0})

    def has_coordinator() -> bool:
        try:
            consumer.committed([TopicPartition("any", 0)], timeout=5)
        except KafkaException:
            return False
        return True

    wait_until(has_coordinator, 60, "a group coordinator")
    consumer.close()
    producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": "first", "log_level": 0})
    producer.list_topics(timeout=15)
    producer.init_transactions(60)


def wait_for_topics(bootstrap: str, partitions: Mapping[str, int]) -> None:
    """Wait until each partition has a leader; the broker learns of a new topic a moment after the controller."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for name, count in partitions.items():
        wait_until(partial(_has_leaders, admin, name, count), 30, f"topic {name} on the broker")


def _has_leaders(admin: AdminClient, topic: str, count: int) -> bool:
    return len(_leaders(admin, topic)) == count


def create_by_metadata(bootstrap: str, *names: str) -> None:
    """Create topics by metadata requests, on a broker that creates topics automatically and advertises a wrong name.

    A client closes its bootstrap connection when it learns the advertised address from a request of its own, and with
    it loses an answer that has not arrived by then; so each attempt has a new client.
    """

    def exists(name: str) -> bool:
        admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
        try:
            return admin.list_topics(name, timeout=5).topics[name].error is None
        except KafkaException as error:
            if error.args[0].code() in {KafkaError._TRANSPORT, KafkaError._TIMED_OUT}:
                return False
            raise

    for name in names:
        wait_until(partial(exists, name), 30, f"topic {name}")


def delete_topics(bootstrap: str, topics: Topics) -> None:
    """Delete the topics; ignore those that the test has deleted or not created."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for future in admin.delete_topics(
        [*topics.partitions(), topics.models, topics.outcomes], operation_timeout=15
    ).values():
        try:
            future.result(20)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise


def delete_topic(bootstrap: str, topic: str) -> None:
    """Delete the topic."""
    admin = AdminClient({"bootstrap.servers": bootstrap})  # its futures fail once it is gone
    admin.delete_topics([topic], operation_timeout=15)[topic].result(20)
    wait_until(lambda: topic not in admin.list_topics(timeout=10).topics, 30, "the end of the topic")


def recreate_topic(bootstrap: str, topic: str, partitions: int = 3) -> None:
    """Delete the topic and create it again under its name; it has another topic ID and is empty."""
    admin, before = AdminClient({"bootstrap.servers": bootstrap}), topic_id(bootstrap, topic)
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
    wait_for_new_id(bootstrap, topic, before)
    wait_until(lambda: len(_leaders(admin, topic)) == partitions, 30, "its partitions on the broker")


def wait_for_new_id(bootstrap: str, topic: str, before: str) -> None:
    """Wait until the broker has another topic of this name; until then, it appends records to the one before."""

    def is_new() -> bool:
        try:
            return topic_id(bootstrap, topic) != before
        except KafkaException as error:
            if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise
            return False

    wait_until(is_new, 30, f"another topic ID of {topic}")


def topic_id(bootstrap: str, topic: str) -> str:
    """Return the topic's ID as `kafka-topics.sh` prints it."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    described = admin.describe_topics(TopicCollection([topic]))[topic].result(20)
    return str(described.topic_id).translate(str.maketrans("+/", "-_"))


def configure_topic(bootstrap: str, topic: str, name: str, value: str | None) -> None:
    """Set one value of the topic's configuration, or remove it if None; return once the broker applies it."""
    how = AlterConfigOpType.DELETE if value is None else AlterConfigOpType.SET
    entry = ConfigEntry(name, value, incremental_operation=how)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    admin = AdminClient({"bootstrap.servers": bootstrap})  # its futures fail once it is gone
    admin.incremental_alter_configs([resource])[resource].result(20)
    _wait_for_earlier_changes(admin)


def _wait_for_earlier_changes(admin: AdminClient) -> None:
    """Wait until the broker has applied all changes that the controller has confirmed.

    The broker applies the controller's log batch by batch. A topic's leader is visible from the beginning of its batch,
    so the first probe may share a batch with the change; the second one comes after it.
    """
    for probe in (f"probe-{uuid.uuid4().hex}", f"probe-{uuid.uuid4().hex}"):
        admin.create_topics([NewTopic(probe, 1, 1)], operation_timeout=15)[probe].result(20)
        wait_until(partial(_has_leaders, admin, probe, 1), 30, "a topic created after the change")
        admin.delete_topics([probe], operation_timeout=15)[probe].result(20)


def _leaders(admin: AdminClient, topic: str) -> list[int]:
    """Return the partitions of the topic that have a leader."""
    metadata = admin.list_topics(timeout=10).topics.get(topic)
    return [number for number, part in metadata.partitions.items() if part.leader >= 0] if metadata else []


def send(bootstrap: str, topic: str, records: Iterable[Outgoing], partition: int | None = None) -> None:
    """Send the records in order and wait for their confirmation; keys choose partitions as in Java's producer.

    The producer is not idempotent: that would cost half a second, in which the client waits for a producer ID.
    """
    failed: list[KafkaError] = []
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "max.in.flight.requests.per.connection": 1,
            "linger.ms": 5,
            "message.max.bytes": 20_000_000,
            "partitioner": "murmur2_random",
            "queue.buffering.max.messages": 2_000_000,
        }
    )

    def on_delivery(error: KafkaError | None, _: Message) -> None:
        if error is not None:
            failed.append(error)

    target = PARTITION_ANY if partition is None else partition
    for key, value, headers in records:
        producer.produce(topic, value, key, target, on_delivery, headers=list(headers))
        producer.poll(0)
    assert producer.flush(60) == 0, f"records for {topic} were not confirmed within 60 s"
    assert not failed, f"records for {topic} were refused: {failed[0]}"


def read_topic(bootstrap: str, topic: str, isolation: str = "read_committed") -> list[StoredRecord]:
    """Return all records of the topic up to its end, by partition and offset, without joining a group.

    Waits briefly for open transactions, because committed records are visible a moment after the commit.
    """
    reader = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": f"reader-{uuid.uuid4().hex}",
            "isolation.level": isolation,
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 10,  # the broker waits this long before it reports the end of a partition
        }
    )
    try:
        metadata = reader.list_topics(topic, timeout=15).topics[topic]
        assert metadata.error is None, f"{topic}: {metadata.error}"
        reader.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in metadata.partitions])
        records = _read_to_end(reader, topic, set(metadata.partitions))
        return sorted(records, key=lambda record: (record.partition, record.offset))
    finally:
        reader.close()


def _read_to_end(reader: Consumer, topic: str, unfinished: set[int]) -> Iterable[StoredRecord]:
    empty_polls, newest_at = 0, time.monotonic()
    ended: set[int] = set()
    # Records that were committed just now follow the end for a moment, until the broker has written their markers.
    while unfinished - ended or (unfinished and time.monotonic() - newest_at < _MARKER_SECONDS):
        first = reader.poll(0.02 if unfinished == ended else 0.2)
        messages = [] if first is None else [first, *reader.consume(10_000, 0)]
        empty_polls, newest_at = (0, time.monotonic()) if messages else (empty_polls + 1, newest_at)
        assert empty_polls < 100, f"{topic}: no record for 20 s before the end of partitions {sorted(unfinished)}"
        for message in messages:
            error, partition = message.error(), cast("int", message.partition())
            if error is None:
                yield _stored_record(message)
            elif error.code() == KafkaError._PARTITION_EOF:
                ended.add(partition)
                if cast("int", message.offset()) >= _high_watermark(reader, topic, partition):
                    unfinished.discard(partition)
                    ended.discard(partition)
            else:
                raise KafkaException(error)


def _high_watermark(reader: Consumer, topic: str, partition: int) -> int:
    """Return the end of the partition at its latest fetch, with the records of open transactions."""
    return reader.get_watermark_offsets(TopicPartition(topic, partition), cached=True)[1]


def _stored_record(message: Message) -> StoredRecord:
    # Fetched messages have coordinates, but the client's type hints allow None.
    topic, partition, offset = cast("tuple[str, int, int]", (message.topic(), message.partition(), message.offset()))
    headers = cast("list[tuple[str, bytes]]", message.headers() or [])
    return StoredRecord(topic, partition, offset, message.key(), message.value(), headers, message.timestamp()[1])
