"""Check of a topic's ID with a fake broker: the same ID, a new one, a missing topic, no answer."""

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError

from telco_stream import errors
from telco_stream.kafka import identity as module
from telco_stream.kafka.identity import TopicIdentity
from tests.support.fakes import kafka_exception

ID, ANOTHER = "ABCDEFGHIJKLMNOPQRSTUV", "abcdefghijklmnopqrstuv"


@dataclass
class FakeBroker:
    """Broker that answers each request with the next ID or error of its script, and then not at all."""

    answers: list[str | Exception] = field(default_factory=list)
    requests: int = 0

    def describe(self) -> "Future[Any]":
        self.requests += 1
        future: Future[Any] = Future()
        match self.answers.pop(0) if self.answers else None:
            case str() as topic_id:
                future.set_result(SimpleNamespace(topic_id=topic_id))
            case Exception() as error:
                future.set_exception(error)
        return future


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PAUSE", 0.0)


def identity(*answers: str | Exception) -> tuple[TopicIdentity, FakeBroker]:
    broker = FakeBroker(list(answers))
    return TopicIdentity("raw", ID, broker.describe), broker


def test_identity_confirms_the_same_id() -> None:
    topic_identity, _ = identity(ID)
    topic_identity.ask()
    assert topic_identity.confirm(1)


def test_identity_confirms_nothing_from_an_earlier_request() -> None:
    """Records that arrive after a request may belong to another topic."""
    topic_identity, _ = identity(ID)
    topic_identity.ask()
    assert topic_identity.confirm(1)
    topic_identity.ask()
    assert not topic_identity.confirm(0.01)


def test_identity_reports_each_wait_without_an_answer() -> None:
    """An outage would not be noticed otherwise while a batch waits to be sent."""
    waits: list[bool] = []
    broker = FakeBroker([ID])
    topic_identity = TopicIdentity("raw", ID, broker.describe, lambda: waits.append(True))
    topic_identity.ask()
    assert topic_identity.confirm(1)
    assert waits == []
    topic_identity.ask()
    for _ in range(2):
        assert not topic_identity.confirm(0.01)
    assert waits == [True, True]


@pytest.mark.parametrize("take_in", [lambda topic_identity: topic_identity.confirm(1), TopicIdentity.check])
def test_identity_raises_when_the_id_changes(take_in: Callable[[TopicIdentity], object]) -> None:
    topic_identity, _ = identity(ANOTHER)
    topic_identity.ask()
    with pytest.raises(errors.KafkaError, match="created again") as raised:
        take_in(topic_identity)
    assert raised.value.exit_code == 3


def test_identity_is_requested_again_at_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_INTERVAL", 0.0)
    topic_identity, broker = identity(ID, ANOTHER)
    topic_identity.check()
    with pytest.raises(errors.KafkaError, match="created again"):
        topic_identity.check()
    assert broker.requests == 2


def test_identity_waits_when_the_broker_is_away() -> None:
    topic_identity, _ = identity(kafka_exception("_TIMED_OUT"), kafka_exception("_TRANSPORT"), ID)
    topic_identity.ask()
    assert topic_identity.confirm(1)


def test_identity_waits_when_a_topic_is_created_again() -> None:
    """Between its deletion and its creation, the topic is missing."""
    topic_identity, _ = identity(kafka_exception("UNKNOWN_TOPIC_OR_PART"), ANOTHER)
    topic_identity.ask()
    with pytest.raises(errors.KafkaError, match="created again"):
        topic_identity.confirm(1)


def test_identity_raises_when_the_topic_stays_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MISSING_SECONDS", 0.0)
    topic_identity, _ = identity(*[kafka_exception("UNKNOWN_TOPIC_OR_PART")] * 3)
    topic_identity.ask()
    with pytest.raises(errors.KafkaError, match="was deleted"):
        topic_identity.confirm(1)


def test_identity_raises_the_clients_error_when_the_id_is_same() -> None:
    topic_identity, _ = identity(ID)
    topic_identity.suspect(KafkaError(KafkaError._UNKNOWN_PARTITION))
    with pytest.raises(errors.KafkaError) as raised:
        topic_identity.confirm(1)
    assert "created again" not in str(raised.value)


def test_identity_raises_when_the_request_is_forbidden() -> None:
    topic_identity, _ = identity(kafka_exception("TOPIC_AUTHORIZATION_FAILED"))
    topic_identity.ask()
    with pytest.raises(errors.KafkaError):
        topic_identity.confirm(1)


def test_identity_sends_no_request_without_an_id() -> None:
    """The embedded broker has no topic IDs."""
    broker = FakeBroker()
    topic_identity = TopicIdentity("raw", None, broker.describe)
    topic_identity.ask()
    topic_identity.check()
    assert topic_identity.confirm(0)
    assert broker.requests == 0
