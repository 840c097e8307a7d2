"""A group's committed offsets and their metadata: read and commit them, waiting for the broker."""

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import partial

from confluent_kafka import Consumer, KafkaException, TopicPartition

from telco_stream.kafka.background import SHUTDOWN_GRACE_SECONDS, run_interruptible
from telco_stream.kafka.error_policy import is_fatal, is_permanent, is_stale_generation, member_failure, user_error
from telco_stream.runtime.signals import Stop, Stopped

#: Timeout of one request in seconds.
_TIMEOUT = 1.0


@dataclass(frozen=True, slots=True)
class CommitMetadata:
    """Metadata that `consume` commits with each offset of the raw topic, as JSON."""

    #: Consecutive dead letters at the end of the batch.
    dead_letters_in_a_row: int = 0
    #: Time of the commit, in milliseconds since 1970.
    at: int = 0
    #: ID of the topic to which the offset belongs; None if it is unknown.
    topic_id: str | None = None
    #: Offsets that retention deleted before the group answered them; transaction markers may be among them.
    expired_unanswered: int = 0
    #: Partitions of the topic when the group started with `latest`; 0 if it started with `earliest` or is unknown.
    initial_partitions: int = 0

    def belongs_to(self, topic_id: str | None) -> bool:
        """Return whether the offset can belong to the topic with this ID; an unknown ID fits any topic."""
        return self.topic_id is None or topic_id is None or self.topic_id == topic_id


@dataclass(frozen=True, slots=True)
class Commit:
    """A committed offset of one partition."""

    offset: int
    metadata: CommitMetadata

    def expired_unanswered(self, oldest: int) -> int:
        """Return how many offsets retention has deleted unanswered: those counted earlier and those below `oldest`."""
        return self.metadata.expired_unanswered + max(0, oldest - self.offset)


def encode_commit_metadata(metadata: CommitMetadata) -> str:
    """Return the metadata as compact JSON, without fields that have no value."""
    return json.dumps({name: value for name, value in asdict(metadata).items() if value}, separators=(",", ":"))


def decode_commit_metadata(text: str | None) -> CommitMetadata:
    """Parse the metadata of a commit; text from another program counts as empty."""
    try:
        fields = json.loads(text or "{}")
        numbers = {name: int(fields.get(name, 0)) for name in _NUMBERS}
        topic_id = fields.get("topic_id")
    except (ValueError, TypeError, AttributeError, OverflowError):
        return CommitMetadata()
    return CommitMetadata(topic_id=topic_id if isinstance(topic_id, str) else None, **numbers)


def newest_dead_letters_in_a_row(commits: Iterable[CommitMetadata]) -> int:
    """Return the number of consecutive dead letters in the newest of the commits; 0 without commits."""
    return max(((commit.at, commit.dead_letters_in_a_row) for commit in commits), default=(0, 0))[1]


def ask_committed(consumer: Consumer, topic: str, partitions: Iterable[int], stop: Stop) -> list[TopicPartition]:
    """Return the group's committed offsets, negative without a commit; wait for the broker until a stop request."""
    request = [TopicPartition(topic, partition) for partition in partitions]
    while request:
        try:
            return consumer.committed(request, timeout=_TIMEOUT)
        except KafkaException as error:
            if is_permanent(error.args[0]):
                raise user_error(error.args[0], "Committed offsets") from error
            _raise_fatal(error)
            if stop.requested:
                raise Stopped from error
    return []


def commit(consumer: Consumer, offsets: list[TopicPartition], stop: Stop, meanwhile: Callable[[], None]) -> bool:
    """Commit, waiting for the broker until a stop request; return False if the group has reassigned the partitions.

    Calls `meanwhile` while it waits. After `Stopped`, the commit may still be running in its thread.
    """
    while True:
        try:
            run_interruptible(partial(consumer.commit, offsets=offsets, asynchronous=False), stop, meanwhile)
        except KafkaException as error:
            if is_stale_generation(error.args[0]):
                return False
            if is_permanent(error.args[0]):
                raise user_error(error.args[0], "Offsets were not committed") from error
            _raise_fatal(error)
            if stop.overdue(SHUTDOWN_GRACE_SECONDS):
                raise Stopped from error
        else:
            return True


def _raise_fatal(error: KafkaException) -> None:
    """Raise the cause of a fatal error of the client: each retry would return the same error."""
    failure = member_failure(error.args[0]) if is_fatal(error.args[0]) else None
    if failure is not None:
        raise failure from error


_NUMBERS = ("dead_letters_in_a_row", "at", "expired_unanswered", "initial_partitions")
