"""Partitions that the group has assigned to a member, from the client's rebalance callbacks."""

import logging
import math
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress

from confluent_kafka import Consumer, KafkaException, TopicPartition

log = logging.getLogger("telco_stream.consume.loop")

#: Seconds without a rebalance after which the assignment counts as stable: during a rebalance, a partition can be
#: without an owner.
_SETTLED = 5.0


class Membership:
    """Partitions of one topic that this member owns; the constructor subscribes to the topic.

    `forget` is called for each revoked partition, `on_joined` after each assignment. The callbacks raise nothing: an
    exception in one would lose a record and block the close. The client fetches a partition only after `fetch`.
    """

    def __init__(
        self,
        consumer: Consumer,
        topic: str,
        forget: Callable[[int], None],
        on_joined: Callable[[], None] = lambda: None,
        *,
        is_incremental: bool = True,
    ) -> None:
        self._consumer = consumer
        self._topic = topic
        self._forget = forget
        self._on_joined = on_joined
        self._is_incremental = is_incremental
        self._fetched: set[int] = set()
        self.assigned: set[int] = set()
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

    def has_settled(self, partitions: Collection[int]) -> bool:
        """Return whether this member owns all `partitions`, or its assignment is stable."""
        return self.assigned.issuperset(partitions) or time.monotonic() - self._last_rebalance > _SETTLED

    def fetch(self, offsets: Mapping[int, int], positions: Mapping[int, int]) -> bool:
        """Start to fetch partitions at these offsets; return False if the client cannot do it now.

        `positions` are the offsets of the partitions that are being fetched: an eager protocol assigns them again.
        """
        try:
            if self._is_incremental:
                self._unassign(self._fetched & offsets.keys())
                self._consumer.incremental_assign(self._topic_partitions(offsets))
            else:
                self._consumer.assign(self._topic_partitions({**positions, **offsets}))
        except KafkaException as error:
            log.debug("partitions %s cannot be fetched yet: %s", sorted(offsets), error.args[0].str())
            return False
        self._fetched |= offsets.keys()
        return True

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
        for number in numbers:
            self._forget(number)
        self._log("revoked", "gave up partitions %s of %s", numbers)

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
