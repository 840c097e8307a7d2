"""Error policy: the recovery for each error, and the user's message."""

from typing import Any

import pytest
from confluent_kafka import KafkaError

from telco_stream.errors import KafkaError as UserError
from telco_stream.kafka.error_policy import (
    Recovery,
    cannot_connect,
    is_permanent,
    is_stale_generation,
    recovery_for,
    user_error,
)

TABLE: list[tuple[str, dict[str, bool], Recovery, Recovery]] = [
    # Error, its flags, recovery with a fixed id, recovery with a unique id.
    ("ILLEGAL_GENERATION", {"txn_requires_abort": True}, Recovery.ABORT, Recovery.ABORT),
    ("UNKNOWN_MEMBER_ID", {"txn_requires_abort": True}, Recovery.ABORT, Recovery.ABORT),
    ("FENCED_INSTANCE_ID", {"txn_requires_abort": True}, Recovery.ABORT, Recovery.ABORT),
    ("STALE_MEMBER_EPOCH", {"txn_requires_abort": True}, Recovery.ABORT, Recovery.ABORT),
    ("_INCONSISTENT", {"txn_requires_abort": True}, Recovery.ABORT, Recovery.ABORT),
    ("_TIMED_OUT", {"txn_requires_abort": True}, Recovery.ABORT, Recovery.ABORT),
    ("_STATE", {}, Recovery.ABORT, Recovery.ABORT),
    ("_FATAL", {}, Recovery.ABORT, Recovery.ABORT),
    ("TOPIC_AUTHORIZATION_FAILED", {"txn_requires_abort": True}, Recovery.GIVE_UP, Recovery.GIVE_UP),
    ("GROUP_AUTHORIZATION_FAILED", {"txn_requires_abort": True}, Recovery.GIVE_UP, Recovery.GIVE_UP),
    ("TRANSACTIONAL_ID_AUTHORIZATION_FAILED", {"fatal": True}, Recovery.GIVE_UP, Recovery.GIVE_UP),
    ("CLUSTER_AUTHORIZATION_FAILED", {"fatal": True}, Recovery.GIVE_UP, Recovery.GIVE_UP),
    ("UNKNOWN_TOPIC_OR_PART", {"txn_requires_abort": True}, Recovery.GIVE_UP, Recovery.GIVE_UP),
    ("MSG_SIZE_TOO_LARGE", {}, Recovery.GIVE_UP, Recovery.GIVE_UP),
    ("INVALID_TIMESTAMP", {"txn_requires_abort": True}, Recovery.GIVE_UP, Recovery.GIVE_UP),
    ("KAFKA_STORAGE_ERROR", {}, Recovery.GIVE_UP, Recovery.GIVE_UP),
    ("_BAD_MSG", {}, Recovery.GIVE_UP, Recovery.GIVE_UP),
    ("_FENCED", {"fatal": True}, Recovery.FENCED, Recovery.RENEW),
    ("INVALID_PRODUCER_EPOCH", {"fatal": True}, Recovery.FENCED, Recovery.RENEW),
    ("PRODUCER_FENCED", {"txn_requires_abort": True}, Recovery.FENCED, Recovery.RENEW),
    ("OUT_OF_ORDER_SEQUENCE_NUMBER", {"fatal": True}, Recovery.RENEW, Recovery.RENEW),
    ("INVALID_TXN_STATE", {"fatal": True}, Recovery.RENEW, Recovery.RENEW),
    ("UNKNOWN_PRODUCER_ID", {"fatal": True}, Recovery.RENEW, Recovery.RENEW),
    ("_TIMED_OUT", {}, Recovery.RENEW, Recovery.RENEW),
    ("_TIMED_OUT", {"retriable": True}, Recovery.RENEW, Recovery.RENEW),
    ("UNKNOWN", {}, Recovery.RENEW, Recovery.RENEW),
]


def error(name: str, **flags: Any) -> KafkaError:
    return KafkaError(getattr(KafkaError, name), "the broker's words", **flags)


@pytest.mark.parametrize(("name", "flags", "fixed", "own"), TABLE)
def test_recovery_for_returns_the_recovery_of_each_error(
    name: str, flags: dict[str, bool], fixed: Recovery, own: Recovery
) -> None:
    """A process with a unique id is never fenced by another process, so it continues."""
    assert recovery_for(error(name, **flags), has_unique_id=False) is fixed
    assert recovery_for(error(name, **flags), has_unique_id=True) is own


@pytest.mark.parametrize(
    "name", ["ILLEGAL_GENERATION", "UNKNOWN_MEMBER_ID", "REBALANCE_IN_PROGRESS", "_ASSIGNMENT_LOST"]
)
def test_is_stale_generation_is_true_after_a_rebalance(name: str) -> None:
    assert is_stale_generation(error(name))
    assert not is_permanent(error(name))


@pytest.mark.parametrize("name", ["_WAIT_COORD", "_TRANSPORT", "_TIMED_OUT", "NOT_COORDINATOR", "LEADER_NOT_AVAILABLE"])
def test_is_permanent_is_false_when_the_error_passes(name: str) -> None:
    assert not is_permanent(error(name))
    assert not is_stale_generation(error(name))
    assert not cannot_connect(error(name))


def test_cannot_connect_is_true_when_the_broker_refuses() -> None:
    assert cannot_connect(error("_AUTHENTICATION"))
    assert cannot_connect(error("_SSL"))
    assert not is_permanent(error("_AUTHENTICATION")), "a run retries until the timeout"
    assert not cannot_connect(None)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("UNKNOWN_TOPIC_OR_PART", "topics init"),
        ("_UNKNOWN_TOPIC", "topics init"),
        ("TOPIC_AUTHORIZATION_FAILED", "docs/security.md"),
        ("MSG_SIZE_TOO_LARGE", "max.message.bytes"),
        ("KAFKA_STORAGE_ERROR", ""),
    ],
)
def test_user_error_is_one_line_with_reason_and_hint(name: str, hint: str) -> None:
    failure = user_error(error(name), "The batch was not committed")
    assert isinstance(failure, UserError)
    assert failure.exit_code == 3
    assert str(failure).startswith("The batch was not committed: the broker's words")
    assert hint in str(failure)
    assert "\n" not in str(failure)
