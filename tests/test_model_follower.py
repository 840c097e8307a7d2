"""Consumers on a real Kafka that follow the models topic: promotions, the gate, canaries, shadows and rollbacks."""

import signal
from collections import Counter
from collections.abc import Callable
from itertools import count

import pytest

from telco_stream.kafka.clients import Clients
from telco_stream.model.serving import Models
from telco_stream.registry.follower import follow_models
from telco_stream.registry.roles import Roles
from telco_stream.runtime.signals import Stop
from telco_stream.settings import Settings
from telco_stream.settings.tree import ModelSettings
from tests.support.cli import RunningCli
from tests.support.in_process import run_in_process
from tests.support.published_models import OPEN_GATE, PublishedModels
from tests.support.records import good
from tests.support.scraping import Port, free_port
from tests.support.topics import Outgoing, StoredRecord, Topics, delete_topic, read_topic, send
from tests.support.waiting import wait_until

Start = Callable[..., RunningCli]
REJECTED = "telco_stream_models_rejected_total"
#: A busy machine is slower than the default of the gate allows.
ENV = {"TELCO_STREAM_MODEL__GATE_MICROSECONDS": "500", "TELCO_STREAM_KAFKA__FETCH__WAIT__MAX__MS": "50"}


class Stream:
    """Customers that a test sends to the raw topic, and their answers."""

    def __init__(self, bootstrap: str, topics: Topics) -> None:
        self._bootstrap = bootstrap
        self._topics = topics
        self._numbers = count()
        self.sent = 0

    def send(self, number: int = 300) -> None:
        """Send customers with tenures from 0 to 99; the tests' bad models fail on 72 or on others."""
        numbers = [next(self._numbers) for _ in range(number)]
        self.sent += number
        records: list[Outgoing] = [
            (f"c{number}", good(customerID=f"c{number}", tenure=number % 100, MonthlyCharges=20 + number % 80), [])
            for number in numbers
        ]
        send(self._bootstrap, self._topics.raw, records)

    def answers(self) -> list[StoredRecord]:
        """Return all answers once there is one to each customer; no more may come."""

        def answered() -> list[StoredRecord]:
            predictions, letters = self._topics.predictions, self._topics.deadletter
            read = read_topic(self._bootstrap, predictions) + read_topic(self._bootstrap, letters)
            return read if len(read) >= self.sent else []

        found = wait_until(answered, 60, f"{self.sent} answers")
        assert len({answer.header("source") for answer in found}) == len(found) == self.sent
        return found

    def versions(self) -> Counter[str]:
        """Return the number of answers of each version."""
        return Counter(answer.json().get("model_version", "dead letter") for answer in self.answers())


@pytest.fixture
def models(kafka: str, topics: Topics) -> PublishedModels:
    """Create the models topic, in which version `a` serves."""
    models = PublishedModels(kafka, topics)
    models.publish("a")
    models.promote("a")
    return models


@pytest.fixture
def stream(kafka: str, topics: Topics) -> Stream:
    return Stream(kafka, topics)


@pytest.fixture
def port() -> Port:
    return free_port()


@pytest.fixture
def start(models: PublishedModels, start_cli: Start) -> Start:
    """Return a function that starts a consumer which follows the topic."""

    def start(*args: str, **env: str) -> RunningCli:
        return start_cli("consume", "--no-live", *args, env=models.env | ENV | env)

    return start


def test_consume_answers_with_a_promoted_version(models: PublishedModels, stream: Stream, start: Start) -> None:
    models.publish("b", "close")
    stream.send()
    running = start()
    assert stream.versions() == {"a": 300}
    models.promote("b")
    models.wait_for_reports("b", 1)
    stream.send()
    assert stream.versions() == {"a": 300, "b": 300}
    running.signal(signal.SIGTERM)
    assert running.wait() == 0
    assert "version b passed the gate as serving" in running.stderr()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("damaged", "rejected"),
        ("contract", "contract"),
        ("golden rows", "golden rows"),
        ("fails", "fails on"),
        ("slow", "µs per event"),
        ("shifted", "decisions"),
        ("always yes", "decisions"),
    ],
)
def test_bad_candidate_never_answers_and_is_reported(  # noqa: PLR0917 - fixtures
    change: str, reason: str, models: PublishedModels, stream: Stream, start: Start, port: Port
) -> None:
    """Neither with the records of the running consumer, nor with those of one that starts later."""
    content = b"no ZIP" if change == "damaged" else None
    models.publish("bad", "equal" if content else change, content)
    start("--metrics-port", str(port.number))
    stream.send()
    assert stream.versions() == {"a": 300}
    models.promote("bad")
    (report,) = models.wait_for_reports("bad", 1, accepted=False)
    assert reason in (report.reason or "")
    assert port.metrics()[REJECTED] == 1
    if change != "fails":  # it has no golden rows, on which it would fail
        start()
        models.wait_for_reports("bad", 2, accepted=False)
    stream.send()
    assert stream.versions() == {"a": 600}


