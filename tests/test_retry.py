"""Retries until success, a permanent error, a deadline or a stop request."""

import math
from collections.abc import Callable

import pytest
from confluent_kafka import KafkaError, KafkaException

from telco_stream.kafka.blocking_calls import Deadline, retry
from telco_stream.runtime.signals import Stop, Stopped
from tests.support.fakes import kafka_exception


def failing(*names: str) -> Callable[[], int]:
    """Return a call that raises these errors in turn, and then returns 7."""
    script = [kafka_exception(name) for name in names]

    def call() -> int:
        if script:
            raise script.pop(0)
        return 7

    return call


def is_unknown(error: KafkaError) -> bool:
    return error.code() == KafkaError.UNKNOWN


@pytest.fixture
def stopped() -> Stop:
    stop = Stop()
    stop.request()
    return stop


def test_retry_returns_the_result_when_errors_pass() -> None:
    assert retry(failing("_TIMED_OUT", "_TRANSPORT"), Deadline(), Stop(), is_unknown, pause=0.001) == 7


def test_retry_raises_the_error_when_it_is_permanent(stopped: Stop) -> None:
    with pytest.raises(KafkaException) as raised:
        retry(failing("UNKNOWN"), Deadline(), stopped, is_unknown)
    assert raised.value.args[0].code() == KafkaError.UNKNOWN


def test_retry_raises_the_error_when_the_deadline_has_passed() -> None:
    with pytest.raises(KafkaException) as raised:
        retry(failing("_TIMED_OUT"), Deadline(-1), Stop(), is_unknown)
    assert raised.value.args[0].code() == KafkaError._TIMED_OUT


@pytest.mark.parametrize("pause", [0, 60])
def test_retry_raises_stopped_when_stopped(stopped: Stop, pause: float) -> None:
    with pytest.raises(Stopped):
        retry(failing("_TIMED_OUT"), Deadline(), stopped, is_unknown, pause=pause)


def test_retry_continues_when_the_grace_period_is_not_over(stopped: Stop) -> None:
    assert retry(failing("_TIMED_OUT"), Deadline(), stopped, is_unknown, grace=60) == 7


def test_deadline_never_passes_without_a_number() -> None:
    assert Deadline().remaining == math.inf
    assert not Deadline().has_passed


def test_deadline_has_no_time_remaining_when_it_has_passed() -> None:
    assert Deadline(-1).remaining == 0
    assert Deadline(-1).has_passed
