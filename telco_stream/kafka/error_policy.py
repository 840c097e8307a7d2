"""What the client's errors ask for, and how they are put into words for a user."""

from enum import Enum, auto

from confluent_kafka import KafkaError, Message
from confluent_kafka.admin import ClusterMetadata  # type: ignore[attr-defined]

from telco_stream import errors


class Recovery(Enum):
    """What to do after a transaction that did not commit."""

    ABORT = auto()  # abort, rewind to the committed offsets, go on
    GIVE_UP = auto()  # abort, exit 3
    FENCED = auto()  # exit 6
    RENEW = auto()  # how it ended is unclear: a new producer fences the old; rewind, go on


#: No repetition mends these: the broker refuses, or what is needed isn't there. A failed login is not among them: a
#: run waits for the timeout, as `outage.py` has it.
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
        KafkaError._BAD_MSG,  # noqa: SLF001 - of a group or member whose name the client can't write
    }
)
_FENCED = frozenset({KafkaError._FENCED, KafkaError.INVALID_PRODUCER_EPOCH, KafkaError.PRODUCER_FENCED})  # noqa: SLF001
#: The broker has no such topic or partition; one that was just created may not be known everywhere yet.
_MISSING_TOPIC = frozenset(
    {
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.UNKNOWN_TOPIC_ID,
        KafkaError.INCONSISTENT_TOPIC_ID,
        KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001
        KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001
    }
)
#: What a record meets that is sent in a transaction which has failed already: the abort says of what.
_REPORTED_BY_ABORT = frozenset({KafkaError._STATE, KafkaError._FATAL})  # noqa: SLF001
#: A broker that is there and lets nobody in; the client will go on trying, but there is no point in waiting for it.
AUTHENTICATION_FAILED = frozenset({KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED})  # noqa: SLF001
#: As above; the first such failure of a connection comes under the code of any other, with these words in it.
CERTIFICATE_REJECTED = "certificate verify failed"
#: A commit by a member that the group has moved on from: its records have another owner, or will be read again.
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


def recovery_for(error: KafkaError, *, has_unique_id: bool) -> Recovery:
    """The table of errors: what a transaction's error asks for.

    `own_id` is true where the transactional id belongs to this process alone: nobody can have taken it over, so that
    being fenced is only the broker's word for a transaction that has timed out.
    """
    if error.code() in _PERMANENT:
        return Recovery.GIVE_UP
    if error.code() in _FENCED:
        return Recovery.RENEW if has_unique_id else Recovery.FENCED
    if error.txn_requires_abort() or error.code() in _REPORTED_BY_ABORT:
        return Recovery.ABORT
    return Recovery.RENEW


def is_permanent(error: KafkaError) -> bool:
    """Whether no repetition mends it."""
    return error.code() in _PERMANENT


def is_missing_topic(error: KafkaError) -> bool:
    """Return whether the broker or the client doesn't find the topic or the partition."""
    return error.code() in _MISSING_TOPIC


def is_stale_generation(error: KafkaError) -> bool:
    """Whether the group has given this member's partitions to another."""
    return error.code() in _STALE_GENERATION


def is_fatal(error: KafkaError) -> bool:
    """Whether the client that reports the error cannot be used any more."""
    return error.fatal() or error.code() == KafkaError._FATAL  # noqa: SLF001


def is_group_refusal(error: KafkaError) -> bool:
    """Whether the group refuses the member for as long as its other members stay as they are."""
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
    """Whether a broker's response exceeds what the client accepts: it disconnects, and asks for the same again."""
    return error.code() == KafkaError._BAD_MSG and "receive.message.max.bytes" in error.str()  # noqa: SLF001


def unreadable(error: KafkaError, position: str) -> errors.KafkaError:
    """Return the error for a record batch that the client cannot decode, or that is too large for it."""
    return errors.KafkaError(
        f"{position}: the record batch cannot be read: {error.str()}; if it is too large, raise"
        " TELCO_STREAM_KAFKA__RECEIVE__MESSAGE__MAX__BYTES, otherwise skip it: docs/operations.md says how"
    )


def member_failure(error: KafkaError) -> errors.TelcoStreamError | None:
    """Return the error that ends a member of a consumer group, or None if the client goes on trying."""
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
    hint = _GROUP_HINTS.get(_cause_of_fatal(error), "")
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
        "; give each process its own TELCO_STREAM_KAFKA__GROUP__INSTANCE__ID; one that was killed keeps it until its"
        " session has run out"
    ),
    KafkaError.GROUP_AUTHORIZATION_FAILED: "; docs/security.md lists the rights each command needs",
}


def _cause_of_fatal(error: KafkaError) -> int:
    """Return the code behind a fatal error, which a consumer message gives only in words."""
    if error.code() != KafkaError._FATAL:  # noqa: SLF001
        return error.code()
    known = (KafkaError.FENCED_INSTANCE_ID, *_GROUP_HINTS)
    return next((code for code in known if KafkaError(code).str() in error.str()), error.code())


def failed_disk(found: ClusterMetadata, topic: str) -> KafkaError | None:
    """What is wrong with a partition that has no leader though each of its brokers is there: its disk is the reason.

    The client says of no record that a disk was full: it tries again by itself, until the record's time is over.
    """
    for number, one in found.topics[topic].partitions.items():
        if one.leader < 0 and one.replicas and set(one.replicas) <= found.brokers.keys():
            words = f"Leader not available: partition {number} of {topic}, though its broker is there"
            return KafkaError(KafkaError.KAFKA_STORAGE_ERROR, words)
    return None


def cannot_connect(error: KafkaError | None) -> bool:
    """Whether a connection will not come about however long one waits."""
    if error is None:
        return False
    is_refused = error.code() in AUTHENTICATION_FAILED or error.code() == KafkaError._SSL  # noqa: SLF001 - public name
    return is_refused or CERTIFICATE_REJECTED in error.str()


def user_error(error: KafkaError, doing: str) -> errors.KafkaError:
    """The error that a user sees, with the broker's own words."""
    hints = {
        KafkaError.UNKNOWN_TOPIC_OR_PART: "; create the topics with `telco-stream topics init`",
        KafkaError._UNKNOWN_TOPIC: "; create the topics with `telco-stream topics init`",  # noqa: SLF001
        KafkaError._UNKNOWN_PARTITION: "; create the topics with `telco-stream topics init`",  # noqa: SLF001
        KafkaError.TOPIC_AUTHORIZATION_FAILED: "; docs/security.md lists the rights each command needs",
        KafkaError.GROUP_AUTHORIZATION_FAILED: "; docs/security.md lists the rights each command needs",
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: "; docs/security.md lists the rights each command needs",
        KafkaError.MSG_SIZE_TOO_LARGE: "; raise the topic's max.message.bytes",
        KafkaError.KAFKA_STORAGE_ERROR: "; a disk of that broker is full, or broken: its log says which",
        KafkaError.INVALID_TIMESTAMP: "; set this machine's clock, or the broker's: they are too far apart",
        # What a batch of several meets instead, and what a compacted topic says of a record without a key.
        KafkaError.INVALID_RECORD: "; are the clocks here and at the broker right, and is the topic not compacted?",
    }
    return errors.KafkaError(f"{doing}: {error.str()}{hints.get(error.code(), '')}")
