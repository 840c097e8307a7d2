"""Start of a group without committed offsets: it may be new, or Kafka may have deleted its offsets.

Kafka deletes the offsets of a group that has had no members for `offsets.retention.minutes`. Predictions and dead
letters remain, and their `source` header names the records that they answer.
"""

import logging
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from telco_stream.errors import DataError, KafkaError
from telco_stream.kafka.cluster import Cluster
from telco_stream.kafka.offsets import Commit, CommitMetadata, CommitReader, GroupOffsets
from telco_stream.kafka.permissions import require_read
from telco_stream.kafka.reading import read
from telco_stream.kafka.starts import Reset
from telco_stream.messages.headers import parse_position, source_of
from telco_stream.messages.record import Record

log = logging.getLogger("telco_stream.consume.loop")

#: Policy for a group without committed offsets whose topic already has answers.
IfAnswered: TypeAlias = Literal["refuse", "restart", "resume"]
#: Offsets to read from the end of each partition of the answer topics: few, so that a new group starts at once.
_NEWEST = 100


def choose_reset(cluster: Cluster, commits: CommitReader, if_answered: IfAnswered) -> Reset:
    """Return the reset policy for partitions without a committed offset.

    Raises `DataError` if the group has no commits although its topic has answers, and `if_answered` is `refuse`.
    """
    settings, topics = cluster.clients.settings, cluster.clients.settings.topics
    answers_in = (topics.predictions, topics.deadletter)
    start = _FirstStart(cluster, commits, answers_in)
    if if_answered == "restart" or start.has_commits():
        return settings.consumer.auto_offset_reset
    if if_answered == "resume":
        start.log_resumed(start.commit_after_answers())
        return settings.consumer.auto_offset_reset
    answers = start.newest_answers()
    # Another member commits its start before its first answer: checked in this order, its commit is not missed.
    if answers.next_offsets and not start.has_commits():
        raise DataError(start.refusal())
    return "earliest" if answers.has_earlier_topic else settings.consumer.auto_offset_reset


def resume_after_letters(cluster: Cluster, group: str, topic: str) -> None:
    """Commit the offset after the newest record with a dead letter in each partition, if the group has no commits.

    The records after these have no letters, so that none gets a second one.
    """
    with closing(CommitReader(cluster, group, topic)) as commits:
        start = _FirstStart(cluster, commits, (cluster.clients.settings.topics.deadletter,))
        if not start.has_commits() and (offsets := start.commit_after_answers()):
            start.log_resumed(offsets)


@dataclass(slots=True)
class _Answers:
    """Positions of the answered records, from the `source` headers of predictions and dead letters."""

    topic: str
    topic_id: str | None
    #: Offset after the newest answered record, by partition of the topic.
    next_offsets: dict[int, int] = field(default_factory=dict)
    #: True if some answers belong to a deleted topic of the same name.
    has_earlier_topic: bool = False

    def add(self, answer: Record) -> None:
        text, topic_id = source_of(answer)
        position = parse_position(text)
        if position is None or position.topic != self.topic:
            return
        if topic_id and self.topic_id and topic_id != self.topic_id.encode():
            self.has_earlier_topic = True
            return
        newest = self.next_offsets.get(position.partition, 0)
        self.next_offsets[position.partition] = max(newest, position.offset + 1)


class _FirstStart:
    """Commits of a group's earlier runs, and their answers in the topics `answers_in`."""

    def __init__(self, cluster: Cluster, commits: CommitReader, answers_in: Sequence[str]) -> None:
        self._cluster, self._commits, self._answers_in = cluster, commits, answers_in
        self._group, self._topic, self._topic_id = commits.group, commits.topic, commits.topic_id

    def has_commits(self) -> bool:
        return bool(self._commits.read())

    def newest_answers(self) -> _Answers:
        """Read the newest answers, as far as possible: `consume` itself only needs the right to write them."""
        try:
            require_read(self._cluster, *self._answers_in)
        except KafkaError:
            self._warn("this user may not read %s and %s", *self._answers_in)
            return _Answers(self._topic, self._topic_id)
        return self._read({topic: self._newest(topic) for topic in self._answers_in})

    def commit_after_answers(self) -> dict[int, int]:
        """Commit the offset after the newest answered record of each partition, and return them; reads all answers."""
        offsets = dict(sorted(self._read({}).next_offsets.items()))
        if offsets:
            consumer = self._cluster.clients.consumer(self._group)
            group_offsets = GroupOffsets(consumer, self._topic, self._cluster.stop)
            metadata = CommitMetadata(topic_id=self._topic_id)
            commits = {partition: Commit(offset, metadata) for partition, offset in offsets.items()}
            try:
                group_offsets.commit(group_offsets.prepare(commits))
            finally:
                consumer.close()
        return offsets

    def log_resumed(self, offsets: Mapping[int, int]) -> None:
        listed = ", ".join(f"{partition}: {offset}" for partition, offset in offsets.items()) or "none"
        extra = {"event": "resumed", "facts": {"topic": self._topic, "offsets": offsets}}
        log.warning("resuming after the newest answers, by partition of %s: %s", self._topic, listed, extra=extra)

    def refusal(self) -> str:
        return (
            f"Group {self._group} has no committed offsets, but {' or '.join(self._answers_in)} already has"
            f" answers to {self._topic}. Kafka deletes the offsets of a group without members after"
            " offsets.retention.minutes (7 days). Continue after the newest answers with `consume"
            " --resume-from-answers`, or process everything again with `consume --restart`"
        )

    def _read(self, starts: Mapping[str, Mapping[int, int]]) -> _Answers:
        """Read the topics with answers from these offsets, or from their beginning."""
        answers = _Answers(self._topic, self._topic_id)
        for topic in self._answers_in:
            for records in read(self._cluster, topic, starts=starts.get(topic)):
                for record in records:
                    answers.add(record)
        return answers

    def _newest(self, topic: str) -> dict[int, int]:
        """Return the offsets from which the newest answers are read.

        Partitions that are empty or have no leader are left out.
        """
        partitions = range(self._cluster.partitions(topic)[topic])
        ends = self._cluster.reachable_ends(topic, partitions, committed_only=True)
        if len(ends) < len(partitions):
            self._warn("a partition of %s has no leader", topic)
        return {partition: max(0, end - _NEWEST) for partition, end in ends.items() if end}

    def _warn(self, reason: str, *topics: str) -> None:
        text = f"group %s has no committed offsets; whether it has answered before is unknown: {reason}"
        log.warning(text, self._group, *topics, extra={"event": "answers_unknown", "facts": {"topics": topics}})
