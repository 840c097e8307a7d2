"""Requests about a group on a broker that has just started: retried until the timeout."""

from collections.abc import Iterator
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any, cast

import pytest
from confluent_kafka import KafkaError, KafkaException

from telco_stream import errors
from telco_stream.kafka.cluster import Cluster
from telco_stream.settings import Settings


def cluster(timeout: float) -> Cluster:
    admin = SimpleNamespace(poll=lambda _: None)
    known = {"settings": Settings(), "advertised": (), "last_error": None, "connection_error": lambda: None}
    return Cluster(cast("Any", SimpleNamespace(admin=lambda: admin, timeout=timeout, **known)))


def answer(what: str | int) -> "Future[str]":
    future: Future[str] = Future()
    if isinstance(what, str):
        future.set_result(what)
    else:
        future.set_exception(KafkaException(KafkaError(what)))
    return future


def test_ask_group_retries_when_no_coordinator_is_ready() -> None:
    """A new broker has no coordinator for about two seconds."""
    coming = [KafkaError.NOT_COORDINATOR, KafkaError.COORDINATOR_NOT_AVAILABLE, KafkaError.COORDINATOR_LOAD_IN_PROGRESS]
    answers: Iterator[str | int] = iter([*coming, "result"])
    assert cluster(30).ask_group(lambda: answer(next(answers)).result(), "g") == "result"


@pytest.mark.parametrize("code", [KafkaError.NOT_COORDINATOR, KafkaError.GROUP_AUTHORIZATION_FAILED])
def test_ask_group_names_the_group_when_it_times_out(code: int) -> None:
    with pytest.raises(errors.KafkaError, match="Group g"):
        cluster(0.05).ask_group(lambda: answer(code).result(), "g")
