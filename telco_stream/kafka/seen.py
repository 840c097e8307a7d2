"""Where partitions end, as a consumer has seen it by the way: no broker is asked, and any thread may ask."""

import threading
from collections.abc import Iterable

from confluent_kafka import OFFSET_INVALID, Consumer, KafkaException, TopicPartition


class SeenEnds:
    """The ends that came with what was fetched; to be closed before the client, which must not be asked any more."""

    def __init__(self, consumer: Consumer, topic: str) -> None:
        self._consumer = consumer
        self._topic = topic
        self._asking = threading.Lock()
        self._closed = False

    def __call__(self, partitions: Iterable[int]) -> dict[int, int]:
        """By partition, without those of which nothing has been fetched yet."""
        with self._asking:
            seen = {} if self._closed else {one: self._end(one) for one in partitions}
        return {one: end for one, end in seen.items() if end >= 0}

    def close(self) -> None:
        """From now on nothing is known."""
        with self._asking:
            self._closed = True

    def _end(self, partition: int) -> int:
        try:
            return self._consumer.get_watermark_offsets(TopicPartition(self._topic, partition), cached=True)[1]
        except KafkaException:  # it has just gone
            return OFFSET_INVALID
