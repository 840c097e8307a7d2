"""Batches of records from the raw topic, for a member of a consumer group.

Where a partition starts is decided here (`kafka/starts.py`): the client is told to fetch it once that is known.

A rebalance happens inside `take` and nowhere else, and the loop that takes has no record in hand then: at the most a
batch is on its way to the broker, and that is waited for before a partition is given up.
"""

import itertools
import logging
import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import cast

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from telco_stream.kafka.background import SHUTDOWN_GRACE_SECONDS, run_with_timeout
from telco_stream.kafka.clients import MAX_CALL_SECONDS
from telco_stream.kafka.consumer_errors import ConsumerErrors
from telco_stream.kafka.error_policy import is_missing_topic, unreadable
from telco_stream.kafka.identity import TopicIdentity
from telco_stream.kafka.membership import Membership
from telco_stream.kafka.offsets import (
    CommitMetadata,
    ask_committed,
    commit,
    encode_commit_metadata,
    newest_dead_letters_in_a_row,
)
from telco_stream.kafka.polling import BoundedPoll
from telco_stream.kafka.starts import Start, StartFinder, TopicToRead, log_start
from telco_stream.kafka.watermarks import CachedWatermarks
from telco_stream.messages.record import Record
from telco_stream.runtime.signals import Stop, Stopped

log = logging.getLogger("telco_stream.consume.loop")

#: Seconds that the broker has to take note of a member's leaving; one that stands still would be waited for longer.
_LEAVING = 1.0
#: Seconds between an error and the next try.
_PAUSE = 0.1
#: Seconds until the start of a partition is asked for again: each question takes up to a second from the others.
_BEGIN_PAUSE = 0.5
#: Seconds without a record after which positions behind the last commit are committed too.
_IDLE = 5.0
#: Bytes that a batch has room for: so many in any case, so many for each of its records.
_BATCH_BYTES = 4_194_304
_RECORD_BYTES = 2_048


@dataclass(frozen=True, slots=True)
class Batch:
    """Records, and the group's view at the moment they were taken: a commit under any later view could be another's."""

    records: list[Record]
    group_metadata: object
    #: Where each partition goes on behind it.
    next_positions: Mapping[int, int]
    #: After how many rewinds it was taken.
    rewinds: int


@dataclass(frozen=True, slots=True)
class Subscription:
    """What a member has to know of the topic that it reads."""

    topic: TopicToRead
    identity: TopicIdentity | None = None
    #: Whether partitions come and go one by one: `cooperative-sticky` and KIP-848, not `range` and `roundrobin`.
    is_incremental: bool = True


