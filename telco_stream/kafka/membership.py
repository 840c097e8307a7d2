"""What a group has given to one of its members, as the client's callbacks tell."""

import logging
import math
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress

from confluent_kafka import Consumer, KafkaException, TopicPartition

log = logging.getLogger("telco_stream.consume.loop")

#: Seconds without a rebalance after which a member that shares the topic may trust in what it owns: in between,
#: partitions are on their way from one member to another, and belong to nobody.
_SETTLED = 5.0


class Membership:
    """The partitions of one topic that this member owns, from when it is made; `forget` is told of each that goes.

    The callbacks are total: an exception in one would lose a record and hang the close. They tell the client to fetch
    nothing: what to fetch, and from where, it is told by `fetch`.
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
        #: Those that went since somebody cleared it.
        self.revoked: set[int] = set()
        #: Whether the group has given this member its partitions, if only none.
        self.joined = False
        #: Times that partitions came or went.
        self.rebalances = 0
        self._last_rebalance = -math.inf
        #: What has to be waited for before a partition is given up; it raises nothing.
        self.on_revoke: Callable[[], object] = lambda: None
        consumer.subscribe([topic], on_assign=self._assigned, on_revoke=self._gone, on_lost=self._lost)

    def has_settled(self, wanted: Collection[int]) -> bool:
        """Whether it owns all that is wanted, or what it owns is likely to stay."""
        return self.assigned.issuperset(wanted) or time.monotonic() - self._last_rebalance > _SETTLED

    def fetch(self, offsets: Mapping[int, int], others: Mapping[int, int]) -> bool:
        """Have the client fetch these partitions from these offsets; false where it refuses for now.

        `others` is where the partitions stand that are being fetched: an eager protocol names all of them again.
        """
        try:
            if self._is_incremental:
                self._unassign(self._fetched & offsets.keys())
                self._consumer.incremental_assign(self._places(offsets.items()))
            else:
                self._consumer.assign(self._places((dict(others) | dict(offsets)).items()))
        except KafkaException as error:
            log.debug("the client fetches partitions %s later: %s", sorted(offsets), error.args[0].str())
            return False
        self._fetched |= offsets.keys()
        return True

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self.joined = True
        self._on_joined()
        numbers = {one.partition for one in partitions}
        self.assigned |= numbers
        with suppress(KafkaException):
            # Without such a call the client would fetch what has come, from where it thinks best.
            (consumer.incremental_assign if self._is_incremental else consumer.assign)([])
        self._tell("assigned", "assigned partitions %s of %s", numbers)

    def _lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._gone(consumer, partitions)
        self.joined = False

    def _gone(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self.on_revoke()
        numbers = {one.partition for one in partitions}
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
        self._tell("revoked", "gave up partitions %s of %s", numbers)

    def _unassign(self, partitions: Iterable[int]) -> None:
        self._consumer.incremental_unassign([TopicPartition(self._topic, one) for one in partitions])
        self._fetched.difference_update(partitions)

    def _places(self, offsets: Iterable[tuple[int, int]]) -> list[TopicPartition]:
        return [TopicPartition(self._topic, partition, offset) for partition, offset in offsets]

    def _tell(self, event: str, message: str, numbers: set[int]) -> None:
        self.rebalances += 1
        self._last_rebalance = time.monotonic()
        listed = ", ".join(map(str, sorted(numbers))) or "none"
        facts = {"topic": self._topic, "partitions": sorted(numbers)}
        log.info(message, listed, self._topic, extra={"event": event, "facts": facts})
