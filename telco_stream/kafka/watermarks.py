"""Where partitions end, as a consumer has seen it by the way: no broker is asked.

Only the thread that polls may look: the client lets one call in at a time, and a poll is one that waits.
"""

import math
import time
from collections.abc import Collection, Mapping

from confluent_kafka import OFFSET_INVALID, Consumer, KafkaException, TopicPartition

#: Seconds between two looks.
_LOOK_EVERY = 0.25


class CachedWatermarks:
    """The ends that came with what was fetched."""

    def __init__(self, consumer: Consumer, topic: str) -> None:
        self._consumer = consumer
        self._topic = topic
        self._looked = -math.inf
        #: By partition, those of which something has been fetched; any thread may read it.
        self.known: Mapping[int, int] = {}

    def look(self, partitions: Collection[int]) -> None:
        """See where these end, if the last look is a moment ago."""
        now = time.monotonic()
        if now - self._looked >= _LOOK_EVERY:
            self._looked = now
            ends = {one: self._end(one) for one in partitions}
            self.known = {one: end for one, end in ends.items() if end >= 0}

    def _end(self, partition: int) -> int:
        try:
            return self._consumer.get_watermark_offsets(TopicPartition(self._topic, partition), cached=True)[1]
        except KafkaException:  # it has just gone
            return OFFSET_INVALID
