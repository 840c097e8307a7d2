"""Start offsets of newly assigned partitions, in place of the client's reset policy."""

import logging
import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future, wait
from dataclasses import dataclass, replace
from enum import Enum
from typing import Literal, TypeAlias

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import ListOffsetsResultInfo  # type: ignore[attr-defined]

from telco_stream.kafka.blocking_calls import MAX_CALL_SECONDS
from telco_stream.kafka.cluster import OffsetBound, answered
from telco_stream.kafka.error_policy import is_missing_topic, is_permanent, user_error
from telco_stream.kafka.offsets import CommitMetadata, ask_committed, decode_commit_metadata

log = logging.getLogger("telco_stream.consume.loop")

#: Reset policy for a partition without a committed offset.
Reset: TypeAlias = Literal["earliest", "latest"]
#: Requests the first or the end offset of each of a topic's partitions, and returns the futures.
AskOffsets: TypeAlias = Callable[[str, Collection[int], OffsetBound], Mapping[int, "Future[ListOffsetsResultInfo]"]]


class Reason(Enum):
    """Reason for a partition's start offset."""

    COMMITTED = "committed"
    FIRST = "first"  # the group has no committed offset
    RECREATED = "recreated"  # the committed offset belongs to a deleted topic of the same name
    EXPIRED = "expired"  # retention has deleted records after the committed offset
    OUT_OF_RANGE = "out of range"  # the partition does not have the committed offset


@dataclass(frozen=True, slots=True)
class Start:
    """Start offset of a partition, and the metadata of its next commit."""

    offset: int
    metadata: CommitMetadata
    reason: Reason
    #: Records, possibly with transaction markers, that were deleted unanswered and not counted before.
    expired: int = 0
    #: True if the group's commit already has this offset and metadata.
    is_committed: bool = False


def choose_start(  # noqa: PLR0913 - a pure function takes all that its result depends on
    committed: int, metadata: CommitMetadata, *, oldest: int, first: Start, topic_id: str | None, is_out_of_range: bool
) -> Start:
    """Decide where a partition starts.

    `committed` is negative without a commit; `oldest` is the offset of the oldest retained record; `first` is the start
    without a commit; `is_out_of_range` is true if the broker has rejected the committed offset.
    """
    if committed < 0:
        return replace(first, offset=oldest) if is_out_of_range else first
    if not metadata.belongs_to(topic_id):
        metadata = CommitMetadata(topic_id=topic_id, expired_unanswered=oldest)
        return Start(oldest, metadata, Reason.RECREATED, expired=oldest)
    updated = replace(metadata, topic_id=topic_id or metadata.topic_id)
    if (expired := oldest - committed) > 0:
        updated = replace(updated, expired_unanswered=updated.expired_unanswered + expired)
        return Start(oldest, updated, Reason.EXPIRED, expired)
    if is_out_of_range:
        return Start(oldest, updated, Reason.OUT_OF_RANGE)
    return Start(committed, updated, Reason.COMMITTED, is_committed=updated == metadata)


@dataclass(frozen=True, slots=True)
class TopicToRead:
    """Properties of a topic from which `StartFinder` finds the start offsets."""

    name: str
    ask_offsets: AskOffsets
    topic_id: str | None = None
    #: Number of partitions at the start of the run.
    partitions: int = 0
    #: Reset policy for a partition without a committed offset.
    reset: Reset = "earliest"


