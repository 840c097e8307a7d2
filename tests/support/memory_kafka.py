"""One partition of Kafka in memory, as far as the consuming side sees it: positions, commits, transactions."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import Message, TopicPartition

from tests.support.topics import StoredRecord


@dataclass
class MemoryKafka:
    """What is kept: the raw topic's records, the answers, the committed offset with its note."""

    raw: list[Message] = field(default_factory=list)
    kept: list[StoredRecord] = field(default_factory=list)
    committed: TopicPartition | None = None


@dataclass
class MemoryConsumer:
    """A member that owns the one partition."""

    kafka: MemoryKafka
    topic: str

    def subscribe(self, _topics: list[str], *, on_assign: Any, **_: Any) -> None:
        on_assign(self, [TopicPartition(self.topic, 0)])

    def incremental_assign(self, partitions: list[TopicPartition]) -> None:
        for one in partitions:
            self.position = one.offset

    def incremental_unassign(self, _partitions: list[TopicPartition]) -> None:
        """Nothing is fetched."""

    def poll(self, _timeout: float) -> Message | None:
        return next(iter(self.consume(1, 0)), None)

    def consume(self, most: int, _timeout: float) -> list[Message]:
        taken = self.kafka.raw[self.position : self.position + most]
        self.position += len(taken)
        return taken

    def committed(self, asked: Iterable[TopicPartition], timeout: float) -> list[TopicPartition]:  # noqa: ARG002
        return [self.kafka.committed or TopicPartition(self.topic, 0, -1001) for _ in asked]

    def commit(self, *, offsets: list[TopicPartition], asynchronous: bool) -> None:  # noqa: ARG002
        self.kafka.committed = offsets[0]

    def seek(self, target: TopicPartition) -> None:
        self.position = target.offset

    def get_watermark_offsets(self, _partition: TopicPartition, *, cached: bool) -> tuple[int, int]:
        assert cached, "no broker is asked"
        return 0, len(self.kafka.raw)

    def consumer_group_metadata(self) -> object:
        return "the group's view"

    def close(self) -> None:
        """Nothing is open."""


@dataclass
class MemoryProducer:
    """Keeps what is flushed; in a transaction, what is committed."""

    kafka: MemoryKafka
    queue: list[StoredRecord] = field(default_factory=list)
    offsets: list[TopicPartition] = field(default_factory=list)
    open: bool = False

    def init_transactions(self, _timeout: float) -> None:
        """Nothing was left open."""

    def begin_transaction(self) -> None:
        self.open = True

    def produce(self, topic: str, value: bytes, key: Any, *more: Any, headers: Any = None, **_: Any) -> None:
        found = headers if headers is not None else more[-1]
        name = key.encode() if isinstance(key, str) else key
        self.queue.append(StoredRecord(topic, 0, len(self.queue), name, value, found, 0))

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
