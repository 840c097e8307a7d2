"""High watermarks that a consumer has cached from its fetches, without requests to the broker.

Only the polling thread may refresh them: the client serves one call at a time, so another thread would wait for a poll
to return.
"""

import math
import time
from collections.abc import Collection, Mapping

from confluent_kafka import OFFSET_INVALID, Consumer, KafkaException, TopicPartition

#: Seconds between two refreshes.
_INTERVAL = 0.25


class CachedWatermarks:
    """End offsets of the partitions that the consumer has fetched."""

    def __init__(self, consumer: Consumer, topic: str) -> None:
        self._consumer = consumer
        self._topic = topic
        self._refreshed_at = -math.inf
        #: End offset by partition, for partitions with a completed fetch; any thread may read it.
        self.offsets: Mapping[int, int] = {}

    def refresh(self, partitions: Collection[int]) -> None:
        """Update the end offsets of these partitions, at most four times a second."""
        now = time.monotonic()
        if now - self._refreshed_at >= _INTERVAL:
            self._refreshed_at = now
            ends = {partition: self._end(partition) for partition in partitions}
            self.offsets = {partition: end for partition, end in ends.items() if end >= 0}

    def _end(self, partition: int) -> int:
        try:
            return self._consumer.get_watermark_offsets(TopicPartition(self._topic, partition), cached=True)[1]
        except KafkaException:  # the partition has just been revoked
            return OFFSET_INVALID