class StartFinder:
    """Requests the committed, oldest and end offsets for `choose_start`."""

    def __init__(self, consumer: Consumer, topic: TopicToRead) -> None:
        self._consumer = consumer
        self._topic = topic
        self._partitions = topic.partitions
        self._has_failed = False
        self._requested_at: dict[int, float] = {}

    def find(self, partitions: Collection[int], out_of_range: Collection[int]) -> dict[int, Start]:
        """Return the starts that are known; call again for the other partitions.

        A call takes at most a second. One partition without a leader, or with an open transaction that blocks its
        committed offset, fails the request for all: after a failure, each call requests a single partition. Raises
        `errors.KafkaError` for a permanent error.
        """
        requested = sorted(partitions)
        if self._has_failed:
            requested = [min(requested, key=lambda partition: self._requested_at.get(partition, 0.0))]
        self._requested_at |= dict.fromkeys(requested, time.monotonic())
        starts: dict[int, Start] = {}
        try:
            starts = self._find(requested, out_of_range)
        except KafkaException as error:
            self._raise_permanent(error)
        is_last = len(requested) == len(partitions)
        self._has_failed = len(starts) < len(requested) or (self._has_failed and not is_last)
        return starts

    def ends(self, partitions: list[int]) -> dict[int, int]:
        """Return the end offsets (the last stable offsets) of the partitions whose leader answers within a second.

        Raises `errors.KafkaError` for a permanent error.
        """
        return self._offsets(partitions, "latest")

    def _find(self, partitions: list[int], out_of_range: Collection[int]) -> dict[int, Start]:
        committed = self._committed(partitions)
        oldest = self._offsets(partitions, "earliest")
        uncommitted = [partition for partition in oldest if committed[partition][0] < 0]
        first = self._first_starts(uncommitted, oldest) if uncommitted else {}
        return {
            partition: choose_start(
                *committed[partition],
                oldest=oldest[partition],
                first=first.get(partition) or self._first(oldest[partition], 0),
                topic_id=self._topic.topic_id,
                is_out_of_range=partition in out_of_range,
            )
            for partition in oldest
            if committed[partition][0] >= 0 or partition in first
        }

    def _first_starts(self, partitions: list[int], oldest: Mapping[int, int]) -> dict[int, Start]:
        """Return the starts of partitions without a commit.

        With `latest`, only partitions that existed when the group started begin at their end; partitions that were
        added later begin at their oldest record. The metadata of other partitions' commits has the initial number of
        partitions; it may come from another member of the new group.
        """
        if self._topic.reset == "earliest":
            return {partition: self._first(oldest[partition], 0) for partition in partitions}
        self._partitions = max(self._partitions, *(partition + 1 for partition in partitions))
        commits = [metadata for offset, metadata in self._committed(range(self._partitions)).values() if offset >= 0]
        initial = min(map(self._initial_partitions, commits), default=self._partitions)
        ends = self.ends([partition for partition in partitions if partition < initial])
        added = {partition: oldest[partition] for partition in partitions if partition >= initial}
        return {partition: self._first(offset, initial) for partition, offset in (ends | added).items()}

    def _initial_partitions(self, metadata: CommitMetadata) -> int:
        return metadata.initial_partitions if metadata.belongs_to(self._topic.topic_id) else 0

    def _first(self, offset: int, initial_partitions: int) -> Start:
        metadata = CommitMetadata(topic_id=self._topic.topic_id, initial_partitions=initial_partitions)
        return Start(offset, metadata, Reason.FIRST)

    def _committed(self, partitions: Collection[int]) -> dict[int, tuple[int, CommitMetadata]]:
        request = [TopicPartition(self._topic.name, partition) for partition in partitions]
        return {
            partition.partition: (partition.offset, decode_commit_metadata(partition.metadata))
            for partition in ask_committed(self._consumer, request, MAX_CALL_SECONDS)
        }

    def _offsets(self, partitions: list[int], bound: OffsetBound) -> dict[int, int]:
        """Return the oldest or the end offsets; partitions whose leader does not answer in time are missing."""
        futures = self._topic.ask_offsets(self._topic.name, partitions, bound) if partitions else {}
        wait(futures.values(), MAX_CALL_SECONDS)
        offsets = {}
        for partition, future in futures.items():
            try:
                offsets[partition] = answered(future.result(0)).offset
            except TimeoutError:
                log.debug("the leader of partition %d does not answer yet", partition)
            except KafkaException as error:
                self._raise_permanent(error)
        return offsets

    def _raise_permanent(self, error: KafkaException) -> None:
        """Raise for a permanent error, except for a missing topic, which `TopicIdentity` reports."""
        reason = error.args[0]
        if is_permanent(reason) and not is_missing_topic(reason):
            raise user_error(reason, f"The start of topic {self._topic.name}") from error
        log.debug("start offsets are not known yet: %s", reason.str())


def log_start(topic: str, partition: int, start: Start) -> None:
    """Log a warning if a partition does not start at the group's committed offset."""
    facts = {"topic": topic, "partition": partition, "offset": start.offset}
    if start.reason in _WARNINGS:
        event, problem = _WARNINGS[start.reason]
        text = f"partition %d of %s: {problem}; starting at the oldest record, offset %d"
        log.warning(text, partition, topic, start.offset, extra={"event": event, "facts": facts})
    if start.expired:
        log.warning(
            "partition %d of %s: retention has deleted up to %d records before they were answered; starting at the"
            " oldest record, offset %d",
            partition,
            topic,
            start.expired,
            start.offset,
            extra={"event": "expired_unanswered", "facts": facts | {"count": start.expired}},
        )


_WARNINGS = {
    Reason.RECREATED: ("topic_recreated", "the committed offset belongs to a deleted topic of the same name"),
    Reason.OUT_OF_RANGE: ("offset_out_of_range", "it doesn't have the committed offset"),
}
