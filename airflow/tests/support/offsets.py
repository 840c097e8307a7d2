"""Reads the end offsets of topics."""

from typing import Self

from confluent_kafka import Consumer, TopicPartition


class OffsetReader:
    """Reads the end offsets of topics with three partitions over one connection."""

    def __init__(self, kafka: str) -> None:
        self._consumer = Consumer(
            {"bootstrap.servers": kafka, "group.id": "offset_reader", "isolation.level": "read_committed"}
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def readable(self, topic: str) -> int:
        """Return the number of offsets that committed readers can read, including transaction markers."""
        return sum(self._consumer.get_watermark_offsets(TopicPartition(topic, number), 10)[1] for number in range(3))
