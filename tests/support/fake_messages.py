"""A consumer that returns a scripted list of messages, and the messages themselves."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import OFFSET_INVALID, KafkaError, Message, TopicPartition


class ScriptedMessage(Message):
    """A record, or an error if `code` is set."""

    def __init__(
        self,
        offset: int,
        partition: int = 0,
        code: int | None = None,
        *,
        topic: str | None = "raw",
        description: str | None = None,
    ) -> None:
        error = None if code is None else KafkaError(code, description)
        # Without a topic an error is about the client or its group.
        super().__init__(topic=topic, partition=partition, offset=offset, error=error)


def end(offset: int) -> ScriptedMessage:
    """Return the message by which the client reports the end of a partition."""
    return ScriptedMessage(offset, code=KafkaError._PARTITION_EOF)


@dataclass
class ScriptedConsumer:
    """A consumer of partition 0 that returns the rest of its script at once."""

    script: list[ScriptedMessage]
    paused: list[TopicPartition] = field(default_factory=list)

    def subscribe(self, _topics: list[str], *, on_assign: Callable[..., None], **_: Any) -> None:
        on_assign(self, [TopicPartition("raw", 0)])

    def assign(self, _partitions: list[TopicPartition]) -> None:
        """Ignore assignments."""

    incremental_assign = incremental_unassign = assign

    def commit(self, **_: Any) -> None:
        """Ignore commits."""

    def pause(self, partitions: list[TopicPartition]) -> None:
        self.paused += partitions

    def poll(self, _timeout: float) -> ScriptedMessage | None:
        return self.script.pop(0) if self.script else None

    def consume(self, count: int, _timeout: float) -> list[ScriptedMessage]:
        batch, self.script[:] = self.script[:count], self.script[count:]
        return batch

    def get_watermark_offsets(self, _partition: TopicPartition, *, cached: bool) -> tuple[int, int]:
        assert cached, "only cached watermarks cost no request"
        return OFFSET_INVALID, OFFSET_INVALID

    def committed(self, partitions: Iterable[TopicPartition], timeout: float) -> list[TopicPartition]:  # noqa: ARG002
        return [TopicPartition(partition.topic, partition.partition, OFFSET_INVALID) for partition in partitions]

    def consumer_group_metadata(self) -> object:
        return object()

    def close(self) -> None:
        """Do nothing."""