def test_failing_version_is_rolled_back_on_all_workers(models: PublishedModels, stream: Stream, start: Start) -> None:
    """It has no probability for 1 of 100 customers; batches have up to 1,000 records."""
    models.publish("bad", "no probability")
    workers = [start("--batch-size", "1000", **OPEN_GATE) for _ in range(2)]
    stream.send(3_000)
    models.wait_for_reports("a", 2)
    assert stream.versions() == {"a": 3_000}
    models.promote("bad")
    models.wait_for_reports("bad", 2)
    stream.send(20_000)
    wait_until(lambda: models.registry().roles.serving == "a", 30, "the rollback")
    stream.send(3_000)
    versions = stream.versions()
    assert versions["bad"] + versions["dead letter"] <= 2 * 2 * 1_000, "two batches of each worker"
    changes = [applied.change for applied in models.registry().history if applied.effective]
    assert [(change.action, change.version, change.by) for change in changes] == [
        ("promote", "a", "command"),
        ("promote", "bad", "command"),
        ("rollback", "bad", "worker"),
    ]
    assert "it failed on" in (changes[-1].reason or "")
    for worker in workers:
        worker.wait_for_stderr("version bad was rolled back as serving by a worker")


def test_rollback_skips_a_version_that_was_rejected(models: PublishedModels, stream: Stream, start: Start) -> None:
    models.publish("bad", "always yes")
    models.publish("c", "close")
    start()
    stream.send()
    assert stream.versions() == {"a": 300}
    models.promote("bad")
    models.wait_for_reports("bad", 1, accepted=False)
    models.promote("c")
    models.wait_for_reports("c", 1)
    models.roll_back("c")
    wait_until(
        lambda: any("no worker accepted" in (each.reason or "") for each in models.reports("bad")), 30, "its report"
    )
    stream.send()
    assert stream.versions() == {"a": 600}
    assert models.registry().roles == Roles("bad", previous=("a",))


def test_no_rollback_returns_to_a_version_that_failed_late(kafka: str, models: PublishedModels) -> None:
    """Its last batch may still be scored when the next version is promoted."""
    for version in ("failing", "c"):
        models.publish(version, "close")
    models.promote("failing")
    clients = Clients(Settings(bootstrap_servers=kafka, model=ModelSettings(gate_microseconds=500.0)))
    with follow_models(clients, models.topic, "auto", Stop()) as served:
        assert served.serving.scorer.version == "failing"
        models.promote("c")
        wait_until(lambda: served.serving.scorer.version == "c", 30, "the promotion")
        served.on_rollback("failing", "it failed on 9 of its first 90 records")
        wait_until(lambda: set(served.serving.fallbacks) == {"c"} and fallback(served) == "a", 30, "the rollback")
        assert models.registry().roles == Roles("c", previous=("a",))
        models.roll_back("c")
        wait_until(lambda: served.serving.scorer.version == "a", 30, "the second rollback")
    changes = [applied.change for applied in models.registry().history if applied.effective]
    assert [(change.action, change.version) for change in changes[-2:]] == [("rollback", "failing"), ("rollback", "c")]


def fallback(models: Models) -> str:
    """Return the version that answers if the serving one fails."""
    (only,) = models.serving.fallbacks.values()
    return only.scorer.version


def test_canary_answers_for_its_share_until_it_is_rolled_back(
    models: PublishedModels, stream: Stream, start: Start, port: Port
) -> None:
    models.publish("b", "close")
    start("--metrics-port", str(port.number))
    models.wait_for_reports("a", 1)
    models.promote("b", "canary", 25.0)
    models.wait_for_reports("b", 1)
    stream.send(1_000)
    versions = stream.versions()
    assert 180 < versions["b"] < 320
    sides = {answer.key: answer.json()["model_version"] for answer in stream.answers()}
    takes = models.registry().roles.canary
    assert takes is not None
    assert {key for key, version in sides.items() if version == "b"} == {
        key for key in sides if takes.takes(key or b"")
    }
    metrics = port.metrics()
    assert metrics['telco_stream_model_predictions_total{version="b"}'] == versions["b"]
    assert metrics['telco_stream_model_predictions_total{version="a"}'] == versions["a"]
    models.roll_back("b", "canary")
    info = 'telco_stream_model_info{engine="onnx",role="canary",version="b"}'

    def has_ended() -> bool:
        stream.send(1)
        return info not in port.metrics()

    wait_until(has_ended, 30, "the end of the canary")


