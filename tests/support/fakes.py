"""Fakes of the client's producer and consumer that log their calls, and errors as the client raises them."""

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from confluent_kafka import OFFSET_INVALID, KafkaError, KafkaException, TopicPartition

from telco_stream.kafka.cluster import OffsetBound
from tests.support.fake_messages import ScriptedMessage


def kafka_exception(name: str, **flags: Any) -> KafkaException:
    """Return an error as the client raises it, with flags such as `fatal=True`."""
    return KafkaException(KafkaError(getattr(KafkaError, name), name, **flags))


@dataclass
class FakeProducer:
    """Appends each call to `log`, and raises the next error in `failures` for this call, if any."""

    log: list[str]
    failures: dict[str, list[KafkaException | None]] = field(default_factory=dict)
    refused: KafkaError | None = None
    sent: list[tuple[Any, ...]] = field(default_factory=list)
    init_timeouts: list[float] = field(default_factory=list)

    def init_transactions(self, timeout: float) -> None:
        self.init_timeouts.append(timeout)
        self._call("init")

    def begin_transaction(self) -> None:
        self._call("begin")

    def produce(  # noqa: PLR0917 - the client's own order
        self,
        topic: str,
        value: Any,
        key: Any,
        _partition: int = -1,
        callback: Any = None,
        on_delivery: Any = None,
        _timestamp: int = 0,
        headers: Any = None,
    ) -> None:
        self._call("send")
        self.sent.append((topic, value, key, headers))
        self._on_delivery = callback or on_delivery
        if self.refused is not None:
            self.report(self.refused)

    def report(self, error: KafkaError) -> None:
        """Report that the last message was not delivered."""
        self._on_delivery(error, ScriptedMessage(0))

    def send_offsets_to_transaction(self, offsets: list[TopicPartition], metadata: object, _timeout: float) -> None:
        self._call("offsets")
        self.offsets, self.metadata = offsets, metadata

    def commit_transaction(self, _timeout: float) -> None:
        self._call("commit")

    def abort_transaction(self, _timeout: float) -> None:
        self._call("abort")

    def list_topics(self, _topic: str, timeout: float) -> Any:  # noqa: ARG002
        raise kafka_exception("_TRANSPORT")

    def flush(self, _timeout: float) -> int:
        self._call("flush")
        return 0

    def poll(self, _timeout: float) -> int:
        return 0

    def __len__(self) -> int:
        return 0

    def __bool__(self) -> bool:
        return True

    def _call(self, name: str) -> None:
        self.log.append(name)
        waiting = self.failures.get(name, [])
        if waiting and (error := waiting.pop(0)) is not None:
            raise error


@dataclass
class FakeConsumer:
    """Returns one step of the script for each poll or consume; a callable step is called first."""

    script: list[list[ScriptedMessage] | Callable[["FakeConsumer"], list[ScriptedMessage]]]
    offsets: dict[int, TopicPartition] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)
    failures: list[KafkaException] = field(default_factory=list)
    sought: list[tuple[int, int]] = field(default_factory=list)
    assigned: tuple[int, ...] = (0,)
    generation: int = 1
    #: Cached high watermarks by partition.
    ends: dict[int, int] = field(default_factory=dict)
    #: Oldest and latest offset by partition as the broker answers; 0 without an entry.
    oldest: dict[int, int] = field(default_factory=dict)
    latest: dict[int, int] = field(default_factory=dict)
    #: Offsets from which partitions were assigned.
    begun: dict[int, int] = field(default_factory=dict)
    poll_timeouts: list[float] = field(default_factory=list)

    def subscribe(
        self, _topics: list[str], *, on_assign: Callable[..., None], on_revoke: Callable[..., None], on_lost: Any
    ) -> None:
        self._on_assign, self._on_revoke, self._on_lost = on_assign, on_revoke, on_lost
        if self.assigned:
            self.assign(*self.assigned)

    def assign(self, *partitions: int) -> None:
        self.generation += 1
        self._on_assign(self, [TopicPartition("raw", partition) for partition in partitions])

    def revoke(self, *partitions: int) -> None:
        self._on_revoke(self, [TopicPartition("raw", partition) for partition in partitions])

    def lose(self, *partitions: int) -> None:
        self._on_lost(self, [TopicPartition("raw", partition) for partition in partitions])

    def poll(self, timeout: float) -> ScriptedMessage | None:
        self.poll_timeouts.append(timeout)
        if not self.script:
            return None
        step = self._step()
        if len(step) > 1:
            self.script.insert(0, step[1:])
        return step[0] if step else None

    def consume(self, count: int, _timeout: float) -> list[ScriptedMessage]:
        assert count <= 1_000_000, "the client refuses more"
        step = self._step() if self.script else []
        if len(step) > count:
            self.script.insert(0, step[count:])
        return step[:count]

    def committed(self, partitions: Iterable[TopicPartition], timeout: float) -> list[TopicPartition]:  # noqa: ARG002
        self.log.append("committed")
        if self.failures:
            raise self.failures.pop(0)
        numbers = [partition.partition for partition in partitions]
        return [self.offsets.get(number, TopicPartition("raw", number, OFFSET_INVALID)) for number in numbers]

    def commit(self, *, offsets: list[TopicPartition], asynchronous: bool) -> None:
        assert not asynchronous
        self.log.append("commit")
        if self.failures:
            raise self.failures.pop(0)
        self.offsets |= {offset.partition: offset for offset in offsets}

    def seek(self, target: TopicPartition) -> None:
        self.sought.append((target.partition, target.offset))

    def incremental_unassign(self, partitions: list[TopicPartition]) -> None:
        self.log += [f"unassign {partition.partition}" for partition in partitions]

    def incremental_assign(self, partitions: list[TopicPartition]) -> None:
        self.log += [f"assign {partition.partition}" for partition in partitions]
        self.begun |= {partition.partition: partition.offset for partition in partitions}

    def ask_offsets(self, _topic: str, partitions: Iterable[int], bound: OffsetBound) -> dict[int, "Future[Any]"]:
        return known_offsets(partitions, self.oldest if bound == "earliest" else self.latest)

    def get_watermark_offsets(self, partition: TopicPartition, *, cached: bool) -> tuple[int, int]:
        assert cached, "only cached watermarks cost no request"
        if partition.partition not in self.assigned:
            raise kafka_exception("_UNKNOWN_PARTITION")
        return 0, self.ends.get(partition.partition, OFFSET_INVALID)

    def consumer_group_metadata(self) -> object:
        return f"generation {self.generation}"

    def close(self) -> None:
        self.log.append("close")

    def _step(self) -> list[ScriptedMessage]:
        step = self.script.pop(0)
        return step(self) if callable(step) else step


def known_offsets(partitions: Iterable[int], known: Mapping[int, int]) -> dict[int, "Future[Any]"]:
    """Return a broker's answer for these partitions: the known offset, or 0; a negative offset is never answered."""
    futures: dict[int, Future[Any]] = {partition: Future() for partition in partitions}
    for partition, future in futures.items():
        if known.get(partition, 0) >= 0:
            future.set_result(SimpleNamespace(offset=known.get(partition, 0)))
    return futures


def ask_nothing_kept(_topic: str, partitions: Iterable[int], _bound: OffsetBound) -> dict[int, "Future[Any]"]:
    """Answer that every partition begins at 0."""
    return known_offsets(partitions, {})


def offsets(records: Iterable[Any]) -> Mapping[int, list[int]]:
    """Return the offsets of the records by partition."""
    by_partition: dict[int, list[int]] = {}
    for record in records:
        by_partition.setdefault(record.partition(), []).append(record.offset())
    return by_partition
