"""Batches of records from the raw topic, for a member of a consumer group.

A rebalance happens inside `take` and nowhere else, and the loop that takes has no record in hand then: at the most a
batch is on its way to the broker, and that is waited for before a partition is given up.
"""

import itertools
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import cast

from confluent_kafka import OFFSET_INVALID, Consumer, KafkaError, KafkaException, Message, TopicPartition

from telco_stream.kafka.calls import leave
from telco_stream.kafka.clients import SLICE
from telco_stream.kafka.committed import ask_committed, commit, newest_count
from telco_stream.kafka.consumer_errors import ConsumerErrors
from telco_stream.kafka.membership import Membership
from telco_stream.kafka.seen import SeenEnds
from telco_stream.records import Record
from telco_stream.stop import Stop, Stopped

log = logging.getLogger("telco_stream.consume")

#: Seconds that the broker has to take note of a member's leaving; one that stands still would be waited for longer.
_LEAVING = 1.0
#: Seconds between an error and the next try.
_PAUSE = 0.1
#: The most records that one call of the client may return; the client refuses more than a million.
_MOST = 100_000


@dataclass(frozen=True, slots=True)
class Batch:
    """Records, and the group's view at the moment they were taken: a commit under any later view could be another's."""

    records: list[Record]
    group_metadata: object
    #: Where each partition goes on behind it.
    reached: Mapping[int, int]
    #: After how many rewinds it was taken.
    rewinds: int


