"""A topic's identity, asked of a broker that a test plays: same ID, another one, none, no answer."""

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
    """Answers each question with the next ID or error; without one, not at all."""

    answers: list[str | Exception] = field(default_factory=list)
    asked: int = 0

    def describe(self) -> "Future[Any]":
        self.asked += 1
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
    asking, _ = identity(ID)
    asking.ask()
    assert asking.confirm(1)


def test_identity_confirms_nothing_that_was_asked_before() -> None:
    """What was read after a question may belong to another topic already."""
    asking, _ = identity(ID)
    asking.ask()
    assert asking.confirm(1)
    asking.ask()
    assert not asking.confirm(0.01)


@pytest.mark.parametrize("take_in", [lambda asking: asking.confirm(1), TopicIdentity.check])
def test_identity_raises_when_the_id_changes(take_in: Callable[[TopicIdentity], object]) -> None:
    asking, _ = identity(ANOTHER)
    asking.ask()
    with pytest.raises(errors.KafkaError, match="created again") as raised:
        take_in(asking)
    assert raised.value.exit_code == 3


def test_identity_is_asked_again_when_nothing_else_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_INTERVAL", 0.0)
    asking, broker = identity(ID, ANOTHER)
    asking.check()
    with pytest.raises(errors.KafkaError, match="created again"):
        asking.check()
    assert broker.asked == 2


def test_identity_waits_for_a_broker_that_is_away() -> None:
    asking, _ = identity(kafka_exception("_TIMED_OUT"), kafka_exception("_TRANSPORT"), ID)
    asking.ask()
    assert asking.confirm(1)


def test_identity_waits_for_a_topic_that_is_created_again() -> None:
    """Between its deletion and its creation it is missing."""
    asking, _ = identity(kafka_exception("UNKNOWN_TOPIC_OR_PART"), ANOTHER)
    asking.ask()
    with pytest.raises(errors.KafkaError, match="created again"):
        asking.confirm(1)


def test_identity_raises_when_the_topic_stays_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MISSING_SECONDS", 0.0)
    asking, _ = identity(*[kafka_exception("UNKNOWN_TOPIC_OR_PART")] * 3)
    asking.ask()
    with pytest.raises(errors.KafkaError, match="was deleted"):
        asking.confirm(1)


def test_identity_raises_the_clients_error_when_the_id_is_the_same() -> None:
    asking, _ = identity(ID)
    asking.suspect(KafkaError(KafkaError._UNKNOWN_PARTITION))
    with pytest.raises(errors.KafkaError) as raised:
        asking.confirm(1)
    assert "created again" not in str(raised.value)


def test_identity_raises_when_it_may_not_ask() -> None:
    asking, _ = identity(kafka_exception("TOPIC_AUTHORIZATION_FAILED"))
    asking.ask()
    with pytest.raises(errors.KafkaError):
        asking.confirm(1)


def test_identity_asks_nothing_without_an_id() -> None:
    """As on the embedded broker."""
    broker = FakeBroker()
    asking = TopicIdentity("raw", None, broker.describe)
    asking.ask()
    asking.check()
    assert asking.confirm(0)
    assert broker.asked == 0
