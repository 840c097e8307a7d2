"""Where a partition starts that the group has just assigned: decided here, never by the client's reset policy."""

import logging
import time
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from dataclasses import dataclass, replace
from enum import Enum
from typing import Literal, Protocol, TypeAlias

from confluent_kafka import Consumer, KafkaException, TopicPartition

from telco_stream.kafka.clients import MAX_CALL_SECONDS
from telco_stream.kafka.error_policy import is_missing_topic, is_permanent, user_error
from telco_stream.kafka.offsets import CommitMetadata, decode_commit_metadata

log = logging.getLogger("telco_stream.consume.loop")

#: Where a partition starts that the group has never committed.
Reset: TypeAlias = Literal["earliest", "latest"]


class Reason(Enum):
    """Why a partition starts where it does."""

    COMMITTED = "committed"
    FIRST = "first"  # the group has no committed offset
    RECREATED = "recreated"  # the committed offset belongs to an earlier topic of that name
    EXPIRED = "expired"  # retention has deleted records behind the committed offset
    OUT_OF_RANGE = "out of range"  # the partition has no such offset


@dataclass(frozen=True, slots=True)
class Start:
    """The offset at which a partition starts, and the metadata of its next commit."""

    offset: int
    metadata: CommitMetadata
    reason: Reason
    #: Records that were deleted before they were answered, newly found; may include transaction markers.
    expired: int = 0
    #: Whether the group's commit already says all of this.
    is_committed: bool = False


def choose_start(  # noqa: PLR0913 - a pure function takes all that its result depends on
    committed: int, metadata: CommitMetadata, *, oldest: int, first: Start, topic_id: str | None, is_out_of_range: bool
) -> Start:
    """Decide where a partition starts.

    `committed` is negative where nothing is committed; `oldest` is the offset of the oldest record kept; `first` is the
    start without a commit; `is_out_of_range` says that the broker has refused the committed offset.
    """
    if committed < 0:
        return replace(first, offset=oldest) if is_out_of_range else first
    if not metadata.belongs_to(topic_id):
        begun = CommitMetadata(topic_id=topic_id, expired_unanswered=oldest)
        return Start(oldest, begun, Reason.RECREATED, expired=oldest)
    kept = replace(metadata, topic_id=topic_id or metadata.topic_id)
    if (expired := oldest - committed) > 0:
        kept = replace(kept, expired_unanswered=kept.expired_unanswered + expired)
        return Start(oldest, kept, Reason.EXPIRED, expired)
    if is_out_of_range:
        return Start(oldest, kept, Reason.OUT_OF_RANGE)
    return Start(committed, kept, Reason.COMMITTED, is_committed=kept == metadata)


class AskOffsets(Protocol):
    """Begins to ask a broker where partitions of a topic begin or end."""

    def __call__(self, topic: str, /, partitions: Iterable[int], *, oldest: bool) -> Mapping[int, "Future[int]"]:
        """Return a future for the oldest offset kept of each partition, or for its end."""


@dataclass(frozen=True, slots=True)
class TopicToRead:
    """What has to be known of a topic to find out where its partitions start."""

    name: str
    ask_offsets: AskOffsets
    topic_id: str | None = None
    #: How many partitions it has when the run begins.
    partitions: int = 0
    #: Where a partition starts that the group has never committed.
    reset: Reset = "earliest"


