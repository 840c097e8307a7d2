"""Error policy: how to recover from each error of the client, and the messages that users see."""

import re
from collections.abc import Mapping
from enum import Enum, auto

from confluent_kafka import KafkaError, KafkaException, Message, Producer
from confluent_kafka.admin import AdminClient, ClusterMetadata  # type: ignore[attr-defined]

from telco_stream import errors
from telco_stream.kafka.blocking_calls import MAX_CALL_SECONDS
from telco_stream.runtime.docs import docs_link

#: The client's `PROTOCOL://HOST:PORT/ID: …`; a bootstrap server has `bootstrap` instead of an ID.
_BROKER_ERROR = re.compile(r"(?:\w+://)?\[?(?P<host>[^/\]\s]+?)\]?:(?P<port>\d+)/\d+: ")


class Recovery(Enum):
    """Recovery from a transaction that did not commit."""

    ABORT = auto()  # abort, rewind to the committed offsets, continue
    GIVE_UP = auto()  # abort, exit 3
    FENCED = auto()  # exit 6
    RENEW = auto()  # unclear outcome: fence the producer with a new one, rewind, continue


#: Errors that a retry cannot fix: the broker refuses the request, or a topic or feature is missing. A failed login is
#: not among them: a run retries it until the timeout, see `outage.py`.
_PERMANENT = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001 - the client's public name
        KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001
        KafkaError.TOPIC_EXCEPTION,
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.RECORD_LIST_TOO_LARGE,
        KafkaError.INVALID_RECORD,
        KafkaError.INVALID_TIMESTAMP,
        KafkaError.POLICY_VIOLATION,
        KafkaError.KAFKA_STORAGE_ERROR,
        KafkaError.UNSUPPORTED_VERSION,
        KafkaError._UNSUPPORTED_FEATURE,  # noqa: SLF001
        KafkaError.INVALID_TRANSACTION_TIMEOUT,
        KafkaError.INVALID_REQUIRED_ACKS,
        KafkaError.OFFSET_METADATA_TOO_LARGE,
        KafkaError._BAD_MSG,  # noqa: SLF001 - the client cannot encode the name of the group or member
    }
)
_FENCED = frozenset({KafkaError._FENCED, KafkaError.INVALID_PRODUCER_EPOCH, KafkaError.PRODUCER_FENCED})  # noqa: SLF001
#: The broker does not know the topic or partition; after its creation not all brokers know it at once.
_MISSING_TOPIC = frozenset(
    {
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.UNKNOWN_TOPIC_ID,
        KafkaError.INCONSISTENT_TOPIC_ID,
        KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001
        KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001
    }
)
#: Errors raised by `produce()` inside a transaction that has already failed; the abort reports the cause.
_REPORTED_BY_ABORT = frozenset({KafkaError._STATE, KafkaError._FATAL})  # noqa: SLF001
#: The broker rejects the login; the client keeps trying, but waiting for it is pointless.
AUTHENTICATION_FAILED = frozenset({KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED})  # noqa: SLF001
#: Text of a rejected certificate: a connection's first TLS failure has a general code and this text.
CERTIFICATE_REJECTED = "certificate verify failed"
#: A commit with a stale generation: the partitions have another owner, or will be read again.
_STALE_GENERATION = frozenset(
    {
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.REBALANCE_IN_PROGRESS,
        KafkaError.FENCED_INSTANCE_ID,
        KafkaError.STALE_MEMBER_EPOCH,
        KafkaError.FENCED_MEMBER_EPOCH,
        KafkaError._ASSIGNMENT_LOST,  # noqa: SLF001
    }
)
#: A record batch that the client cannot decode. It skips some of these batches, so that a retry could lose records.
_UNREADABLE = frozenset(
    {
        KafkaError._BAD_COMPRESSION,  # noqa: SLF001
        KafkaError._BAD_MSG,  # noqa: SLF001
        KafkaError._NOT_IMPLEMENTED,  # noqa: SLF001
        KafkaError.MSG_SIZE_TOO_LARGE,
    }
)
#: A group refuses a member, but may accept it once another member has left.
_GROUP_REFUSALS = frozenset({KafkaError.INCONSISTENT_GROUP_PROTOCOL, KafkaError.GROUP_MAX_SIZE_REACHED})
#: A group refuses a member because of the member's own settings.
_BAD_MEMBERS = frozenset(
    {KafkaError.INVALID_SESSION_TIMEOUT, KafkaError.INVALID_GROUP_ID, KafkaError.UNSUPPORTED_ASSIGNOR}
)
_CREATE_TOPICS = "; create the topics with `telco-stream topics init`"
_GRANT_RIGHTS = "; {security} lists the rights each command needs"
#: Hints after the broker's message, by error code.
_HINTS = {
    KafkaError.UNKNOWN_TOPIC_OR_PART: _CREATE_TOPICS,
    KafkaError._UNKNOWN_TOPIC: _CREATE_TOPICS,  # noqa: SLF001
    KafkaError._UNKNOWN_PARTITION: _CREATE_TOPICS,  # noqa: SLF001
    KafkaError.TOPIC_AUTHORIZATION_FAILED: _GRANT_RIGHTS,
    KafkaError.GROUP_AUTHORIZATION_FAILED: _GRANT_RIGHTS,
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: _GRANT_RIGHTS,
    KafkaError.MSG_SIZE_TOO_LARGE: "; raise the topic's max.message.bytes",
    KafkaError.KAFKA_STORAGE_ERROR: "; a disk of that broker is full, or broken: its log says which",
    KafkaError.INVALID_TIMESTAMP: "; set this machine's clock, or the broker's: they are too far apart",
    # A batch of several records gets this instead of INVALID_TIMESTAMP; so does a compacted topic without a key.
    KafkaError.INVALID_RECORD: "; are the clocks here and at the broker right, and is the topic not compacted?",
}


