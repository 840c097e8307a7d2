"""Admin requests: topics, offsets and configuration of the cluster, each with a timeout and a readable error."""

from collections.abc import Callable, Collection, Container, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Any, Literal, TypeAlias, TypeVar

from confluent_kafka import OFFSET_INVALID, IsolationLevel, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    ClusterMetadata,
    ConfigEntry,
    ConfigResource,
    ListOffsetsResultInfo,
    MemberDescription,
    NewTopic,
    OffsetSpec,
    ResourceType,
    TopicDescription,
)

from telco_stream import errors
from telco_stream.kafka.auth_errors import is_unconnected, reason_of
from telco_stream.kafka.blocking_calls import MAX_CALL_SECONDS, Deadline, retry
from telco_stream.kafka.clients import Clients
from telco_stream.kafka.error_policy import cannot_connect, is_missing_topic, topic_error, user_error
from telco_stream.runtime.choices import variable_of
from telco_stream.runtime.signals import Stop, Stopped

Result = TypeVar("Result")
#: First offset of a partition, or the offset after its last record.
OffsetBound: TypeAlias = Literal["earliest", "latest"]

#: A partition that was just created, or whose broker has failed, gets a leader soon; the client does not retry.
_LEADER_PENDING = frozenset(
    {
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError._NOENT,  # noqa: SLF001 - "No leaders found", from cached metadata
    }
)
#: A group lacks a coordinator for about two seconds after a broker has started.
_COORDINATOR_PENDING = frozenset(
    {
        KafkaError.NOT_COORDINATOR,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError._WAIT_COORD,  # noqa: SLF001 - the client's public name
        KafkaError._TIMED_OUT,  # noqa: SLF001
    }
)
_NO_ANSWER = frozenset({KafkaError._TIMED_OUT, KafkaError._TRANSPORT})  # noqa: SLF001
#: Seconds after which a command that waits for its first answer says so.
_SLOW_ANSWER = 1.5
#: Longest time in seconds in which a broker should learn of a new topic, and the time between two questions.
_PROPAGATION_SECONDS, _PROPAGATION_PAUSE = 5.0, 0.05
#: Seconds between two tries of such a request.
_PAUSE = 0.1
_URL_SAFE = str.maketrans("+/", "-_")


@dataclass(frozen=True, slots=True)
class GroupMember:
    """A member of a group: its instance ID or member ID, its address, and the partitions that it owns.

    `worker` is its instance ID or client ID, as `Clients.worker`.
    """

    name: str
    worker: str
    host: str
    partitions: frozenset[tuple[str, int]]


@dataclass(frozen=True, slots=True)
class GroupDescription:
    """A group's state as Kafka names it (`dead` if the group does not exist) and its members."""

    state: str
    members: list[GroupMember]
    #: This user's rights in the group; empty or None if the broker does not report them.
    rights: Sequence[Enum] | None


