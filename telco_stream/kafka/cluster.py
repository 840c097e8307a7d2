"""The cluster as it is before the first record: reachable? topics there? where do partitions end?"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from contextlib import suppress
from typing import Any, TypeVar

from confluent_kafka import OFFSET_INVALID, IsolationLevel, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    ClusterMetadata,
    ConfigResource,
    NewTopic,
    OffsetSpec,
    ResourceType,
    TopicDescription,
)

from telco_stream import errors
from telco_stream.kafka.advertised import unreachable_broker
from telco_stream.kafka.auth_errors import refusal
from telco_stream.kafka.clients import MAX_CALL_SECONDS, Clients
from telco_stream.kafka.error_policy import cannot_connect, failed_disk, user_error
from telco_stream.runtime.signals import Stop, Stopped

Result = TypeVar("Result")

#: A partition that was just created, or whose broker has gone, has a leader in a moment; the client asks only once.
_MOVING = frozenset(
    {
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError._NOENT,  # noqa: SLF001 - "No leaders found", from the metadata that it remembers
    }
)
#: So has a group on a broker that has just started: it says so for some two seconds.
_COORDINATOR_IS_COMING = frozenset(
    {
        KafkaError.NOT_COORDINATOR,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError._WAIT_COORD,  # noqa: SLF001 - the client's public name
        KafkaError._TIMED_OUT,  # noqa: SLF001
    }
)
_NO_ANSWER = frozenset({KafkaError._TIMED_OUT, KafkaError._TRANSPORT})  # noqa: SLF001
#: Seconds between two such questions.
_PAUSE = 0.1
_URL_SAFE = str.maketrans("+/", "-_")


class Cluster:
    """Answers questions within the clients' timeout; raises `errors.KafkaError` where Kafka doesn't."""

    def __init__(self, clients: Clients, stop: Stop | None = None) -> None:
        self._clients = clients
        self._stop = stop or Stop()
        self._admin: AdminClient = clients.admin()

    def partitions(self, *topics: str) -> dict[str, int]:
        """How many partitions each topic has; a topic that is missing or forbidden is an error that names it."""
        seen = self.topics()
        for topic in topics:
            if topic not in seen:
                self._why_unseen(topic)
        return {topic: seen[topic][0] for topic in topics}

    def topics(self) -> dict[str, tuple[int, int]]:
        """Partitions and replication factor of every topic that may be seen."""
        metadata = self._metadata()
        return {
            name: (len(topic.partitions), min((len(one.replicas) for one in topic.partitions.values()), default=0))
            for name, topic in metadata.topics.items()
        }

    def topic_ids(self, *topics: str) -> dict[str, str | None]:
        """Return the ID of each topic in Kafka's own notation (base64, 22 characters), as `kafka-topics.sh` prints it.

        A topic that is deleted and created again keeps its name but gets a new ID (KIP-516). The ID is None on the
        embedded broker, which has none. Raises `errors.KafkaError` where a topic is missing or may not be described.
        """
        if self.is_embedded():
            return dict.fromkeys(topics)
        futures = self._admin.describe_topics(TopicCollection(list(topics)), request_timeout=self._clients.timeout)
        return {topic: topic_id_of(self.wait(future, f"Topic {topic}")) for topic, future in futures.items()}

    def describe_topic(self, topic: str) -> "Future[TopicDescription]":
        """Begin to ask for a topic's description; keep the cluster until the future has resolved."""
        asked = TopicCollection([topic])
        return self._admin.describe_topics(asked, request_timeout=self._clients.timeout)[topic]

    def ask_offsets(self, topic: str, partitions: Iterable[int], *, oldest: bool) -> "dict[int, Future[int]]":
        """Begin to ask for the oldest offset kept of each partition, or for its end; keep the cluster until then."""
        spec = OffsetSpec.earliest() if oldest else OffsetSpec.latest()
        asked = self._asked(topic, partitions, spec, committed_only=True)
        return {one.partition: _offset_of(future) for one, future in asked.items()}

    def create(self, topics: Sequence[NewTopic], *, dry_run: bool) -> None:
        """Create the topics, or only have the broker check that it could; one that another made meanwhile is fine."""
        if not topics:
            return
        futures = self._admin.create_topics(list(topics), validate_only=dry_run, request_timeout=self._clients.timeout)
        for name, future in futures.items():
            try:
                self._result(future)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise self._in_words(error.args[0], f"Topic {name} was not created") from error
                self._refuse_hidden(name)

    def ends(self, topic: str, partitions: Iterable[int], *, committed_only: bool = True) -> dict[int, int]:
        """The offset after the last record that a reader can see now, by partition."""
        return self._offsets(topic, partitions, OffsetSpec.latest(), committed_only=committed_only)

    def reachable_ends(self, topic: str, partitions: Iterable[int], *, committed_only: bool) -> dict[int, int]:
        """As `ends`, but partitions whose leader doesn't answer in time are left out."""
        asked = self._asked(topic, partitions, OffsetSpec.latest(), committed_only=committed_only)
        known = {}
        for one, future in asked.items():
            with suppress(KafkaException):
                known[one.partition] = self._offset(future)
        return known

    def starts(self, topic: str, partitions: Iterable[int]) -> dict[int, int]:
        """The offset of the oldest record still kept, by partition."""
        return self._offsets(topic, partitions, OffsetSpec.earliest(), committed_only=True)

    def offsets_at(self, topic: str, partitions: Iterable[int], milliseconds: int) -> dict[int, int]:
        """The first offset at or after that time, by partition; -1 where there is none."""
        return self._offsets(topic, partitions, OffsetSpec.for_timestamp(milliseconds), committed_only=True)

    def largest_message(self, topic: str, default: int) -> int:
        """The topic's `max.message.bytes`; `default` where it is unknown."""
        return int(self.topic_config(topic).get("max.message.bytes", default))

    def topic_config(self, topic: str) -> dict[str, str]:
        """Return the topic's configuration by name; empty where it may not be described, and on the embedded broker."""
        if self.is_embedded():
            return {}
        resource = ConfigResource(ResourceType.TOPIC, topic)
        future = self._admin.describe_configs([resource], request_timeout=self._clients.timeout)[resource]
        try:
            return {name: entry.value for name, entry in self._result(future).items() if entry.value is not None}
        except KafkaException as error:
            if error.args[0].code() in _NO_ANSWER:
                raise self._in_words(error.args[0], f"Topic {topic}") from error
            return {}

    def offsets_retention(self) -> int | None:
        """Return the milliseconds after which Kafka deletes the offsets of a group without members.

        The shortest of all brokers; None where one may not be asked.
        """
        resources = [ConfigResource(ResourceType.BROKER, str(broker)) for broker in self._metadata().brokers]
        timeout = self._clients.timeout
        # One call takes one broker only.
        futures = [self._admin.describe_configs([one], request_timeout=timeout)[one] for one in resources]
        try:
            return min(int(self._result(one)["offsets.retention.minutes"].value) for one in futures) * 60_000
        except (KafkaException, KeyError):
            return None

    def is_embedded(self) -> bool:
        """Whether there is no controller, who alone answers certain questions; the embedded broker lets us wait."""
        metadata = self._metadata()
        return metadata.controller_id not in metadata.brokers

    def wait(self, future: "Future[Result]", doing: str) -> Result:
        """The future's result; an error is put into words that begin with `doing`."""
        try:
            return self._result(future)
        except KafkaException as error:
            raise self._in_words(error.args[0], doing) from error

    def wait_for_group(self, ask: "Callable[[], Future[Result]]", group: str) -> Result:
        """As `wait`, asked again while the group's coordinator is still on its way."""
        return self.ask_group(lambda: self._result(ask()), group)

    def ask_group(self, ask: Callable[[], Result], group: str) -> Result:
        """As `wait_for_group`, for a call that waits by itself, but not for long."""
        deadline = time.monotonic() + self._clients.timeout
        while True:
            try:
                return ask()
            except KafkaException as error:
                if error.args[0].code() not in _COORDINATOR_IS_COMING or self._is_over(deadline):
                    raise self._in_words(error.args[0], f"Group {group}") from error
            if self._stop.wait(_PAUSE):
                raise Stopped

    def _why_unseen(self, topic: str) -> None:
        """The broker's own words for a topic that it doesn't list."""
        self.wait(self.describe_topic(topic), f"Topic {topic}")
        raise errors.KafkaError(f"Topic {topic} has only just been created; try again")

    def _refuse_hidden(self, topic: str) -> None:
        """Raises where a topic that is there may not be seen: nobody could say how many partitions it has."""
        try:
            self._result(self.describe_topic(topic))
        except KafkaException as error:
            if error.args[0].code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
                raise user_error(error.args[0], f"Topic {topic} exists, but may not be seen") from error

    def _metadata(self) -> ClusterMetadata:
        """The one call here that blocks: asked in slices, so that a signal is seen."""
        deadline = time.monotonic() + self._clients.timeout
        while True:
            try:
                metadata = self._admin.list_topics(timeout=MAX_CALL_SECONDS)
            except KafkaException as error:
                if self._stop.requested:
                    raise Stopped from error
                if self._is_over(deadline):
                    raise self._in_words(error.args[0], "The topics can't be listed") from error
            else:
                brokers = metadata.brokers.values()
                self._clients.advertised = tuple((str(broker.host), broker.port) for broker in brokers)
                return metadata

    def _offsets(
        self, topic: str, partitions: Iterable[int], spec: OffsetSpec, *, committed_only: bool
    ) -> dict[int, int]:
        numbers, deadline = list(partitions), time.monotonic() + self._clients.timeout
        while True:
            asked = self._asked(topic, numbers, spec, committed_only=committed_only)
            try:
                return {one.partition: self._offset(future) for one, future in asked.items()}
            except KafkaException as error:
                if error.args[0].code() not in _MOVING or self._is_over(deadline):
                    raise self._in_words(self._failed_disk(topic, error.args[0]), f"Topic {topic}") from error
            if self._stop.wait(_PAUSE):
                raise Stopped

    def _failed_disk(self, topic: str, error: KafkaError) -> KafkaError:
        """Return the error of a failed disk if that is why a partition has no leader, else the error itself."""
        if error.code() not in _MOVING:
            return error
        try:
            metadata = self._admin.list_topics(topic, timeout=MAX_CALL_SECONDS)
        except KafkaException:
            return error
        return failed_disk(metadata, topic) or error

    def _asked(
        self, topic: str, partitions: Iterable[int], spec: OffsetSpec, *, committed_only: bool
    ) -> "Mapping[TopicPartition, Future[Any]]":
        isolation = IsolationLevel.READ_COMMITTED if committed_only else IsolationLevel.READ_UNCOMMITTED
        asked = {TopicPartition(topic, partition): spec for partition in partitions}
        return self._admin.list_offsets(asked, isolation_level=isolation, request_timeout=self._clients.timeout)

    def _offset(self, future: "Future[Any]") -> int:
        """Return the offset that was asked for; the client reports a partition that did not answer as success."""
        offset: int = self._result(future).offset
        if offset == OFFSET_INVALID:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))  # noqa: SLF001
        return offset

    def _result(self, future: "Future[Result]") -> Result:
        deadline = time.monotonic() + self._clients.timeout
        while True:
            try:
                return future.result(MAX_CALL_SECONDS)
            except NotYet:
                if self._stop.requested:
                    raise Stopped from None
                if self._is_over(deadline):
                    raise KafkaException(KafkaError(KafkaError._TIMED_OUT)) from None  # noqa: SLF001

    def _is_over(self, deadline: float) -> bool:
        self._admin.poll(0)  # what the client complains of, it tells whoever polls
        return time.monotonic() > deadline or cannot_connect(self._clients.last_error)

    def _in_words(self, error: KafkaError, doing: str) -> errors.KafkaError:
        last, where = self._clients.last_error, self._clients.settings.bootstrap_servers
        is_silence = error.code() in _NO_ANSWER
        if is_silence and last is not None and cannot_connect(last):
            return refusal(last, where, self._clients.settings.kafka)
        if is_silence or error.code() in _MOVING | _COORDINATOR_IS_COMING:
            unreachable = unreachable_broker(where, self._clients.advertised)
            if unreachable is not None:
                return unreachable
        if not is_silence:
            return user_error(error, doing)
        # The client's words for it are of a message size to be increased.
        is_stranger = last is not None and last.code() == KafkaError._BAD_MSG  # noqa: SLF001
        reason = ": something else answers there" if is_stranger else f": {last.str()}" if last else ""
        return errors.KafkaError(
            f"Kafka at {where} doesn't answer within {self._clients.timeout:g} s{reason}; is it up, --broker right, and"
            " TLS or SASL set as it asks for?"
        )


def _offset_of(listed: "Future[Any]") -> "Future[int]":
    """Return a future of the offset alone."""
    offset: Future[int] = Future()

    def done(future: "Future[Any]") -> None:
        if (error := future.exception()) is not None:
            offset.set_exception(error)
        else:
            offset.set_result(future.result().offset)

    listed.add_done_callback(done)
    return offset


def topic_id_of(description: TopicDescription) -> str:
    """Return the topic's ID as Kafka's tools print it: librdkafka writes it in the standard base64 alphabet."""
    return str(description.topic_id).translate(_URL_SAFE)