def recovery_for(error: KafkaError, *, has_unique_id: bool) -> Recovery:
    """Return how to recover from a transaction's error.

    `has_unique_id` is true if only this process uses the transactional id. No other producer can have fenced it then: a
    fencing error means that the transaction has timed out.
    """
    if error.code() in _PERMANENT:
        return Recovery.GIVE_UP
    if error.code() in _FENCED:
        return Recovery.RENEW if has_unique_id else Recovery.FENCED
    if error.txn_requires_abort() or error.code() in _REPORTED_BY_ABORT:
        return Recovery.ABORT
    return Recovery.RENEW


def is_permanent(error: KafkaError) -> bool:
    """Return whether a retry cannot fix the error."""
    return error.code() in _PERMANENT


def is_missing_topic(error: KafkaError) -> bool:
    """Return whether the broker or the client doesn't know the topic or the partition."""
    return error.code() in _MISSING_TOPIC


def is_stale_generation(error: KafkaError) -> bool:
    """Return whether the group has reassigned this member's partitions."""
    return error.code() in _STALE_GENERATION


def is_fatal(error: KafkaError) -> bool:
    """Return whether the client that reports the error is unusable from now on."""
    return error.fatal() or error.code() == KafkaError._FATAL  # noqa: SLF001


def is_group_refusal(error: KafkaError) -> bool:
    """Return whether the group refuses the member because of its other members, which may change."""
    return error.code() in _GROUP_REFUSALS


def consumer_failure(message: Message) -> errors.TelcoStreamError | None:
    """Return the error that ends a run because of a consumer's error message, or None if the client can recover.

    A message with a topic is about one partition; a message without a topic is about the client or its group.
    """
    error = message.error()
    if error is None:
        return None
    if message.topic() is None:
        return member_failure(error)
    if error.code() in _UNREADABLE:
        return unreadable(error, f"Topic {message.topic()}, partition {message.partition()}, offset {message.offset()}")
    return user_error(error, f"Topic {message.topic()}") if is_fatal(error) or is_permanent(error) else None


def is_too_large(error: KafkaError) -> bool:
    """Return whether a response exceeds the client's limit: it disconnects and requests the same data again."""
    return error.code() == KafkaError._BAD_MSG and "receive.message.max.bytes" in error.str()  # noqa: SLF001


def unreadable(error: KafkaError, position: str) -> errors.KafkaError:
    """Return the error for a record batch that the client cannot decode, or that is too large for it."""
    return errors.KafkaError(
        f"{position}: the record batch cannot be read: {error.str()}; if it is too large, raise"
        " TELCO_STREAM_KAFKA__RECEIVE__MESSAGE__MAX__BYTES, otherwise skip it:"
        f" {docs_link('operations.md#skip-an-unreadable-batch')} says how"
    )


def response_too_large(error: KafkaError, topic: str, unread: Mapping[int, int]) -> errors.KafkaError:
    """Return the error for a response above the client's limit; it begins at one of the `unread` offsets."""
    offsets = ", ".join(f"{partition}:{offset}" for partition, offset in sorted(unread.items()))
    return unreadable(error, f"Topic {topic}, at one of these offsets: {offsets}")


