"""How far topics have come, from outside."""

from typing import Self

from confluent_kafka import Consumer, TopicPartition


class Watcher:
    """Looks at where topics of three partitions end, over one connection."""

    def __init__(self, kafka: str) -> None:
        self._asker = Consumer({"bootstrap.servers": kafka, "group.id": "watcher", "isolation.level": "read_committed"})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._asker.close()

    def readable(self, topic: str) -> int:
        """How many offsets can be read, of what is committed only; a transaction's marker takes one, too."""
        return sum(self._asker.get_watermark_offsets(TopicPartition(topic, number), 10)[1] for number in range(3))
