"""One partition of Kafka in memory for the consumer: positions, commits and transactions."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import Message, TopicPartition

from tests.support.topics import StoredRecord


@dataclass
class MemoryKafka:
    """The records of the raw topic, the committed answers, and the committed offset with its metadata."""

    raw: list[Message] = field(default_factory=list)
    kept: list[StoredRecord] = field(default_factory=list)
    committed: TopicPartition | None = None


@dataclass
class MemoryConsumer:
    """A consumer that owns the partition."""

    kafka: MemoryKafka
    topic: str

    def subscribe(self, _topics: list[str], *, on_assign: Any, **_: Any) -> None:
        on_assign(self, [TopicPartition(self.topic, 0)])

    def incremental_assign(self, partitions: list[TopicPartition]) -> None:
        for partition in partitions:
            self.position = partition.offset

    def incremental_unassign(self, _partitions: list[TopicPartition]) -> None:
        """Do nothing."""

    def poll(self, _timeout: float) -> Message | None:
        return next(iter(self.consume(1, 0)), None)

    def consume(self, count: int, _timeout: float) -> list[Message]:
        batch = self.kafka.raw[self.position : self.position + count]
        self.position += len(batch)
        return batch

    def committed(self, partitions: Iterable[TopicPartition], timeout: float) -> list[TopicPartition]:  # noqa: ARG002
        return [self.kafka.committed or TopicPartition(self.topic, 0, -1001) for _ in partitions]

    def commit(self, *, offsets: list[TopicPartition], asynchronous: bool) -> None:  # noqa: ARG002
        self.kafka.committed = offsets[0]

    def seek(self, target: TopicPartition) -> None:
        self.position = target.offset

    def get_watermark_offsets(self, _partition: TopicPartition, *, cached: bool) -> tuple[int, int]:
        assert cached, "only cached watermarks cost no request"
        return 0, len(self.kafka.raw)

    def consumer_group_metadata(self) -> object:
        return "group metadata"

    def close(self) -> None:
        """Do nothing."""


@dataclass
class MemoryProducer:
    """Stores flushed messages, or inside a transaction committed ones."""

    kafka: MemoryKafka
    queue: list[StoredRecord] = field(default_factory=list)
    offsets: list[TopicPartition] = field(default_factory=list)
    open: bool = False

    def init_transactions(self, _timeout: float) -> None:
        """Do nothing: no transaction was left open."""

    def begin_transaction(self) -> None:
        self.open = True

    def produce(self, topic: str, value: bytes, key: Any, *more: Any, headers: Any = None, **_: Any) -> None:
        kept_headers = headers if headers is not None else more[-1]
        encoded_key = key.encode() if isinstance(key, str) else key
        self.queue.append(StoredRecord(topic, 0, len(self.queue), encoded_key, value, kept_headers, 0))

    def send_offsets_to_transaction(self, offsets: list[TopicPartition], _metadata: object, _timeout: float) -> None:
        self.offsets = offsets

    def commit_transaction(self, timeout: float) -> None:
        self.open = False
        self.flush(timeout)
        self.kafka.committed = self.offsets[0]

    def flush(self, _timeout: float) -> int:
        assert not self.open
        self.kafka.kept += self.queue
        self.queue.clear()
        return 0

    def poll(self, _timeout: float) -> int:
        return 0

    def __len__(self) -> int:
        return len(self.queue)

    def __bool__(self) -> bool:
        return True
