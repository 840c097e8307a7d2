"""Error messages of a consumer: the log, the end of the run and its exit code."""

import logging
from collections import Counter
from typing import Any

import pytest
from confluent_kafka import KafkaError

from telco_stream.errors import TelcoStreamError
from telco_stream.kafka.polling import ConsumerErrors
from tests.support.fake_messages import ScriptedMessage


def message(name: str, topic: str | None = None, partition: int = 0, text: str | None = None) -> Any:
    return ScriptedMessage(7, partition, getattr(KafkaError, name), topic=topic, description=text)


def fatal(name: str) -> Any:
    """Return a fatal error as the client reports it: always the same code, with the cause in the text."""
    cause = KafkaError(getattr(KafkaError, name)).str()
    return message("_FATAL", text=f"Fatal error: {cause}: ConsumerGroupHeartbeat fatal error: {cause}")


def failure_of(consumer_errors: ConsumerErrors) -> TelcoStreamError:
    with pytest.raises(TelcoStreamError) as raised:
        consumer_errors.raise_failure()
    return raised.value


@pytest.fixture
def clock() -> list[float]:
    return [0.0]


def errors_at(clock: list[float], join_timeout: float = 10) -> ConsumerErrors:
    return ConsumerErrors(join_timeout, clock=lambda: clock[0])


@pytest.mark.parametrize(
    ("reported", "exit_code", "part"),
    [
        (message("_BAD_COMPRESSION", "raw", 1), 3, "Topic raw, partition 1, offset 7"),
        (message("_BAD_MSG", "raw", 1), 3, "Topic raw, partition 1, offset 7"),
        (message("_NOT_IMPLEMENTED", "raw", 1), 3, "Topic raw, partition 1, offset 7"),
        (message("MSG_SIZE_TOO_LARGE", "raw"), 3, "TELCO_STREAM_KAFKA__RECEIVE__MESSAGE__MAX__BYTES"),
        (message("TOPIC_AUTHORIZATION_FAILED", "raw"), 3, "docs/security.md"),
        (message("UNKNOWN_TOPIC_OR_PART", "raw"), 3, "topics init"),
        (message("GROUP_AUTHORIZATION_FAILED"), 3, "docs/security.md"),
        (message("INVALID_SESSION_TIMEOUT"), 3, "TELCO_STREAM_KAFKA__SESSION__TIMEOUT__MS"),
        (message("UNSUPPORTED_VERSION"), 3, "consumer group"),
        (fatal("UNSUPPORTED_ASSIGNOR"), 3, "TELCO_STREAM_KAFKA__GROUP__REMOTE__ASSIGNOR"),
        (fatal("GROUP_MAX_SIZE_REACHED"), 3, "group.consumer.max.size"),
        (fatal("INVALID_REQUEST"), 3, "consumer group"),
        (fatal("FENCED_INSTANCE_ID"), 6, "TELCO_STREAM_KAFKA__GROUP__INSTANCE__ID"),
        (fatal("UNRELEASED_INSTANCE_ID"), 3, "TELCO_STREAM_KAFKA__GROUP__INSTANCE__ID"),
    ],
)
def test_error_ends_the_run_when_no_retry_helps(reported: Any, exit_code: int, part: str) -> None:
    consumer_errors = ConsumerErrors()
    assert not consumer_errors.add(reported)
    failure = failure_of(consumer_errors)
    assert failure.exit_code == exit_code
    assert part in str(failure)


@pytest.mark.parametrize("name", ["INCONSISTENT_GROUP_PROTOCOL", "GROUP_MAX_SIZE_REACHED"])
def test_refusal_ends_the_run_when_the_join_timeout_is_over(clock: list[float], name: str) -> None:
    consumer_errors = errors_at(clock)
    for clock[0] in (0, 5, 9.9):
        consumer_errors.add(message(name))
        consumer_errors.raise_failure()
    clock[0] = 10
    assert failure_of(consumer_errors).exit_code == 3


def test_refusal_is_forgotten_when_the_member_joins(clock: list[float]) -> None:
    consumer_errors = errors_at(clock)
    consumer_errors.add(message("GROUP_MAX_SIZE_REACHED"))
    consumer_errors.on_joined()
    clock[0] = 99
    consumer_errors.raise_failure()
    assert not consumer_errors.pending
    consumer_errors.add(message("GROUP_MAX_SIZE_REACHED"))
    consumer_errors.raise_failure()


def test_refusal_ends_no_run_when_it_has_no_bound() -> None:
    consumer_errors = ConsumerErrors(clock=iter([0.0, 0.0, 1e9]).__next__)
    consumer_errors.add(message("GROUP_MAX_SIZE_REACHED"))
    consumer_errors.raise_failure()


def test_error_is_logged_once_a_minute_for_each_partition(clock: list[float], caplog: pytest.LogCaptureFixture) -> None:
    consumer_errors = errors_at(clock)
    for clock[0] in (0, 1, 59):
        for partition in (0, 1):
            assert consumer_errors.add(message("NOT_COORDINATOR", "raw", partition)), "it is assigned again"
        assert not consumer_errors.add(message("_MAX_POLL_EXCEEDED")), "no partition is meant"
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 3
    clock[0] = 60
    consumer_errors.add(message("NOT_COORDINATOR", "raw", 0))
    assert len(caplog.records) == 4


def test_errors_are_counted_by_name() -> None:
    counts = Counter[str]()
    consumer_errors = ConsumerErrors(counts=counts)
    for name in ("GROUP_MAX_SIZE_REACHED", "GROUP_MAX_SIZE_REACHED", "INVALID_SESSION_TIMEOUT"):
        consumer_errors.add(message(name))
    assert counts == {"GROUP_MAX_SIZE_REACHED": 2, "INVALID_SESSION_TIMEOUT": 1}
