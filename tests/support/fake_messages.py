"""A consumer that hands out what a test has written down, and messages as the client makes them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import OFFSET_INVALID, KafkaError, Message, TopicPartition


class ScriptedMessage(Message):
    """A record, or with `code` an error in its place."""

    def __init__(
        self,
        offset: int,
        partition: int = 0,
        code: int | None = None,
        *,
        topic: str | None = "raw",
        words: str | None = None,
    ) -> None:
        error = None if code is None else KafkaError(code, words)
        # Without a topic an error is about the client or its group.
        super().__init__(topic=topic, partition=partition, offset=offset, error=error)


def end(offset: int) -> ScriptedMessage:
    """The client's word that a partition ends here."""
    return ScriptedMessage(offset, code=KafkaError._PARTITION_EOF)


@dataclass
class ScriptedConsumer:
    """Everything that is left of the script arrives at once."""

    script: list[ScriptedMessage]
    paused: list[TopicPartition] = field(default_factory=list)

    def subscribe(self, _topics: list[str], *, on_assign: Callable[..., None], **_: Any) -> None:
        on_assign(self, [TopicPartition("raw", 0)])

    def assign(self, _partitions: list[TopicPartition]) -> None:
        """It has what the script says."""

    incremental_assign = incremental_unassign = assign

    def commit(self, **_: Any) -> None:
        """Nobody asks for it."""

    def pause(self, partitions: list[TopicPartition]) -> None:
        self.paused += partitions

    def poll(self, _timeout: float) -> ScriptedMessage | None:
        return self.script.pop(0) if self.script else None

    def consume(self, most: int, _timeout: float) -> list[ScriptedMessage]:
        taken, self.script[:] = self.script[:most], self.script[most:]
        return taken

    def get_watermark_offsets(self, _partition: TopicPartition, *, cached: bool) -> tuple[int, int]:
        assert cached, "no broker is asked"
        return OFFSET_INVALID, OFFSET_INVALID

    def committed(self, asked: Iterable[TopicPartition], timeout: float) -> list[TopicPartition]:  # noqa: ARG002
        return [TopicPartition(one.topic, one.partition, OFFSET_INVALID) for one in asked]

    def consumer_group_metadata(self) -> object:
        return object()

    def close(self) -> None:
        """Nothing is open."""
