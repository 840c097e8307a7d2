"""Batches of records from a topic, for a member of a consumer group.

`kafka/starts.py` finds the start offset of each assigned partition; the client fetches the partition after that.

Rebalances happen only inside `KafkaSource.poll_batch`. The loop holds no records then: at most one batch is being
committed, and its commit is awaited before partitions are revoked.
"""

import logging
import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import cast

from confluent_kafka import Consumer, KafkaError, Message

from telco_stream.kafka.blocking_calls import MAX_CALL_SECONDS, SHUTDOWN_GRACE_SECONDS, BackgroundCall
from telco_stream.kafka.cluster import Cluster
from telco_stream.kafka.error_policy import is_missing_topic, response_too_large
from telco_stream.kafka.identity import TopicIdentity
from telco_stream.kafka.membership import Membership
from telco_stream.kafka.offsets import Commit, GroupOffsets, newest_consecutive_dead_letters
from telco_stream.kafka.polling import BoundedPoll, ConsumerErrors
from telco_stream.kafka.starts import Start, StartFinder, TopicToRead, log_start
from telco_stream.messages.record import Record
from telco_stream.runtime.signals import Stop, Stopped

log = logging.getLogger("telco_stream.consume.loop")

#: Seconds to wait for the broker when the member leaves the group; an unavailable broker would take longer.
_LEAVE_TIMEOUT = 1.0
#: Longest poll in seconds before the first assignment, and later while no partition is fetched: a poll does not return
#: when the group assigns partitions.
_JOIN_POLL, _UNASSIGNED_POLL = 0.002, 0.05
#: Seconds between two requests for unknown start offsets: each can delay the other partitions by a second.
_START_INTERVAL = 0.5
#: Seconds without a record after which positions beyond the last commit are committed.
_IDLE = 5.0
#: Byte limits of a batch: a minimum, and an amount for each record of the batch size.
_BATCH_BYTES = 4_194_304
_RECORD_BYTES = 2_048


@dataclass(frozen=True, slots=True)
class Batch:
    """Records with the group metadata of their poll: with later metadata, a commit could overrule a new owner."""

    records: list[Record]
    group_metadata: object
    #: Offset of the next record after the batch, by partition.
    next_positions: Mapping[int, int]
    #: Number of rewinds before the batch.
    rewinds: int


@dataclass(frozen=True, slots=True)
class Subscription:
    """Topic of a group member, with the checks of its identity."""

    topic: TopicToRead
    identity: TopicIdentity | None = None
    #: True for incremental rebalances (`cooperative-sticky`, KIP-848), False for eager ones (`range`, `roundrobin`).
    is_incremental: bool = True


def open_source(
    cluster: Cluster, consumer: Consumer, topic: TopicToRead, *, is_batch: bool, is_bounded: bool
) -> "KafkaSource":
    """Join the group of `Clients.member`; in batch mode the source ends at the end that the topic has now.

    A bounded run does not wait for a group that refuses it.
    """
    clients = cluster.clients
    until = None
    if is_batch:
        # The high watermark, not the last stable offset: a transaction just committed becomes visible a moment later.
        until = cluster.ends(topic.name, range(topic.partitions), committed_only=False)
    errors = ConsumerErrors(
        clients.timeout if is_bounded else math.inf, counts=clients.errors, too_large=lambda: clients.too_large
    )
    describe = partial(cluster.describe_topic, topic.name)
    identity = TopicIdentity(topic.name, topic.topic_id, describe, clients.suspect_outage)
    subscription = Subscription(topic, identity, clients.is_incremental())
    return KafkaSource(consumer, subscription, cluster.stop, until=until, errors=errors)