def test_shadow_is_compared_and_never_answers(
    models: PublishedModels, stream: Stream, start: Start, port: Port
) -> None:
    models.publish("b", "shifted")
    start("--metrics-port", str(port.number), **OPEN_GATE)
    models.wait_for_reports("a", 1)
    models.promote("b", "shadow")
    models.wait_for_reports("b", 1)
    stream.send(1_000)
    assert stream.versions() == {"a": 1_000}
    compared = 'telco_stream_shadow_records_total{version="b"}'
    wait_until(lambda: port.metrics().get(compared) == 1_000, 30, "the comparison")
    metrics = port.metrics()
    assert metrics['telco_stream_shadow_failures_total{version="b"}'] == 0
    assert 100 < metrics['telco_stream_shadow_changed_decisions_total{version="b"}'] < 1_000
    assert 100 < metrics['telco_stream_shadow_difference_total{version="b"}'] < 500
    assert metrics['telco_stream_shadow_seconds_total{version="b"}'] > 0


def test_workers_of_one_command_follow_the_topic(models: PublishedModels, stream: Stream, start: Start) -> None:
    models.publish("b", "close")
    running = start("--workers", "3")
    models.wait_for_reports("a", 3)
    stream.send()
    assert stream.versions() == {"a": 300}
    models.promote("b")
    models.wait_for_reports("b", 3)
    stream.send()
    assert stream.versions() == {"a": 300, "b": 300}
    running.signal(signal.SIGTERM)
    assert running.wait() == 0


def test_lost_models_topic_does_not_stop_the_answers(
    kafka: str, models: PublishedModels, stream: Stream, start: Start, topics: Topics
) -> None:
    running = start()
    stream.send()
    assert stream.versions() == {"a": 300}
    delete_topic(kafka, models.topic)
    running.wait_for_stderr("the models topic can't be followed")
    stream.send()
    assert stream.versions() == {"a": 600}
    again = PublishedModels(kafka, topics)
    again.publish("b", "close")
    again.promote("b")
    again.wait_for_reports("b", 1)
    stream.send()
    assert stream.versions() == {"a": 600, "b": 300}


def test_consume_exits_4_when_no_version_serves(kafka: str, topics: Topics) -> None:
    env = PublishedModels(kafka, topics).env
    ended = run_in_process("consume", "--timeout", "1", env=env)
    assert ended.code == 4
    assert "telco-stream model publish FOLDER" in ended.err


def test_consume_waits_for_the_first_promotion(kafka: str, topics: Topics, stream: Stream, start_cli: Start) -> None:
    models = PublishedModels(kafka, topics)
    start_cli("consume", "--timeout", "60", env=models.env | ENV)
    models.publish("a")
    models.promote("a")
    stream.send()
    assert stream.versions() == {"a": 300}


def test_consume_exits_4_when_the_only_version_is_damaged(kafka: str, topics: Topics) -> None:
    models = PublishedModels(kafka, topics)
    models.publish("bad", content=b"no ZIP")
    models.promote("bad")
    ended = run_in_process("consume", env=models.env)
    assert (ended.code, len(ended.err.splitlines())) == (4, 1)
    assert "Version bad serves in topic" in ended.err


def test_unsigned_role_change_has_no_effect_when_a_key_is_set(
    models: PublishedModels,
) -> None:
    env = models.env | {"TELCO_STREAM_MODEL__SIGNING_KEY": "a secret"}
    assert run_in_process("consume", "--timeout", "1", env=env).code == 4


def test_promote_wait_returns_when_the_consumer_answers_with_the_version(
    models: PublishedModels, stream: Stream, start: Start
) -> None:
    """Each partition has answers; a version that the gate rejects ends the wait at once."""
    start()
    stream.send()
    assert stream.versions() == {"a": 300}
    models.publish("b", "close")
    done = run_in_process("model", "promote", "b", "--wait", env=models.env)
    assert (done.code, "1 worker accepted b" in done.err) == (0, True), done.err
    stream.send()
    assert stream.versions() == {"a": 300, "b": 300}
    models.publish("c", "golden rows")
    done = run_in_process("model", "promote", "c", "--wait", env=models.env)
    assert done.code == 4, done.err
    (report,) = models.reports("c")
    assert f"Worker {report.worker} rejects c: {report.reason}" in done.err
    assert models.registry().roles.serving == "c", "the decision stays, and the consumer answers with the one before"