class StartFinder:
    """Asks the broker for what `choose_start` needs."""

    def __init__(self, consumer: Consumer, topic: TopicToRead) -> None:
        self._consumer = consumer
        self._ask_offsets = topic.ask_offsets
        self._topic = topic.name
        self._topic_id = topic.topic_id
        self._partitions = topic.partitions
        self._reset = topic.reset
        self._has_failed = False
        self._asked: dict[int, float] = {}

    def find(self, partitions: Collection[int], out_of_range: Collection[int]) -> dict[int, Start]:
        """Return the starts of these partitions, as far as they are known; for the others ask again.

        A call takes a second at the most. One partition can fail the question for all, without a leader or with an open
        transaction that holds its committed offset back: after a failure, each call asks for one partition. Raises
        `errors.KafkaError` where no repetition would help.
        """
        asked = sorted(partitions)
        if self._has_failed:
            asked = [min(asked, key=lambda one: self._asked.get(one, 0.0))]
        self._asked |= dict.fromkeys(asked, time.monotonic())
        starts: dict[int, Start] = {}
        try:
            starts = self._find(asked, out_of_range)
        except KafkaException as error:
            self._refuse_permanent(error)
        is_last = len(asked) == len(partitions)
        self._has_failed = len(starts) < len(asked) or (self._has_failed and not is_last)
        return starts

    def _find(self, partitions: list[int], out_of_range: Collection[int]) -> dict[int, Start]:
        committed = self._committed(partitions)
        oldest = self._offsets(partitions, oldest=True)
        uncommitted = [one for one in oldest if committed[one][0] < 0]
        first = self._first_starts(uncommitted, oldest) if uncommitted else {}
        return {
            one: choose_start(
                *committed[one],
                oldest=oldest[one],
                first=first.get(one) or self._first(oldest[one], 0),
                topic_id=self._topic_id,
                is_out_of_range=one in out_of_range,
            )
            for one in oldest
            if committed[one][0] >= 0 or one in first
        }

    def _first_starts(self, partitions: list[int], oldest: Mapping[int, int]) -> dict[int, Start]:
        """Return the starts of partitions without a commit.

        With `latest`, only partitions that the topic had when the group began start at their end. The commits of other
        partitions say how many those were; other members of a new group may have committed theirs a moment ago.
        """
        if self._reset == "earliest":
            return {one: self._first(oldest[one], 0) for one in partitions}
        self._partitions = max(self._partitions, *(one + 1 for one in partitions))
        commits = [metadata for offset, metadata in self._committed(range(self._partitions)).values() if offset >= 0]
        initial = min((self._initial_partitions(one) for one in commits), default=self._partitions)
        ends = self._offsets([one for one in partitions if one < initial], oldest=False)
        added = {one: oldest[one] for one in partitions if one >= initial}
        return {one: self._first(offset, initial) for one, offset in (ends | added).items()}

    def _initial_partitions(self, metadata: CommitMetadata) -> int:
        return metadata.initial_partitions if metadata.belongs_to(self._topic_id) else 0

    def _first(self, offset: int, initial_partitions: int) -> Start:
        metadata = CommitMetadata(topic_id=self._topic_id, initial_partitions=initial_partitions)
        return Start(offset, metadata, Reason.FIRST)

    def _committed(self, partitions: Collection[int]) -> dict[int, tuple[int, CommitMetadata]]:
        asked = [TopicPartition(self._topic, one) for one in partitions]
        found = self._consumer.committed(asked, timeout=MAX_CALL_SECONDS)
        return {one.partition: (one.offset, decode_commit_metadata(one.metadata)) for one in _checked(found)}

    def _offsets(self, partitions: list[int], *, oldest: bool) -> dict[int, int]:
        """Return the oldest offsets or the ends, of those partitions whose leader answers at once."""
        asked = self._ask_offsets(self._topic, partitions, oldest=oldest) if partitions else {}
        wait_for(asked.values(), MAX_CALL_SECONDS)
        known = {}
        for partition, future in asked.items():
            try:
                known[partition] = future.result(0)
            except TimeoutError:
                log.debug("the leader of partition %d does not answer yet", partition)
            except KafkaException as error:
                self._refuse_permanent(error)
        return known

    def _refuse_permanent(self, error: KafkaException) -> None:
        """Raise where no repetition would help; a topic that is missing is told by its ID."""
        reason = error.args[0]
        if is_permanent(reason) and not is_missing_topic(reason):
            raise user_error(reason, f"The start of topic {self._topic}") from error
        log.debug("where a partition starts is not known yet: %s", reason.str())


def log_start(topic: str, partition: int, start: Start) -> None:
    """Warn where a partition doesn't start at the group's committed offset although there is one."""
    facts = {"topic": topic, "partition": partition, "offset": start.offset}
    if start.reason in _WARNINGS:
        event, words = _WARNINGS[start.reason]
        text = f"partition %d of %s: {words}; starting at the oldest record, offset %d"
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
    Reason.RECREATED: ("topic_recreated", "the committed offset belongs to an earlier topic of that name"),
    Reason.OUT_OF_RANGE: ("offset_out_of_range", "it doesn't have the committed offset"),
}


def _checked(found: list[TopicPartition]) -> list[TopicPartition]:
    """Raise the error of a partition as the client raises those of a whole call."""
    for one in found:
        if one.error is not None:
            raise KafkaException(one.error)
    return found