class KafkaSource:
    """Group member that reads records in batches, commits offsets and rewinds to committed offsets."""

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
        #: Records that retention deleted before they were answered, as found in this run.
        self.expired_unanswered = 0
        self._rewinds = 0
        self._consecutive_dead_letters: int | None = None
        self._next_start_request = self._newest_record_at = -math.inf
        self._errors = errors or ConsumerErrors()
        #: The group's committed offsets.
        self.offsets = GroupOffsets(consumer, self._topic, stop, self._identity.topic_id)
        #: The group's assignment to this consumer.
        self.membership = Membership(
            consumer, self._topic, self._errors.on_joined, is_incremental=subscription.is_incremental
        )

    @property
    def refusal(self) -> str | None:
        """The group's reason to refuse this member, or None."""
        refusal = self._errors.refusal
        return None if refusal is None else refusal.str()

    @property
    def is_reading(self) -> bool:
        """True if every assigned partition has had a completed fetch."""
        membership = self.membership
        return membership.joined and membership.assigned <= membership.positions.keys() & membership.end_offsets.keys()

    @property
    def ended(self) -> bool:
        """True if every assigned partition has been read up to its end offset of the start of the run."""
        membership = self.membership
        return (
            membership.joined
            and membership.has_settled(self._until.keys())
            and all(
                membership.positions.get(partition, -1) >= self._until.get(partition, 0)
                for partition in membership.assigned
            )
        )

    def poll_batch(self, max_records: int, timeout: float, *, idle: float = 0) -> Batch:
        """Return up to `max_records` records that have arrived; wait `timeout` seconds (at most 0.5) for the first.

        With `idle`, fill the batch until it has `max_records` records, the partitions have ended, or no record has
        arrived for `idle` seconds. Large records end it sooner: its limit is 2 KiB per record, and at least 4 MiB.
        """
        self._errors.raise_failure()
        self._identity.check()
        self._start_assigned()
        self.membership.restart_failed(self._stop)
        self.membership.refresh_ends()
        if error := self._errors.too_large():
            raise response_too_large(error, self._topic, self._unread())
        polling = BoundedPoll(self._consumer, max(_BATCH_BYTES, _RECORD_BYTES * max_records))
        first = polling.poll(min(timeout, self._longest_poll()))
        self.membership.revoked.clear()  # `poll` serves rebalances before it returns a record
        if first is None:
            return self._batch([])
        records = self._receive([first, *polling.consume_arrived(max_records - 1)])
        if idle and records:
            self._fill_batch(records, max_records, polling, idle)
        if not records:
            self._errors.raise_failure()
        if revoked := frozenset(self.membership.revoked):  # the next owner of these partitions reads the records again
            records = [record for record in records if record.partition() not in revoked]
        return self._batch(records)

    def _longest_poll(self) -> float:
        if self.membership.positions:
            return MAX_CALL_SECONDS
        return _UNASSIGNED_POLL if self.membership.joined else _JOIN_POLL

    def _unread(self) -> dict[int, int]:
        """Return the positions of the partitions that have records left, or whose leader doesn't answer.

        The client knows no end offset of a partition that it has not fetched yet.
        """
        ends = self._starts.ends(sorted(self.membership.positions))
        return {number: offset for number, offset in self.membership.positions.items() if offset != ends.get(number)}

    def is_current(self, batch: Batch) -> bool:
        """Return False if the consumer was rewound after the batch, whose records will then be read again."""
        return batch.rewinds == self._rewinds

    def confirm_topic(self) -> None:
        """Wait until the newest batch is known to belong to the topic of the run's start.

        Raises `errors.KafkaError` if the topic was deleted or created again, and `Stopped` after a stop request.
        """
        while not self._identity.confirm(MAX_CALL_SECONDS):
            if self._stop.overdue(SHUTDOWN_GRACE_SECONDS):
                raise Stopped

    def rewind(self, partitions: Iterable[int] | None = None) -> dict[int, int]:
        """Seek to the committed offsets and return them by partition; wait for the broker until a stop request.

        A partition without a commit has a negative offset in the result, and is read from its latest attempted commit.
        """
        self._rewinds += 1
        started = self.membership.positions.keys()
        committed = self.offsets.committed(set(started if partitions is None else partitions) & started)
        latest = self.offsets.latest
        for partition, offset in committed.items():
            if offset >= 0:
                latest[partition] = replace(latest[partition], offset=offset)
        self.membership.seek({partition: latest[partition].offset for partition in committed})
        return committed

    def commit_answered(self, answered: Mapping[int, int], *, at_once: bool = False) -> None:
        """Commit the offsets up to which partitions are answered, including transaction markers after the last record.

        Otherwise the markers would look like unanswered records once retention has deleted them. Commits after five
        seconds without a record, or `at_once` at the end of a run; no other commit may be pending.
        """
        if not at_once and time.monotonic() - self._newest_record_at < _IDLE:
            return
        latest = self.offsets.latest
        ahead = {
            partition: replace(latest[partition], offset=answered[partition])
            for partition in self.membership.positions.keys() & answered.keys()
            if answered[partition] > latest[partition].offset
        }
        if ahead:
            self.offsets.commit(self.offsets.prepare(ahead))

    def consecutive_dead_letters(self) -> int | None:
        """Return and clear the number of consecutive dead letters before the newly assigned partitions.

        It comes from the metadata of their newest commit, so that the count continues after a restart. Returns None
        without new partitions or without such a number.
        """
        number, self._consecutive_dead_letters = self._consecutive_dead_letters, None
        return number

    def close(self) -> None:
        """Leave the group, unless an abandoned commit still runs; then the group notices by the session timeout."""
        if not self.offsets.is_abandoned:
            BackgroundCall(self._consumer.close).join(_LEAVE_TIMEOUT)

    def _batch(self, records: list[Message]) -> Batch:
        if records:
            self._identity.ask()
        metadata = self._consumer.consumer_group_metadata() if records else None
        return Batch(cast("list[Record]", records), metadata, dict(self.membership.positions), self._rewinds)

    def _start_assigned(self) -> None:
        """Find the start offsets of newly assigned partitions, and start to fetch them.

        A start that differs from the group's commit is committed first, so that a later restart does not skip records
        that arrived before the first batch was committed. The next call retries starts that are unknown or uncommitted.
        """
        pending = self.membership.unstarted
        if not pending or time.monotonic() < self._next_start_request:
            return
        self._next_start_request = time.monotonic() + _START_INTERVAL
        if self.membership.out_of_range & pending:
            self.membership.on_revoke()  # the pending commit may be for the same partition
        self._identity.ask()
        if not self._identity.confirm(MAX_CALL_SECONDS):
            return
        starts = self._starts.find(pending, self.membership.out_of_range)
        commits = {partition: Commit(start.offset, start.metadata) for partition, start in starts.items()}
        offsets = self.offsets.prepare(commits)
        uncommitted = [offset for offset in offsets if not starts[offset.partition].is_committed]
        if not uncommitted or self.offsets.commit(uncommitted):
            self._start_at(starts)

    def _start_at(self, starts: Mapping[int, Start]) -> None:
        if not self.membership.fetch({partition: start.offset for partition, start in starts.items()}):
            return
        self.membership.out_of_range -= starts.keys()
        newest = newest_consecutive_dead_letters(start.metadata for start in starts.values())
        self._consecutive_dead_letters = newest or self._consecutive_dead_letters
        for partition, start in starts.items():
            self.expired_unanswered += start.expired
            log_start(self._topic, partition, start)
        self._next_start_request = -math.inf

    def _fill_batch(self, records: list[Message], max_records: int, polling: BoundedPoll, idle: float) -> None:
        newest_at = time.monotonic()
        while len(records) < max_records and not (polling.is_full or self.ended or self._is_interrupted()):
            received = self._receive(polling.consume(max_records - len(records), MAX_CALL_SECONDS))
            records += received
            self._identity.check()
            if received:
                newest_at = time.monotonic()
            elif time.monotonic() - newest_at >= idle:
                break

    def _is_interrupted(self) -> bool:
        return bool(self.membership.failed or self.membership.unstarted or self._errors.pending or self._stop.requested)

    def _receive(self, messages: list[Message]) -> list[Message]:
        """Handle errors and ends of partitions; return the records, and advance the positions beyond them."""
        records = [message for message in messages if message.error() is None]
        if len(records) < len(messages):
            records = self._handle_events(messages)
        newest = {record.partition(): record for record in records}
        for record in newest.values():
            # An end-of-partition event in the same batch can be beyond the last record, if a marker follows it.
            self.membership.advance(cast("int", record.partition()), cast("int", record.offset()) + 1)
        if records:
            self._newest_record_at = time.monotonic()
        return records

    def _handle_events(self, messages: list[Message]) -> list[Message]:
        """Handle the messages that are not records; return the records before the first permanent error.

        Messages after a permanent error are ignored: after an unreadable record batch, they would skip its records.
        """
        records = []
        for message in messages:
            error = message.error()
            if error is None:
                records.append(message)
                continue
            self._handle_event(message, error)
            if self._errors.failure is not None:
                break
        return records

    def _handle_event(self, message: Message, error: KafkaError) -> None:
        """Handle an end of partition or an error."""
        partition = cast("int", message.partition())
        if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - the client's public name
            self.membership.advance(partition, cast("int", message.offset()))
        elif error.code() == KafkaError._AUTO_OFFSET_RESET:  # noqa: SLF001
            self.membership.out_of_range.add(partition)
        elif is_missing_topic(error) and self._identity.topic_id is not None:
            self._identity.suspect(error)
        elif self._errors.add(message):
            self.membership.failed.add(partition)