def member_failure(error: KafkaError) -> errors.TelcoStreamError | None:
    """Return the error that ends a member of a consumer group, or None if the client keeps trying."""
    code = _cause_of_fatal(error)
    if code == KafkaError.FENCED_INSTANCE_ID:
        return errors.FencedError(
            "Another process with the same TELCO_STREAM_KAFKA__GROUP__INSTANCE__ID has taken over; give each its own"
        )
    if is_fatal(error) or code in _BAD_MEMBERS or code in _PERMANENT:
        return group_error(error)
    return None


def group_error(error: KafkaError) -> errors.KafkaError:
    """Return the error for a consumer group that does not accept this member."""
    hint = _with_link(_GROUP_HINTS.get(_cause_of_fatal(error), ""))
    return errors.KafkaError(f"The consumer group does not accept this member: {error.str()}{hint}")


_GROUP_HINTS = {
    KafkaError.INCONSISTENT_GROUP_PROTOCOL: (
        "; its other members use another TELCO_STREAM_KAFKA__PARTITION__ASSIGNMENT__STRATEGY or"
        " TELCO_STREAM_KAFKA__GROUP__PROTOCOL: set the same here, or use another --group"
    ),
    KafkaError.GROUP_MAX_SIZE_REACHED: (
        "; stop another member, or raise the broker's group.max.size (group.consumer.max.size)"
    ),
    KafkaError.INVALID_SESSION_TIMEOUT: (
        "; TELCO_STREAM_KAFKA__SESSION__TIMEOUT__MS has to be between the broker's group.min.session.timeout.ms and"
        " group.max.session.timeout.ms"
    ),
    KafkaError.INVALID_GROUP_ID: "; use another --group",
    KafkaError.UNSUPPORTED_ASSIGNOR: (
        "; TELCO_STREAM_KAFKA__GROUP__REMOTE__ASSIGNOR has to be one of the broker's group.consumer.assignors"
    ),
    KafkaError.UNRELEASED_INSTANCE_ID: (
        "; give each process its own TELCO_STREAM_KAFKA__GROUP__INSTANCE__ID; a killed process keeps it until its"
        " session times out"
    ),
    KafkaError.GROUP_AUTHORIZATION_FAILED: _GRANT_RIGHTS,
}


def _with_link(hint: str) -> str:
    return hint.replace("{security}", docs_link("security.md")) if "{" in hint else hint


def _cause_of_fatal(error: KafkaError) -> int:
    """Return the code behind a fatal error; a consumer's error message names it only in its text."""
    if error.code() != KafkaError._FATAL:  # noqa: SLF001
        return error.code()
    codes = (KafkaError.FENCED_INSTANCE_ID, *_GROUP_HINTS)
    return next((code for code in codes if KafkaError(code).str() in error.str()), error.code())


def topic_error(client: Producer | AdminClient, topic: str) -> KafkaError | None:
    """Return the topic's error in the cluster metadata, or `failed_disk`; None without an answer."""
    try:
        metadata = client.list_topics(topic, timeout=MAX_CALL_SECONDS)
    except KafkaException:
        return None
    return metadata.topics[topic].error or failed_disk(metadata, topic)


def failed_disk(metadata: ClusterMetadata, topic: str) -> KafkaError | None:
    """Return an error for a partition without a leader although its brokers are up: a failed disk is the cause.

    The client never reports a full disk for a record: it retries until the record times out.
    """
    for number, partition in metadata.topics[topic].partitions.items():
        if partition.leader < 0 and partition.replicas and set(partition.replicas) <= metadata.brokers.keys():
            text = f"Leader not available: partition {number} of {topic}, though its broker is there"
            return KafkaError(KafkaError.KAFKA_STORAGE_ERROR, text)
    return None


def cannot_connect(error: KafkaError | None) -> bool:
    """Return whether the broker rejects connections, so that waiting is pointless."""
    if error is None:
        return False
    is_refused = error.code() in AUTHENTICATION_FAILED or error.code() == KafkaError._SSL  # noqa: SLF001 - public name
    return is_refused or CERTIFICATE_REJECTED in error.str()


def user_error(error: KafkaError, doing: str) -> errors.KafkaError:
    """Return the user's error: `doing`, the broker's message and a hint."""
    return errors.KafkaError(f"{doing}: {error.str()}{_with_link(_HINTS.get(error.code(), ''))}")


def advertised_address(error_text: str) -> tuple[str, int] | None:
    """Return the advertised address that a client's error names; None if it names none, or a bootstrap server."""
    match = _BROKER_ERROR.match(error_text)
    return (match["host"], int(match["port"])) if match else None
