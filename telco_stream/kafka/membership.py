"""Partitions that the group has assigned to a member, from the client's rebalance callbacks, and their end offsets.

Only the polling thread may refresh the end offsets: the client serves one call at a time, so another thread would wait
for a poll to return.
"""

import logging
import math
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress

from confluent_kafka import OFFSET_INVALID, Consumer, KafkaException, TopicPartition

from telco_stream.runtime.signals import Stop

log = logging.getLogger("telco_stream.consume.loop")

#: Seconds without a rebalance after which the assignment counts as stable: during a rebalance, a partition can be
#: without an owner.
_SETTLED = 5.0
#: Seconds before a partition is fetched again after an error.
_RESTART_PAUSE = 0.1
#: Seconds between two refreshes of the cached end offsets.
_REFRESH_INTERVAL = 0.25


class Membership:
    """Partitions of one topic that this member owns, with their positions; the constructor subscribes to the topic.

    `on_joined` is called after each assignment. The callbacks raise nothing: an exception in one would lose a record
    and block the close. The client fetches a partition only after `fetch`.
    """

    def __init__(
        self,
        consumer: Consumer,
        topic: str,
        on_joined: Callable[[], None] = lambda: None,
        *,
        is_incremental: bool = True,
    ) -> None:
        self._consumer = consumer
        self._topic = topic
        self._on_joined = on_joined
        self._is_incremental = is_incremental
        self._fetched: set[int] = set()
        self.assigned: set[int] = set()
        #: Offset of the next record, by partition; an assigned partition is missing until its start is known.
        self.positions: dict[int, int] = {}
        #: End offsets that the client has cached, for partitions with a completed fetch; any thread may read them.
        self.end_offsets: Mapping[int, int] = {}
        self._refreshed_at = -math.inf
        #: Partitions to fetch again after an error.
        self.failed: set[int] = set()
        #: Partitions whose start has to be found again, because the broker rejects their position.
        self.out_of_range: set[int] = set()
        #: Partitions revoked since the set was last cleared.
        self.revoked: set[int] = set()
        #: True after an assignment, which may be empty.
        self.joined = False
        #: Number of assignments and revocations.
        self.rebalances = 0
        self._last_rebalance = -math.inf
        #: Waits for the pending commit before partitions are revoked; raises nothing.
        self.on_revoke: Callable[[], object] = lambda: None
        consumer.subscribe([topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost)

    @property
    def unstarted(self) -> set[int]:
        """The assigned partitions whose start is unknown, or has to be found again."""
        return self.assigned - (self.positions.keys() - self.out_of_range)

    def has_settled(self, partitions: Collection[int]) -> bool:
        """Return whether this member owns all `partitions`, or its assignment is stable."""
        return self.assigned.issuperset(partitions) or time.monotonic() - self._last_rebalance > _SETTLED

    def fetch(self, offsets: Mapping[int, int]) -> bool:
        """Start to fetch partitions at these offsets; return False if the client cannot do it now."""
        try:
            if self._is_incremental:
                self._unassign(self._fetched & offsets.keys())
                self._consumer.incremental_assign(self._topic_partitions(offsets))
            else:
                self._consumer.assign(self._topic_partitions({**self.positions, **offsets}))
        except KafkaException as error:
            log.debug("partitions %s cannot be fetched yet: %s", sorted(offsets), error.args[0].str())
            return False
        self._fetched |= offsets.keys()
        self.positions |= offsets
        return True

    def seek(self, offsets: Mapping[int, int]) -> None:
        """Continue to fetch partitions at these offsets."""
        for partition, offset in offsets.items():
            self.positions[partition] = offset
            try:
                self._consumer.seek(TopicPartition(self._topic, partition, offset))
            except KafkaException:
                # Its fetch has failed, or it was just revoked: its new owner starts at the same committed offset.
                log.debug("partition %d rejects the seek", partition)
                self.failed.add(partition)

    def restart_failed(self, stop: Stop) -> None:
        """Fetch partitions again after an error, at their positions: the client does not recover from every error."""
        failed, self.failed = self.failed & self.positions.keys(), set()
        if failed:
            stop.wait(_RESTART_PAUSE)
            if not self.fetch({partition: self.positions[partition] for partition in failed}):
                self.failed = failed

    def advance(self, partition: int, offset: int) -> None:
        """Advance a partition's position, unless the partition has been revoked."""
        if partition in self.positions:
            self.positions[partition] = max(self.positions[partition], offset)

    def refresh_ends(self) -> None:
        """Update the end offsets of the fetched partitions, at most four times a second."""
        if (now := time.monotonic()) - self._refreshed_at >= _REFRESH_INTERVAL:
            self._refreshed_at = now
            ends = {partition: self._end(partition) for partition in self.positions}
            self.end_offsets = {partition: end for partition, end in ends.items() if end >= 0}

    def _end(self, partition: int) -> int:
        try:
            return self._consumer.get_watermark_offsets(TopicPartition(self._topic, partition), cached=True)[1]
        except KafkaException:  # the partition has just been revoked
            return OFFSET_INVALID

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self.joined = True
        self._on_joined()
        numbers = {partition.partition for partition in partitions}
        self.assigned |= numbers
        with suppress(KafkaException):
            # Without this call, the client would fetch the partitions at offsets that it chooses.
            (consumer.incremental_assign if self._is_incremental else consumer.assign)([])
        self._log("assigned", "assigned partitions %s of %s", numbers)

    def _on_lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._on_revoke(consumer, partitions)
        self.joined = False

    def _on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self.on_revoke()
        numbers = {partition.partition for partition in partitions}
        with suppress(KafkaException):
            if self._is_incremental:
                self._unassign(self._fetched & numbers)
            else:
                consumer.unassign()
        self._fetched -= numbers
        self.assigned -= numbers
        self.revoked |= numbers
        self.out_of_range -= numbers
        for number in numbers:
            self.positions.pop(number, None)
        self._log("revoked", "revoked partitions %s of %s", numbers)

    def _unassign(self, partitions: Iterable[int]) -> None:
        self._consumer.incremental_unassign([TopicPartition(self._topic, partition) for partition in partitions])
        self._fetched.difference_update(partitions)

    def _topic_partitions(self, offsets: Mapping[int, int]) -> list[TopicPartition]:
        return [TopicPartition(self._topic, partition, offset) for partition, offset in offsets.items()]

    def _log(self, event: str, message: str, numbers: set[int]) -> None:
        self.rebalances += 1
        self._last_rebalance = time.monotonic()
        listed = ", ".join(map(str, sorted(numbers))) or "none"
        facts = {"topic": self._topic, "partitions": sorted(numbers)}
        log.info(message, listed, self._topic, extra={"event": event, "facts": facts})
