"""A group's committed offsets and their metadata: read them, with or without joining the group, and commit them."""

import json
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from functools import partial

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from telco_stream.errors import TelcoStreamError
from telco_stream.kafka.blocking_calls import (
    MAX_CALL_SECONDS,
    SHUTDOWN_GRACE_SECONDS,
    Deadline,
    retry,
    run_interruptible,
)
from telco_stream.kafka.cluster import Cluster
from telco_stream.kafka.error_policy import (
    group_error,
    is_fatal,
    is_permanent,
    is_stale_generation,
    member_failure,
    user_error,
)
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


def newest_consecutive_dead_letters(commits: Iterable[CommitMetadata]) -> int:
    """Return the number of consecutive dead letters in the newest of the commits; 0 without commits."""
    return max(((commit.at, commit.dead_letters_in_a_row) for commit in commits), default=(0, 0))[1]


class CommitReader:
    """Reader of a group's commits of one topic, which doesn't join the group; it connects when it is created.

    Raises `errors.KafkaError` if the topic is missing or the broker refuses this process.
    """

    def __init__(self, cluster: Cluster, group: str, topic: str) -> None:
        self.group, self.topic = group, topic
        self._cluster = cluster
        self.topic_id = cluster.topic_ids(topic)[topic]
        numbers = range(cluster.partitions(topic)[topic])
        self._partitions = [TopicPartition(topic, partition) for partition in numbers]
        # The admin client's own request crashes (segmentation fault) if the coordinator answers with an error while it
        # starts. With read_committed, the request would wait for open transactions.
        self._consumer = cluster.clients.consumer(group, isolation_level="read_uncommitted")

    def read(self) -> dict[int, Commit]:
        """Return the commits by partition, without those for a deleted topic of the same name.

        Raises `errors.KafkaError` if the request fails for the clients' timeout.
        """
        commits = {}
        for partition in self._cluster.ask_group(lambda: _committed(self._consumer, self._partitions), self.group):
            if partition.error is not None:
                raise user_error(partition.error, f"Group {self.group}, topic {self.topic}")
            commit = Commit(partition.offset, decode_commit_metadata(partition.metadata))
            if commit.offset >= 0 and commit.metadata.belongs_to(self.topic_id):
                commits[partition.partition] = commit
        return commits

    def close(self) -> None:
        """Close the client."""
        self._consumer.close()


def committed_offsets(cluster: Cluster, group: str, topic: str) -> dict[int, Commit]:
    """Return a group's commits of a topic by partition; see `CommitReader.read`."""
    with closing(CommitReader(cluster, group, topic)) as reader:
        return reader.read()


class GroupOffsets:
    """Offsets of one topic that this process reads and commits for the consumer's group.

    Each method waits for the broker until a stop request.
    """

    def __init__(self, consumer: Consumer, topic: str, stop: Stop, topic_id: str | None = None) -> None:
        self._consumer = consumer
        self._topic = topic
        self._stop = stop
        self._initial = Commit(0, CommitMetadata(topic_id=topic_id))
        #: Latest attempted commit, by partition.
        self.latest: dict[int, Commit] = {}
        #: True if an abandoned commit may still run in its thread.
        self.is_abandoned = False

    def committed(self, partitions: Iterable[int]) -> dict[int, int]:
        """Return the committed offsets, negative without a commit."""
        return {partition.partition: partition.offset for partition in self._ask_committed(partitions)}

    def committed_metadata(self, partition: int) -> str | None:
        """Return the metadata of a partition's committed offset, or None without a committed offset."""
        committed = self._ask_committed([partition])[0]
        return None if committed.offset < 0 else committed.metadata or ""

    def advance(self, next_offsets: Mapping[int, int], consecutive_dead_letters: int) -> list[TopicPartition]:
        """Return the offsets after a batch, with their metadata, for a commit."""
        now = time.time_ns() // 1_000_000
        commits = {}
        for partition, offset in next_offsets.items():
            metadata = self.latest.get(partition, self._initial).metadata
            updated = replace(metadata, dead_letters_in_a_row=consecutive_dead_letters, at=now)
            commits[partition] = Commit(offset, updated)
        return self.prepare(commits)

    def prepare(self, commits: Mapping[int, Commit]) -> list[TopicPartition]:
        """Store commits as the latest attempted ones, and return them for `commit` or a transaction."""
        self.latest |= commits
        return [
            TopicPartition(self._topic, partition, commit.offset, encode_commit_metadata(commit.metadata))
            for partition, commit in commits.items()
        ]

    def commit(self, offsets: list[TopicPartition], meanwhile: Callable[[], object] = lambda: None) -> bool:
        """Commit, and call `meanwhile` while waiting; return False if the group has reassigned the partitions."""
        call = partial(self._consumer.commit, offsets=offsets, asynchronous=False)
        try:
            retry(
                lambda: run_interruptible(call, self._stop, meanwhile),
                Deadline(),
                self._stop,
                lambda error: is_stale_generation(error) or _is_final(error),
                grace=SHUTDOWN_GRACE_SECONDS,
            )
        except Stopped:
            self.is_abandoned = True
            raise
        except KafkaException as error:
            if is_stale_generation(error.args[0]):
                return False
            raise _failure(error.args[0], "Offsets were not committed") from error
        return True

    def _ask_committed(self, partitions: Iterable[int]) -> list[TopicPartition]:
        request = [TopicPartition(self._topic, partition) for partition in partitions]
        if not request:
            return []
        try:
            return retry(partial(ask_committed, self._consumer, request, _TIMEOUT), Deadline(), self._stop, _is_final)
        except KafkaException as error:
            raise _failure(error.args[0], "Committed offsets") from error


def ask_committed(consumer: Consumer, request: list[TopicPartition], timeout: float) -> list[TopicPartition]:
    """Return the committed offsets; raise the error of a partition, which is not one without a commit."""
    committed = consumer.committed(request, timeout=timeout)
    for partition in committed:
        if partition.error is not None:
            raise KafkaException(partition.error)
    return committed


def _committed(consumer: Consumer, partitions: list[TopicPartition]) -> list[TopicPartition]:
    try:
        return consumer.committed(partitions, timeout=MAX_CALL_SECONDS)
    except KafkaException as error:
        message = consumer.poll(0)  # the client reports a missing right for the group only here
        raise KafkaException((message and message.error()) or error.args[0]) from error


def _is_final(error: KafkaError) -> bool:
    """Return whether each retry would return the same error."""
    return is_permanent(error) or is_fatal(error)


def _failure(error: KafkaError, doing: str) -> TelcoStreamError:
    """Return the user's error for a permanent or fatal error."""
    return user_error(error, doing) if is_permanent(error) else member_failure(error) or group_error(error)


_NUMBERS = ("dead_letters_in_a_row", "at", "expired_unanswered", "initial_partitions")
