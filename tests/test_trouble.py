"""The table of errors: what each asks for, and what a user reads of it."""

from typing import Any

import pytest
from confluent_kafka import KafkaError

from telco_stream.errors import KafkaError as Complaint
from telco_stream.kafka.trouble import (
    Answer,
    answer_to,
    complaint,
    has_moved_on,
    is_hopeless,
    is_no_use_waiting,
)

TABLE: list[tuple[str, dict[str, bool], Answer, Answer]] = [
    # An error, what the client says of it, the answer with a fixed id and with one of our own.
    ("ILLEGAL_GENERATION", {"txn_requires_abort": True}, Answer.ABORT, Answer.ABORT),
    ("UNKNOWN_MEMBER_ID", {"txn_requires_abort": True}, Answer.ABORT, Answer.ABORT),
    ("FENCED_INSTANCE_ID", {"txn_requires_abort": True}, Answer.ABORT, Answer.ABORT),
    ("STALE_MEMBER_EPOCH", {"txn_requires_abort": True}, Answer.ABORT, Answer.ABORT),
    ("_INCONSISTENT", {"txn_requires_abort": True}, Answer.ABORT, Answer.ABORT),
    ("_TIMED_OUT", {"txn_requires_abort": True}, Answer.ABORT, Answer.ABORT),
    ("_STATE", {}, Answer.ABORT, Answer.ABORT),
    ("_FATAL", {}, Answer.ABORT, Answer.ABORT),
    ("TOPIC_AUTHORIZATION_FAILED", {"txn_requires_abort": True}, Answer.GIVE_UP, Answer.GIVE_UP),
    ("GROUP_AUTHORIZATION_FAILED", {"txn_requires_abort": True}, Answer.GIVE_UP, Answer.GIVE_UP),
    ("TRANSACTIONAL_ID_AUTHORIZATION_FAILED", {"fatal": True}, Answer.GIVE_UP, Answer.GIVE_UP),
    ("CLUSTER_AUTHORIZATION_FAILED", {"fatal": True}, Answer.GIVE_UP, Answer.GIVE_UP),
    ("UNKNOWN_TOPIC_OR_PART", {"txn_requires_abort": True}, Answer.GIVE_UP, Answer.GIVE_UP),
    ("MSG_SIZE_TOO_LARGE", {}, Answer.GIVE_UP, Answer.GIVE_UP),
    ("INVALID_TIMESTAMP", {"txn_requires_abort": True}, Answer.GIVE_UP, Answer.GIVE_UP),
    ("KAFKA_STORAGE_ERROR", {}, Answer.GIVE_UP, Answer.GIVE_UP),
    ("_BAD_MSG", {}, Answer.GIVE_UP, Answer.GIVE_UP),
    ("_FENCED", {"fatal": True}, Answer.FENCED, Answer.RENEW),
    ("INVALID_PRODUCER_EPOCH", {"fatal": True}, Answer.FENCED, Answer.RENEW),
    ("PRODUCER_FENCED", {"txn_requires_abort": True}, Answer.FENCED, Answer.RENEW),
    ("OUT_OF_ORDER_SEQUENCE_NUMBER", {"fatal": True}, Answer.RENEW, Answer.RENEW),
    ("INVALID_TXN_STATE", {"fatal": True}, Answer.RENEW, Answer.RENEW),
    ("UNKNOWN_PRODUCER_ID", {"fatal": True}, Answer.RENEW, Answer.RENEW),
    ("_TIMED_OUT", {}, Answer.RENEW, Answer.RENEW),
    ("_TIMED_OUT", {"retriable": True}, Answer.RENEW, Answer.RENEW),
    ("UNKNOWN", {}, Answer.RENEW, Answer.RENEW),
]


def error(name: str, **said: Any) -> KafkaError:
    return KafkaError(getattr(KafkaError, name), "the broker's words", **said)


@pytest.mark.parametrize(("name", "said", "fixed", "own"), TABLE)
def test_each_error_of_the_table_has_its_answer(name: str, said: dict[str, bool], fixed: Answer, own: Answer) -> None:
    """A process with an id of its own is never fenced by another, so it goes on."""
    assert answer_to(error(name, **said), own_id=False) is fixed
    assert answer_to(error(name, **said), own_id=True) is own


@pytest.mark.parametrize(
    "name", ["ILLEGAL_GENERATION", "UNKNOWN_MEMBER_ID", "REBALANCE_IN_PROGRESS", "_ASSIGNMENT_LOST"]
)
def test_a_commit_after_a_rebalance_is_nobodys_fault(name: str) -> None:
    assert has_moved_on(error(name))
    assert not is_hopeless(error(name))


@pytest.mark.parametrize("name", ["_WAIT_COORD", "_TRANSPORT", "_TIMED_OUT", "NOT_COORDINATOR", "LEADER_NOT_AVAILABLE"])
def test_what_passes_is_waited_for(name: str) -> None:
    assert not is_hopeless(error(name))
    assert not has_moved_on(error(name))
    assert not is_no_use_waiting(error(name))


def test_a_connection_that_is_refused_for_good_is_not_waited_for() -> None:
    assert is_no_use_waiting(error("_AUTHENTICATION"))
    assert is_no_use_waiting(error("_SSL"))
    assert not is_hopeless(error("_AUTHENTICATION")), "a run waits for the timeout: a new password may be on its way"
    assert not is_no_use_waiting(None)


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
def test_a_complaint_is_one_line_with_the_brokers_words_and_what_to_do(name: str, hint: str) -> None:
    words = complaint(error(name), "The batch was not committed")
    assert isinstance(words, Complaint)
    assert words.exit_code == 3
    assert str(words).startswith("The batch was not committed: the broker's words")
    assert hint in str(words)
    assert "\n" not in str(words)