class Cluster:
    """Admin requests with the clients' timeout; each raises `errors.KafkaError` if Kafka does not answer in time."""

    def __init__(self, clients: Clients, stop: Stop | None = None) -> None:
        self.clients = clients
        #: Stop request that ends waiting for an answer.
        self.stop = stop or Stop()
        self._admin: AdminClient = clients.admin()
        #: True once the cluster has named a controller; the embedded broker never does.
        self._has_controller = False

    def partitions(self, *topics: str) -> dict[str, int]:
        """Return the number of partitions of each topic; raise for a topic that is missing or forbidden."""
        visible = self.topics()
        for topic in topics:
            if topic not in visible:
                self.wait(self.describe_topic(topic), topic)  # raises the broker's error
                raise errors.KafkaError(f"Topic {topic} was created a moment ago; try again")
        return {topic: visible[topic][0] for topic in topics}

    def topics(self) -> dict[str, tuple[int, int]]:
        """Return the number of partitions and the replication factor of every topic that this user may describe."""
        topics = {}
        for name, topic in self._metadata().topics.items():
            replicas = [len(partition.replicas) for partition in topic.partitions.values()]
            topics[name] = (len(topic.partitions), min(replicas, default=0))
        return topics

    def topic_ids(self, *topics: str) -> dict[str, str | None]:
        """Return the ID of each topic in Kafka's own notation (base64, 22 characters), as `kafka-topics.sh` prints it.

        A topic that is deleted and created again keeps its name but gets a new ID (KIP-516). The ID is None on the
        embedded broker. Raises `errors.KafkaError` if a topic is missing or this user may not describe it.
        """
        if self.is_embedded():
            return dict.fromkeys(topics)
        descriptions = self.describe_topics(*topics)
        return {topic: topic_id_of(self.wait(descriptions[topic], topic)) for topic in topics}

    def describe_topic(self, topic: str) -> "Future[TopicDescription]":
        """Request a topic's description, as `describe_topics` does."""
        return self.describe_topics(topic)[topic]

    def describe_topics(self, *topics: str, with_rights: bool = False) -> "Mapping[str, Future[TopicDescription]]":
        """Request the descriptions of topics; keep a reference to the cluster until the futures have resolved."""
        timeout, collection = self.clients.timeout, TopicCollection(list(topics))
        options: dict[str, Any] = {"include_authorized_operations": with_rights, "request_timeout": timeout}
        return self._admin.describe_topics(collection, **options)

    def describe_group(self, group: str) -> GroupDescription:
        """Return the state of a group; retry while the group lacks a coordinator."""
        request = partial(self._admin.describe_consumer_groups, [group], include_authorized_operations=True)
        description = self.ask_group(lambda: self._result(request(request_timeout=self.clients.timeout)[group]), group)
        members = [_member_of(member) for member in description.members]
        return GroupDescription(description.state.name.lower(), members, description.authorized_operations)

    def groups(self) -> list[str]:
        """Return the IDs of the groups that this user may see, sorted; none if the request fails."""
        with suppress(KafkaException):
            listed = self._result(self._admin.list_consumer_groups(request_timeout=self.clients.timeout))
            return sorted(group.group_id for group in listed.valid)
        return []

    def ask_offsets(
        self, topic: str, partitions: Collection[int], bound: OffsetBound
    ) -> "Mapping[int, Future[ListOffsetsResultInfo]]":
        """Request the first or the end offset of each partition; keep the cluster until the futures have resolved."""
        spec = OffsetSpec.earliest() if bound == "earliest" else OffsetSpec.latest()
        return self._list_offsets(topic, partitions, spec)

    def create(self, topics: Sequence[NewTopic], *, dry_run: bool) -> None:
        """Create the topics, or only validate the request; ignore a topic that another process creates meanwhile."""
        if not topics:
            return
        futures = self._admin.create_topics(list(topics), validate_only=dry_run, request_timeout=self.clients.timeout)
        for name, future in futures.items():
            try:
                self._result(future)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise self._user_error(error.args[0], f"Topic {name} was not created") from error
                self._check_visible(name)
        if not dry_run:
            self._await_topics({topic.topic for topic in topics})

    def _await_topics(self, names: Collection[str]) -> None:
        """Wait until the broker knows new topics: it learns of them a moment after the controller has created them."""
        deadline = Deadline(_PROPAGATION_SECONDS)
        while not self._known_topics().issuperset(names) and not deadline.has_passed:
            if self.stop.wait(_PROPAGATION_PAUSE):
                return

    def _known_topics(self) -> set[str]:
        return {name for name, (partitions, _) in self.topics().items() if partitions}

    def ends(self, topic: str, partitions: Collection[int], *, committed_only: bool = True) -> dict[int, int]:
        """Return the end offset of each partition: the last stable offset, or the high watermark of all records."""
        return self._offsets(topic, partitions, OffsetSpec.latest(), committed_only=committed_only)

    def reachable_ends(self, topic: str, partitions: Collection[int], *, committed_only: bool) -> dict[int, int]:
        """Return the end offsets as `ends` does, without partitions whose leader doesn't answer in time."""
        futures = self._list_offsets(topic, partitions, OffsetSpec.latest(), committed_only=committed_only)
        ends = {}
        for partition, future in futures.items():
            with suppress(KafkaException):
                ends[partition] = answered(self._result(future)).offset
        return ends

    def starts(self, topic: str, partitions: Collection[int]) -> dict[int, int]:
        """Return the offset of the oldest retained record of each partition (the log start offset)."""
        return self._offsets(topic, partitions, OffsetSpec.earliest())

    def offsets_at(self, topic: str, partitions: Collection[int], milliseconds: int) -> dict[int, int]:
        """Return the first offset of each partition at or after a time in ms since 1970; -1 without such a record."""
        return self._offsets(topic, partitions, OffsetSpec.for_timestamp(milliseconds))

    def first_since(self, topic: str, partitions: Collection[int], milliseconds: int) -> dict[int, tuple[int, int]]:
        """Return offset and time of the first record of each partition at or after a time, both times in ms since 1970.

        Partitions without such a record are left out.
        """
        listed = self._listed(topic, partitions, OffsetSpec.for_timestamp(milliseconds))
        return {partition: (each.offset, each.timestamp) for partition, each in listed.items() if each.offset >= 0}

    def newest_time(self, topic: str) -> int | None:
        """Return the latest time of the topic's records in ms since 1970, or None if it is empty.

        Raises `errors.KafkaError` if this user may not describe the topic.
        """
        partitions = range(self.partitions(topic)[topic])
        listed = self._listed(topic, partitions, OffsetSpec.max_timestamp(), committed_only=False)
        return max((each.timestamp for each in listed.values() if each.offset >= 0), default=None)

    def in_sync_replicas(self, topic: str) -> dict[int, int]:
        """Return the number of in-sync replicas of each partition of a visible topic, 0 without a leader."""
        partitions = self._metadata().topics[topic].partitions
        return {number: len(each.isrs) if each.leader >= 0 else 0 for number, each in partitions.items()}

    def largest_message(self, topic: str, default: int) -> int:
        """Return the topic's `max.message.bytes`, or `default` if it is unknown."""
        return largest_message(self.topic_configs(topic)[topic], default)

    def topic_configs(self, *topics: str) -> dict[str, dict[str, str]]:
        """Return the topics' configurations; empty without the right to describe it and on the embedded broker."""
        if not topics or self.is_embedded():
            return {topic: {} for topic in topics}
        resources = {topic: ConfigResource(ResourceType.TOPIC, topic) for topic in topics}
        futures = self._admin.describe_configs(list(resources.values()), request_timeout=self.clients.timeout)
        return {topic: self._topic_config(topic, futures[resource]) for topic, resource in resources.items()}

    def _topic_config(self, topic: str, future: "Future[dict[str, ConfigEntry]]") -> dict[str, str]:
        try:
            return {name: entry.value for name, entry in self._result(future).items() if entry.value is not None}
        except KafkaException as error:
            if error.args[0].code() in _NO_ANSWER:
                raise self._user_error(error.args[0], f"Topic {topic}") from error
            return {}

    def offsets_retention(self) -> int | None:
        """Return the milliseconds after which Kafka deletes the offsets of a group without members.

        This is the shortest time of all brokers; None if this user may not read a broker's configuration.
        """
        resources = [ConfigResource(ResourceType.BROKER, str(broker)) for broker in self._metadata().brokers]
        timeout = self.clients.timeout
        # A call can name only one broker.
        futures = [self._admin.describe_configs([broker], request_timeout=timeout)[broker] for broker in resources]
        try:
            return min(int(self._result(future)["offsets.retention.minutes"].value) for future in futures) * 60_000
        except (KafkaException, KeyError):
            return None

    def is_embedded(self) -> bool:
        """Return whether this is the embedded broker, which lacks a controller and leaves some requests unanswered."""
        if not self._has_controller:
            self._metadata()
        return not self._has_controller

    def wait(self, future: "Future[TopicDescription]", topic: str) -> TopicDescription:
        """Wait for the description of a topic; the error for a missing one says what to do."""
        try:
            return self._result(future)
        except KafkaException as error:
            problem = self._user_error(error.args[0], f"Topic {topic}")
            if is_missing_topic(error.args[0]):
                text = f"{problem}, or correct {self._name_of(topic)}"
                topics = self.clients.settings.topics
                if option := {topics.models: "--models", topics.outcomes: "--outcomes"}.get(topic):
                    text = text.replace("topics init`", f"topics init {option}`")
                problem = errors.KafkaError(text)
            raise problem from error

    def ask_group(self, ask: Callable[[], Result], group: str) -> Result:
        """Return the result of a blocking call about a group; retry while the group lacks a coordinator."""
        try:
            return self._retry(ask, _COORDINATOR_PENDING, _PAUSE)
        except KafkaException as error:
            raise self._user_error(error.args[0], f"Group {group}") from error

    def _name_of(self, topic: str) -> str:
        """Return the option or the variable that names the topic."""
        topics = self.clients.settings.topics
        names = {getattr(topics, name): f"topics.{name}" for name in ("predictions", "deadletter", "models")}
        return variable_of(names[topic]) if topic in names else "--topic"

    def _check_visible(self, topic: str) -> None:
        """Raise if this user may not describe an existing topic: its number of partitions would be unknown."""
        try:
            self._result(self.describe_topic(topic))
        except KafkaException as error:
            if error.args[0].code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
                raise user_error(error.args[0], f"Topic {topic} exists, but this user may not describe it") from error

    def _metadata(self) -> ClusterMetadata:
        """Fetch the cluster's metadata: a blocking call, so it is repeated with a short timeout to handle signals."""
        expected = Deadline(_SLOW_ANSWER)

        def list_topics() -> ClusterMetadata:
            if expected.has_passed:
                self.clients.note_slow_answer()
            return self._admin.list_topics(timeout=MAX_CALL_SECONDS)

        try:
            metadata = self._retry(list_topics)
        except KafkaException as error:
            raise self._user_error(error.args[0], "The topics can't be listed") from error
        brokers = metadata.brokers
        self.clients.advertised = tuple((str(broker.host), broker.port) for broker in brokers.values())
        self._has_controller = self._has_controller or metadata.controller_id in brokers
        return metadata

    def _offsets(
        self, topic: str, partitions: Collection[int], spec: OffsetSpec, *, committed_only: bool = True
    ) -> dict[int, int]:
        listed = self._listed(topic, partitions, spec, committed_only=committed_only)
        return {partition: each.offset for partition, each in listed.items()}

    def _listed(
        self, topic: str, partitions: Collection[int], spec: OffsetSpec, *, committed_only: bool = True
    ) -> "dict[int, ListOffsetsResultInfo]":
        def request() -> "dict[int, ListOffsetsResultInfo]":
            futures = self._list_offsets(topic, partitions, spec, committed_only=committed_only)
            return {partition: answered(self._result(future)) for partition, future in futures.items()}

        try:
            return self._retry(request, _LEADER_PENDING | _NO_ANSWER, _PAUSE)
        except KafkaException as error:
            reason: KafkaError = error.args[0]
            cause = topic_error(self._admin, topic) if reason.code() in _LEADER_PENDING else None
            raise self._user_error(cause or reason, f"Topic {topic}") from error

    def _list_offsets(
        self, topic: str, partitions: Collection[int], spec: OffsetSpec, *, committed_only: bool = True
    ) -> "Mapping[int, Future[ListOffsetsResultInfo]]":
        """Request offsets, of the current leaders: the client never renews those in its cache after an error."""
        with suppress(KafkaException):
            self._admin.list_topics(topic, timeout=MAX_CALL_SECONDS)
        isolation = IsolationLevel.READ_COMMITTED if committed_only else IsolationLevel.READ_UNCOMMITTED
        request = {TopicPartition(topic, partition): spec for partition in partitions}
        timeout = self.clients.timeout
        futures = self._admin.list_offsets(request, isolation_level=isolation, request_timeout=timeout)
        return {partition.partition: future for partition, future in futures.items()}

    def _result(self, future: "Future[Result]") -> Result:
        deadline = Deadline(self.clients.timeout)
        while True:
            try:
                return future.result(MAX_CALL_SECONDS)
            except TimeoutError:
                if self.stop.requested:
                    raise Stopped from None
                if self._is_refused() or deadline.has_passed:
                    raise KafkaException(KafkaError(KafkaError._TIMED_OUT)) from None  # noqa: SLF001

    def _retry(self, call: Callable[[], Result], codes: Container[int] | None = None, pause: float = 0) -> Result:
        """Retry a call after errors with these codes, or after any error, until the clients' timeout."""

        def is_permanent(error: KafkaError) -> bool:
            return (codes is not None and error.code() not in codes) or self._is_refused()

        return retry(call, Deadline(self.clients.timeout), self.stop, is_permanent, pause=pause)

    def _is_refused(self) -> bool:
        self._admin.poll(0)  # serves the error callback, which sets `last_error`
        return cannot_connect(self.clients.last_error)

    def _user_error(self, error: KafkaError, doing: str) -> errors.KafkaError:
        """Return the user's error for a failed request; `doing` begins its message."""
        is_unanswered = error.code() in _NO_ANSWER
        is_pending = error.code() in _LEADER_PENDING | _COORDINATOR_PENDING
        if (is_unanswered or is_pending) and (connection_error := self.clients.connection_error()):
            return connection_error
        if not is_unanswered:
            return user_error(error, doing)
        last = self.clients.last_error
        reason = f": {reason_of(last)}" if last else ""
        login = "" if last and is_unconnected(last) else ", the TLS and SASL settings"
        return errors.KafkaError(
            f"Kafka at {self.clients.settings.bootstrap_servers} doesn't answer within {self.clients.timeout:g} s"
            f"{reason}; check --broker{login}, and that it is running"
        )


def _member_of(member: MemberDescription) -> GroupMember:
    """Return a member's name and partitions; the classic protocol begins a member ID with the client ID."""
    is_named = member.member_id.startswith(f"{member.client_id}-")
    name = member.group_instance_id or (member.member_id if is_named else f"{member.client_id}-{member.member_id}")
    owned = member.assignment.topic_partitions if member.assignment else []
    partitions = frozenset((partition.topic, partition.partition) for partition in owned)
    return GroupMember(name, member.group_instance_id or member.client_id, member.host.removeprefix("/"), partitions)


def largest_message(config: Mapping[str, str], default: int) -> int:
    """Return the `max.message.bytes` of a topic with this configuration, or `default` if it is unknown."""
    return int(config.get("max.message.bytes", default))


def answered(listed: "ListOffsetsResultInfo") -> "ListOffsetsResultInfo":
    """Return the listed offset; raise if the leader did not answer, which the client reports as success."""
    if listed.offset == OFFSET_INVALID:
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT))  # noqa: SLF001 - the client's public name
    return listed


def topic_id_of(description: TopicDescription) -> str:
    """Return the topic's ID as Kafka's tools print it; librdkafka uses the standard base64 alphabet."""
    return str(description.topic_id).translate(_URL_SAFE)
