"""Admin requests: retried while a group has no coordinator, and sent once for what does not change."""

from collections.abc import Iterator
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any, cast

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicCollection

from telco_stream import errors
from telco_stream.kafka.cluster import Cluster
from telco_stream.settings import Settings


def cluster(timeout: float, **requests: Any) -> Cluster:
    admin = SimpleNamespace(poll=lambda _: None, **requests)
    known = {"settings": Settings(), "advertised": (), "last_error": None, "connection_error": lambda: None}
    return Cluster(cast("Any", SimpleNamespace(admin=lambda: admin, timeout=timeout, **known)))


def metadata(controller: int) -> Any:
    return SimpleNamespace(
        brokers={1: SimpleNamespace(host="localhost", port=9092)}, controller_id=controller, topics={}
    )


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


@pytest.mark.parametrize(
    ("controllers", "expected"), [([1], [False, False, False]), ([-1, -1, 1], [True, True, False, False])]
)
def test_is_embedded_asks_until_it_sees_a_controller(controllers: list[int], expected: list[bool]) -> None:
    answers = map(metadata, controllers)
    asked = cluster(1, list_topics=lambda timeout: next(answers))  # noqa: ARG005 - the client's keyword
    assert [asked.is_embedded() for _ in expected] == expected


def test_topic_ids_describes_all_topics_in_one_request() -> None:
    requests: list[list[str]] = []

    def describe(topics: TopicCollection, **_: Any) -> "dict[str, Future[Any]]":
        requests.append(topics.topic_names)
        described: dict[str, Future[Any]] = {name: Future() for name in topics.topic_names}
        for name, future in described.items():
            future.set_result(SimpleNamespace(topic_id=f"{name}+/"))
        return described

    described = cluster(1, list_topics=lambda timeout: metadata(1), describe_topics=describe)  # noqa: ARG005
    assert described.topic_ids("a", "b", "c") == {"a": "a-_", "b": "b-_", "c": "c-_"}
    assert requests == [["a", "b", "c"]]


def test_create_waits_until_the_broker_knows_the_topic() -> None:
    """The controller answers first; a client that asks the broker at once would get "Unknown topic or partition"."""
    topic = SimpleNamespace(partitions={0: SimpleNamespace(replicas=[1])})
    listed: Iterator[dict[str, Any]] = iter([{}, {"new": SimpleNamespace(partitions={})}, {"new": topic}])

    def list_topics(timeout: float) -> Any:  # noqa: ARG001 - the client's keyword
        answered = metadata(1)
        answered.topics = next(listed)
        return answered

    created = cluster(1, list_topics=list_topics, create_topics=lambda *_, **_options: {"new": answer("")})
    created.create([cast("Any", SimpleNamespace(topic="new"))], dry_run=False)
    assert next(listed, None) is None