class Source:
    """A consumer's records, its partitions, and the way back to what is committed."""

    def __init__(
        self,
        consumer: Consumer,
        topic: str,
        stop: Stop,
        *,
        until: Mapping[int, int] | None = None,
        errors: ConsumerErrors | None = None,
    ) -> None:
        self._consumer = consumer
        self._topic = topic
        self._stop = stop
        self._until = until or {}
        self._first: dict[int, int] = {}
        self._position: dict[int, int] = {}
        #: Up to where each partition is answered, records and whatever else Kafka keeps between them: the loop says so.
        self.answered: Mapping[int, int] = {}
        self._rewinds = 0
        self._in_a_row: int | None = None
        self._left_behind = False
        self._stuck: set[int] = set()
        self._ends = SeenEnds(consumer, topic)
        self._errors = errors or ConsumerErrors()
        #: What the group has given to this consumer.
        self.membership = Membership(consumer, topic, self._forget, self._errors.on_joined)

    @property
    def owned(self) -> frozenset[int]:
        """Partitions that this member owns now."""
        return frozenset(self.membership.owned)

    @property
    def joined(self) -> bool:
        """Whether the group has given this member its partitions, if only none."""
        return self.membership.joined

    @property
    def refusal(self) -> str | None:
        """Why the group refuses this member, while it does."""
        refusal = self._errors.refusal
        return None if refusal is None else refusal.str()

    @property
    def is_reading(self) -> bool:
        """Whether each partition of this member has been fetched from since it was assigned."""
        return self.joined and self.membership.owned <= self._position.keys()

    @property
    def rebalances(self) -> int:
        """Times that partitions came or went."""
        return self.membership.rebalances

    @property
    def ends_seen(self) -> Mapping[int, int]:
        """Where they end, as far as the client knew a moment ago."""
        return self._ends.known

    @property
    def ended(self) -> bool:
        """Whether every partition that this member owns has been read up to where it ended at the start."""
        return (
            self.joined
            and self.membership.has_settled(self._until.keys())
            and all(self._position.get(one, -1) >= self._until.get(one, 0) for one in self.membership.owned)
        )

    def take(self, most: int, patience: float, *, lull: float = 0) -> Batch:
        """What has arrived, up to `most` records; waits up to `patience` seconds (0.5 at the most) for the first.

        With a `lull`, the batch is filled until it has `most` records, the partitions have ended, or so many seconds
        have passed without any.
        """
        self._errors.raise_failure()
        self._ends.look(self.membership.owned)
        if self._stuck:
            self._restart()
        first = self._consumer.poll(min(patience, SLICE))
        self.membership.revoked.clear()  # what poll returns came after the rebalances that it served
        if first is None:
            return self._batch([])
        records = self._received([first, *(self._consumer.consume(min(most - 1, _MOST), 0) if most > 1 else ())])
        if lull and records:
            self._fill(records, most, lull)
        if not records:
            self._errors.raise_failure()
        if self.membership.revoked:
            records = self._without_revoked(records)
        if self.membership.unasked:
            records = self._from_the_commit(records)
        return self._batch(records)

    def holds(self, batch: Batch) -> bool:
        """Whether its records are still those behind what came before; after a rewind they come again."""
        return batch.rewinds == self._rewinds

    def rewind(self, partitions: Iterable[int] | None = None) -> dict[int, int]:
        """Go back to what is committed, and say where that is, by partition; waits for the broker until stopped."""
        self._rewinds += 1
        wanted = self.membership.owned if partitions is None else set(partitions) & self.membership.owned
        committed = self.committed(wanted)
        starts = {one: offset if offset >= 0 else self._first.get(one) for one, offset in committed.items()}
        self._go_to({one: start for one, start in starts.items() if start is not None})  # else nothing has been taken
        return committed

    def commit(self, offsets: list[TopicPartition], meanwhile: Callable[[], None]) -> bool:
        """Commit, waiting for the broker if need be; false where the group has given the partitions to another.

        While it waits it calls `meanwhile`.
        """
        try:
            return commit(self._consumer, offsets, self._stop, meanwhile)
        except Stopped:
            self._left_behind = True
            raise

    def committed(self, partitions: Iterable[int]) -> dict[int, int]:
        """The group's committed offsets, negative where there is none; waits for the broker until stopped."""
        found = ask_committed(self._consumer, self._topic, partitions, self._stop)
        return {one.partition: one.offset for one in found}

    def dead_letters_in_a_row(self) -> int | None:
        """How many in a row ended the newest batch of the partitions that came last; None if none came, or none says.

        It is kept beside the offsets, so that a restart goes on counting where the one before stopped.
        """
        found, self._in_a_row = self._in_a_row, None
        return found

    def close(self) -> None:
        """Leave the group; with a commit left behind, the group has to find out by itself."""
        if not self._left_behind:
            leave(self._consumer.close, _LEAVING)

    def _batch(self, records: list[Message]) -> Batch:
        view = self._consumer.consumer_group_metadata() if records else None
        return Batch(cast("list[Record]", records), view, dict(self._position), self._rewinds)

    def _go_to(self, places: Mapping[int, int]) -> None:
        for partition, offset in places.items():
            self._position.pop(partition, None)
            try:
                self._consumer.seek(TopicPartition(self._topic, partition, offset))
            except KafkaException:
                # Harmless: the partition has been revoked, and its new owner starts at the same committed offset.
                log.debug("partition %d is no longer ours to rewind", partition)

    def _without_revoked(self, messages: list[Message]) -> list[Message]:
        """A partition that went while the batch was filled has a new owner; if that is us again, we read it again."""
        gone = frozenset(self.membership.revoked)
        self.rewind(gone)
        return [message for message in messages if message.partition() not in gone]

    def _from_the_commit(self, messages: list[Message]) -> list[Message]:
        """The first records of partitions that have just come count only if they are the ones behind the commit.

        Where an open transaction keeps the client from the committed offset while the group is rebalanced, it begins as
        if there were none, by `auto.offset.reset`: all would be answered again, or some never.
        """
        came = self.membership.unasked & self.membership.owned & self._position.keys()
        self.membership.unasked -= came
        found = ask_committed(self._consumer, self._topic, came, self._stop)
        self._in_a_row = newest_count(found) or self._in_a_row
        begun = self._position | {cast("int", one.partition()): cast("int", one.offset()) for one in reversed(messages)}
        wrong = {one.partition: one.offset for one in found if 0 <= one.offset != begun[one.partition]}
        self._go_to(wrong)
        return [message for message in messages if message.partition() not in wrong]

    def _restart(self) -> None:
        """Assign partitions anew after an error: the client forgets one whose committed offset it failed to fetch."""
        stuck, self._stuck = self._stuck & self.membership.owned, set()
        if not stuck:
            return
        self._stop.wait(_PAUSE)
        try:
            self._consumer.incremental_unassign(self._places(stuck))
            self._consumer.incremental_assign(self._places(stuck))
        except KafkaException:  # under an eager protocol all have to be named
            self._consumer.assign(self._places(self.membership.owned))

    def _places(self, partitions: Iterable[int]) -> list[TopicPartition]:
        return [TopicPartition(self._topic, one, self._position.get(one, OFFSET_INVALID)) for one in partitions]

    def _fill(self, records: list[Message], most: int, lull: float) -> None:
        newest = time.monotonic()
        while len(records) < most and not (self.ended or self._stuck or self._errors.pending or self._stop.requested):
            more = self._received(self._consumer.consume(min(most - len(records), _MOST), SLICE))
            records += more
            if more:
                newest = time.monotonic()
            elif time.monotonic() - newest >= lull:
                break

    def _received(self, messages: list[Message]) -> list[Message]:
        """The records among the messages; errors come as messages too, and there is no record in them."""
        records = [message for message in messages if message.error() is None or self._note(message)]
        if self._errors.failure is not None:
            before_it = itertools.takewhile(lambda message: message is not self._errors.last_message, messages)
            records = [message for message in before_it if message.error() is None]
        newest = {cast("int", one.partition()): cast("int", one.offset()) for one in records}
        for number, offset in newest.items():
            # The end may have been told in the same breath, and lies beyond the last record where a marker follows it.
            self._position[number] = max(self._position.get(number, -1), offset + 1)
        if len(self._first) < len(self.membership.owned):
            for one in records:
                self._first.setdefault(cast("int", one.partition()), cast("int", one.offset()))
        return records

    def _note(self, message: Message) -> bool:
        error, partition = message.error(), cast("int", message.partition())
        if self._errors.failure is not None:  # what stands behind an unreadable batch must not be skipped
            return False
        if error is not None and error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - the client's public name
            self._position[partition] = cast("int", message.offset())
        elif self._errors.add(message):
            self._stuck.add(partition)
        return False

    def _forget(self, partition: int) -> None:
        self._first.pop(partition, None)
        self._position.pop(partition, None)