class Source:
    """A consumer's records, its partitions, and the way back to what is committed."""

    def __init__(
        self,
        consumer: Consumer,
        subscription: Subscription,
        stop: Stop,
        *,
        until: Mapping[int, int] | None = None,
        errors: ConsumerErrors | None = None,
    ) -> None:
        self._consumer = consumer
        self._topic = subscription.topic.name
        self._identity = subscription.identity or TopicIdentity(self._topic)
        self._stop = stop
        self._until = until or {}
        self._starts = StartFinder(consumer, subscription.topic)
        #: Offset of the next record, by partition; one that the group has assigned is absent until its start is known.
        self._position: dict[int, int] = {}
        #: Offset of the newest commit that was tried, and its metadata.
        self._commit_offset: dict[int, int] = {}
        self._metadata: dict[int, CommitMetadata] = {}
        #: Up to where each partition is answered, records and whatever else Kafka keeps between them: the loop says so.
        self.answered: Mapping[int, int] = {}
        #: Records that retention deleted before they were answered, as far as this run has found.
        self.expired_unanswered = 0
        self._rewinds = 0
        self._in_a_row: int | None = None
        self._left_behind = False
        self._stuck: set[int] = set()
        self._out_of_range: set[int] = set()
        self._begin_at = self._newest_record_at = -math.inf
        self._ends = CachedWatermarks(consumer, self._topic)
        self._errors = errors or ConsumerErrors()
        #: What the group has given to this consumer.
        self.membership = Membership(
            consumer,
            self._topic,
            self._forget,
            self._errors.on_joined,
            is_incremental=subscription.is_incremental,
        )

    @property
    def assigned(self) -> frozenset[int]:
        """Partitions that this member owns now."""
        return frozenset(self.membership.assigned)

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
        return self.joined and self.membership.assigned <= self._position.keys() & self._ends.known.keys()

    @property
    def rebalances(self) -> int:
        """Times that partitions came or went."""
        return self.membership.rebalances

    @property
    def cached_end_offsets(self) -> Mapping[int, int]:
        """Where they end, as far as the client knew a moment ago."""
        return self._ends.known

    @property
    def ended(self) -> bool:
        """Whether every partition that this member owns has been read up to where it ended at the start."""
        return (
            self.joined
            and self.membership.has_settled(self._until.keys())
            and all(self._position.get(one, -1) >= self._until.get(one, 0) for one in self.membership.assigned)
        )

    def poll_batch(self, most: int, timeout: float, *, idle: float = 0) -> Batch:
        """What has arrived, up to `most` records; waits up to `patience` seconds (0.5 at the most) for the first.

        With a `lull`, the batch is filled until it has `most` records, the partitions have ended, or so many seconds
        have passed without any. Large records fill it sooner: it has room for 2 KiB a record, and for 4 MiB at least.
        """
        self._errors.raise_failure()
        self._identity.check()
        self._begin_pending()
        self._restart_stuck()
        self._ends.look(self._position.keys())
        if error := self._errors.too_large():
            raise unreadable(error, f"Topic {self._topic}, at one of these offsets: {self._unread()}")
        polling = BoundedPoll(self._consumer, max(_BATCH_BYTES, _RECORD_BYTES * most))
        first = polling.poll(min(timeout, MAX_CALL_SECONDS))
        self.membership.revoked.clear()  # what poll returns came after the rebalances that it served
        if first is None:
            return self._batch([])
        records = self._received([first, *polling.consume_arrived(most - 1)])
        if idle and records:
            self._fill(records, most, polling, idle)
        if not records:
            self._errors.raise_failure()
        if self.membership.revoked:
            records = self._without_revoked(records)
        return self._batch(records)

    def is_current(self, batch: Batch) -> bool:
        """Whether its records are still those behind what came before; after a rewind they come again."""
        return batch.rewinds == self._rewinds

    def confirm_topic(self) -> None:
        """Return once it is certain that the newest batch belongs to the topic that the run began with.

        Raises `errors.KafkaError` where the topic was deleted or created again; waits for the broker until stopped.
        """
        while not self._identity.confirm(MAX_CALL_SECONDS):
            if self._stop.overdue(SHUTDOWN_GRACE_SECONDS):
                raise Stopped

    def rewind(self, partitions: Iterable[int] | None = None) -> dict[int, int]:
        """Go back to what is committed, and say where that is, by partition; waits for the broker until stopped."""
        self._rewinds += 1
        begun = self._position.keys()
        wanted = set(begun if partitions is None else partitions) & begun
        committed = self.committed(wanted)
        starts = {one: offset if offset >= 0 else self._commit_offset[one] for one, offset in committed.items()}
        self._go_to(starts)
        self._commit_offset |= starts
        return committed

    def offsets_to_commit(self, next_offsets: Mapping[int, int], dead_letters_in_a_row: int) -> list[TopicPartition]:
        """Return the offsets with their metadata, ready to be committed."""
        at = time.time_ns() // 1_000_000
        nothing = CommitMetadata(topic_id=self._identity.topic_id)
        for one in next_offsets:
            before = self._metadata.get(one, nothing)
            self._metadata[one] = replace(before, dead_letters_in_a_row=dead_letters_in_a_row, at=at)
        self._commit_offset |= next_offsets
        return self._with_metadata(next_offsets)

    def commit_answered(self, *, at_once: bool = False) -> None:
        """Commit up to where partitions are answered, transaction markers behind the last record included.

        Otherwise the markers would look like unanswered records once retention has deleted them. It happens after some
        seconds without a record, or at once at the end of a run; no batch may be on its way.
        """
        if not at_once and time.monotonic() - self._newest_record_at < _IDLE:
            return
        begun = self._position.keys() & self.answered.keys()
        ahead = {one: self.answered[one] for one in begun if self.answered[one] > self._commit_offset[one]}
        if ahead:
            self._commit_offset |= ahead
            self.commit(self._with_metadata(ahead), lambda: None)

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
            run_with_timeout(self._consumer.close, _LEAVING)

    def _unread(self) -> str:
        """Return where the partitions that have not ended stand, as PARTITION:OFFSET."""
        unread = {one: at for one, at in sorted(self._position.items()) if at != self._ends.known.get(one)}
        return ", ".join(f"{one}:{at}" for one, at in unread.items())

    def _batch(self, records: list[Message]) -> Batch:
        if records:
            self._identity.ask()
        view = self._consumer.consumer_group_metadata() if records else None
        return Batch(cast("list[Record]", records), view, dict(self._position), self._rewinds)

    def _begin_pending(self) -> None:
        """Find out where partitions start that the group has just assigned, and begin to fetch them.

        A start that the group's commits don't say yet is committed at once: records that arrive before the first batch
        is committed are not skipped later. What isn't known or can't be committed yet is tried again by the next call.
        """
        pending = self._pending()
        if not pending or time.monotonic() < self._begin_at:
            return
        self._begin_at = time.monotonic() + _BEGIN_PAUSE
        if self._out_of_range & pending:
            self.membership.on_revoke()  # the commit on its way may be of the same partition
        self._identity.ask()
        if not self._identity.confirm(MAX_CALL_SECONDS):
            return
        starts = self._starts.find(pending, self._out_of_range)
        unsaid = {one: start for one, start in starts.items() if not start.is_committed}
        offsets = [
            TopicPartition(self._topic, one, start.offset, encode_commit_metadata(start.metadata))
            for one, start in unsaid.items()
        ]
        if not offsets or self.commit(offsets, lambda: None):
            self._begin(starts)

    def _begin(self, starts: Mapping[int, Start]) -> None:
        places = {one: start.offset for one, start in starts.items()}
        if not self.membership.fetch(places, self._position):
            return
        self._position |= places
        self._commit_offset |= places
        self._metadata |= {one: start.metadata for one, start in starts.items()}
        self._out_of_range -= starts.keys()
        self._in_a_row = newest_dead_letters_in_a_row(one.metadata for one in starts.values()) or self._in_a_row
        for one, start in starts.items():
            self.expired_unanswered += start.expired
            log_start(self._topic, one, start)
        self._begin_at = -math.inf

    def _pending(self) -> set[int]:
        """Return the partitions whose start is not known yet, or has to be found again."""
        return self.membership.assigned - (self._position.keys() - self._out_of_range)

    def _with_metadata(self, offsets: Mapping[int, int]) -> list[TopicPartition]:
        return [
            TopicPartition(self._topic, one, offset, encode_commit_metadata(self._metadata[one]))
            for one, offset in offsets.items()
        ]

    def _go_to(self, places: Mapping[int, int]) -> None:
        for partition, offset in places.items():
            self._position[partition] = offset
            try:
                self._consumer.seek(TopicPartition(self._topic, partition, offset))
            except KafkaException:
                # Its fetching has failed, or it has just gone: whoever owns it begins at the same committed offset.
                log.debug("partition %d takes no seek", partition)
                self._stuck.add(partition)

    def _without_revoked(self, messages: list[Message]) -> list[Message]:
        """A partition that went while the batch was filled has a new owner; if that is us again, we read it again."""
        gone = frozenset(self.membership.revoked)
        return [message for message in messages if message.partition() not in gone]

    def _restart_stuck(self) -> None:
        """Fetch partitions again after an error, from where they stand: the client goes on with some by itself only."""
        stuck, self._stuck = self._stuck & self._position.keys(), set()
        if stuck:
            self._stop.wait(_PAUSE)
            if not self.membership.fetch({one: self._position[one] for one in stuck}, self._position):
                self._stuck = stuck

    def _fill(self, records: list[Message], most: int, polling: BoundedPoll, idle: float) -> None:
        newest = time.monotonic()
        while len(records) < most and not (polling.is_full or self.ended or self._is_interrupted()):
            more = self._received(polling.consume(most - len(records), MAX_CALL_SECONDS))
            records += more
            self._identity.check()
            if more:
                newest = time.monotonic()
            elif time.monotonic() - newest >= idle:
                break

    def _is_interrupted(self) -> bool:
        return bool(self._stuck or self._pending() or self._errors.pending or self._stop.requested)

    def _received(self, messages: list[Message]) -> list[Message]:
        """The records among the messages; errors come as messages too, and there is no record in them."""
        records = [message for message in messages if message.error() is None or self._note(message)]
        if self._errors.failure is not None:
            before_it = itertools.takewhile(lambda message: message is not self._errors.last_message, messages)
            records = [message for message in before_it if message.error() is None]
        newest = {one.partition(): one for one in records}
        for last in newest.values():
            number, offset = cast("int", last.partition()), cast("int", last.offset())
            # The end may have been told in the same breath, and lies beyond the last record where a marker follows it.
            self._advance(number, offset + 1)
        if records:
            self._newest_record_at = time.monotonic()
        return records

    def _note(self, message: Message) -> bool:
        error, partition = message.error(), cast("int", message.partition())
        if self._errors.failure is not None:  # what stands behind an unreadable batch must not be skipped
            return False
        if error is not None and error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - the client's public name
            self._advance(partition, cast("int", message.offset()))
        elif error is not None and error.code() == KafkaError._AUTO_OFFSET_RESET:  # noqa: SLF001
            self._out_of_range.add(partition)
        elif error is not None and is_missing_topic(error) and self._identity.topic_id is not None:
            self._identity.suspect(error)
        elif self._errors.add(message):
            self._stuck.add(partition)
        return False

    def _advance(self, partition: int, offset: int) -> None:
        """Take in how far a partition has been read, unless it has been given up meanwhile."""
        if partition in self._position:
            self._position[partition] = max(self._position[partition], offset)

    def _forget(self, partition: int) -> None:
        self._position.pop(partition, None)
        self._out_of_range.discard(partition)
