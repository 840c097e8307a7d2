"""A group's committed offsets and their metadata: read and commit them, waiting for the broker."""

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import partial

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from telco_stream.errors import TelcoStreamError
from telco_stream.kafka.background import SHUTDOWN_GRACE_SECONDS, run_interruptible
from telco_stream.kafka.error_policy import (
    group_error,
    is_fatal,
    is_permanent,
    is_stale_generation,
    member_failure,
    user_error,
)
from telco_stream.kafka.retry import Deadline, retry
from telco_stream.runtime.signals import Stop

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


def newest_consecutive_dead_letters(commits: Iterable[CommitMetadata]) -> int:
    """Return the number of consecutive dead letters in the newest of the commits; 0 without commits."""
    return max(((commit.at, commit.dead_letters_in_a_row) for commit in commits), default=(0, 0))[1]


def ask_committed(consumer: Consumer, topic: str, partitions: Iterable[int], stop: Stop) -> list[TopicPartition]:
    """Return the group's committed offsets, negative without a commit; wait for the broker until a stop request."""
    request = [TopicPartition(topic, partition) for partition in partitions]
    if not request:
        return []
    try:
        return retry(partial(consumer.committed, request, timeout=_TIMEOUT), Deadline(), stop, _is_final)
    except KafkaException as error:
        raise _failure(error.args[0], "Committed offsets") from error


def commit(consumer: Consumer, offsets: list[TopicPartition], stop: Stop, meanwhile: Callable[[], None]) -> bool:
    """Commit, waiting for the broker until a stop request; return False if the group has reassigned the partitions.

    Calls `meanwhile` while it waits. After `Stopped`, the commit may still be running in its thread.
    """
    call = partial(consumer.commit, offsets=offsets, asynchronous=False)
    try:
        retry(
            lambda: run_interruptible(call, stop, meanwhile),
            Deadline(),
            stop,
            lambda error: is_stale_generation(error) or _is_final(error),
            grace=SHUTDOWN_GRACE_SECONDS,
        )
    except KafkaException as error:
        if is_stale_generation(error.args[0]):
            return False
        raise _failure(error.args[0], "Offsets were not committed") from error
    return True


def _is_final(error: KafkaError) -> bool:
    """Return whether each retry would return the same error."""
    return is_permanent(error) or is_fatal(error)


def _failure(error: KafkaError, doing: str) -> TelcoStreamError:
    """Return the user's error for a permanent or fatal error."""
    return user_error(error, doing) if is_permanent(error) else member_failure(error) or group_error(error)


_NUMBERS = ("dead_letters_in_a_row", "at", "expired_unanswered", "initial_partitions")
