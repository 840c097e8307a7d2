"""`model promote --wait` on a real Kafka: what is missing, and when it returns."""

import signal
import socket
import threading
from collections.abc import Callable, Iterator

import pytest
from confluent_kafka import Consumer

from telco_stream.errors import DataError, KafkaError, ModelError
from telco_stream.kafka.clients import Clients
from telco_stream.kafka.cluster import Cluster
from telco_stream.kafka.topics import init_topics
from telco_stream.model.artifact import read_manifest
from telco_stream.registry.records import WorkerReport, encode_report
from telco_stream.registry.results import RoleResult
from telco_stream.registry.rollout import Rollout, RolloutWatch
from telco_stream.registry.run import list_models, package, promote, publish, roll_back
from telco_stream.registry.topic import ModelTopic
from telco_stream.runtime.signals import Stop, Stopped
from telco_stream.settings import ConsumerSettings, Settings, TopicSettings
from tests.support.cli import RunningCli
from tests.support.model_folder import COMMITTED, copy_model, edit_manifest
from tests.support.topics import Topics, send, wait_for_topics
from tests.support.waiting import wait_until

VERSION = read_manifest(COMMITTED).model_version


class Rollouts:
    """A models topic in which version v2 is about to be promoted, with a watch of the group."""

    def __init__(self, kafka: str, names: Topics, tmp_path_factory: pytest.TempPathFactory) -> None:
        self.kafka, self.names, self.stop = kafka, names, Stop()
        topics = TopicSettings(
            raw=names.raw, predictions=names.predictions, deadletter=names.deadletter, models=names.models
        )
        settings = Settings(bootstrap_servers=kafka, topics=topics, consumer=ConsumerSettings(group_id=names.group))
        self.clients = Clients(settings)
        init_topics(Cluster(self.clients), settings, models=True)
        wait_for_topics(kafka, {names.models: 1})
        self.models = ModelTopic(self.clients, names.models, self.stop, writes=True)
        other = copy_model(tmp_path_factory.mktemp("other"))
        edit_manifest(other, lambda manifest: manifest.update(model_version="v2"))
        for folder in (COMMITTED, other):
            publish(self.models, package(folder))
        promote(self.models, VERSION, "serving", None)
        self.watch = RolloutWatch(self.clients, names.group, self.stop)

    def wait(self, result: RoleResult) -> Rollout:
        """Return or raise at once."""
        return self.watch.wait(self.models, result, 0)

    def missing(self, result: RoleResult) -> str:
        with pytest.raises(DataError) as caught:
            self.wait(result)
        return str(caught.value)

    def report(self, worker: str, *, version: str = "v2", reason: str | None = None) -> None:
        message = encode_report(WorkerReport(worker, version, reason is None, "", reason))
        send(self.kafka, self.names.models, [message], partition=0)

    def workers(self) -> list[tuple[list[str], list[str]]]:
        """Return the workers that accepted and those that rejected each version, the newest version first."""
        members = Cluster(self.clients).describe_group(self.names.group).members
        listed = list_models(self.models.registry(), {member.worker for member in members})
        return [(model.accepted_by, model.rejected_by) for model in listed]

    def wait_for_members(self, count: int) -> None:
        cluster = Cluster(self.clients)
        wait_until(lambda: len(cluster.describe_group(self.names.group).members) == count, 30, f"{count} members")

    def ask(self, partition: int) -> None:
        """Send an input."""
        send(self.kafka, self.names.raw, [("k", b"{}", [])], partition)

    def answer(self, partition: int, offset: int, version: str, topic: str | None = None) -> None:
        source = f"{topic or self.names.raw}/{partition}/{offset}".encode()
        value = f'{{"model_version": "{version}"}}'
        send(self.kafka, self.names.predictions, [("k", value, [("source", source)])])


@pytest.fixture
def rollouts(kafka: str, topics: Topics, tmp_path_factory: pytest.TempPathFactory) -> Rollouts:
    return Rollouts(kafka, topics, tmp_path_factory)


@pytest.fixture
def join(rollouts: Rollouts) -> Iterator[Callable[[], None]]:
    """Return a function that adds the member `worker-1` to the group, which commits nothing."""
    end, joined, threads = threading.Event(), threading.Event(), []

    def poll(consumer: Consumer) -> None:
        while not end.is_set():
            consumer.poll(0.1)
        consumer.close()

    def join() -> None:
        consumer = Consumer(
            {
                "bootstrap.servers": rollouts.kafka,
                "group.id": rollouts.names.group,
                "client.id": "worker-1",
                "enable.auto.commit": False,
            }
        )
        consumer.subscribe([rollouts.names.raw], on_assign=lambda *_: joined.set())
        threads.append(threading.Thread(target=poll, args=(consumer,)))
        threads[-1].start()
        assert joined.wait(30)

    yield join
    end.set()
    for thread in threads:
        thread.join()


def test_wait_names_what_is_missing_until_the_answers_name_the_version(
    rollouts: Rollouts, join: Callable[[], None]
) -> None:
    rollouts.answer(0, 0, "v2")
    rollouts.watch = RolloutWatch(rollouts.clients, rollouts.names.group, rollouts.stop)
    result = promote(rollouts.models, "v2", "serving", None)
    assert "v2 was promoted, but after 0 s the group has no members" in rollouts.missing(result)
    join()
    rollouts.report("worker-1", version=VERSION)
    rollouts.report("of another group")
    assert "0 of 1 worker accepted it, not worker-1" in rollouts.missing(result)
    rollouts.report("worker-1")
    assert rollouts.wait(result).members == 1, "no record waits for an answer"
    rollouts.ask(0)
    rollouts.ask(2)
    assert "answers of partitions 0, 2 do not name it yet" in rollouts.missing(result)
    rollouts.answer(0, 0, VERSION)
    rollouts.answer(2, 0, "v2")
    rollouts.answer(0, 0, "v2", topic="another")
    assert "answers of partitions 0 do not name it yet" in rollouts.missing(result)
    rollouts.answer(0, 1, "v2")
    nested = b'{"model_version":"v2","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    send(rollouts.kafka, rollouts.names.predictions, [("k", b"not JSON", []), ("k", nested, [])])
    assert rollouts.wait(result) == Rollout(1, (), ())


def test_wait_fails_when_a_worker_rejects_the_version(rollouts: Rollouts, join: Callable[[], None]) -> None:
    join()
    rollouts.report("worker-1", reason="earlier")
    result = promote(rollouts.models, "v2", "serving", None)
    rollouts.report("of another group", reason="other limits")
    assert "0 of 1 worker" in rollouts.missing(result)
    rollouts.report("worker-1", reason="golden row 3 differs by 0.2")
    with pytest.raises(ModelError, match="Worker worker-1 rejects v2: golden row 3 differs"):
        rollouts.wait(result)


def test_wait_fails_when_the_version_loses_its_role(rollouts: Rollouts) -> None:
    result = promote(rollouts.models, "v2", "serving", None)
    roll_back(rollouts.models)
    with pytest.raises(ModelError, match="v2 lost its role by the rollback of v2"):
        rollouts.wait(result)


def test_wait_for_a_canary_ignores_answers(rollouts: Rollouts, join: Callable[[], None]) -> None:
    """Its share of the keys may be in none of the records."""
    join()
    rollouts.ask(0)
    result = promote(rollouts.models, "v2", "canary", 5.0)
    assert "0 of 1 worker" in rollouts.missing(result)
    rollouts.report("worker-1")
    assert rollouts.wait(result) == Rollout(1, (), ())


@pytest.fixture
def start(rollouts: Rollouts, start_cli: Callable[..., RunningCli]) -> Callable[..., RunningCli]:
    """Return a function that starts a worker, which the group removes 6 s after it was killed."""
    env = rollouts.names.env(rollouts.kafka) | {
        "TELCO_STREAM_MODEL__PATH": f"kafka:{rollouts.names.models}",
        "TELCO_STREAM_KAFKA__SESSION__TIMEOUT__MS": "6000",
    }
    return lambda **more: start_cli("consume", "--no-live", env=env | more)


def name_of(worker: RunningCli) -> str:
    return f"telco-stream-{socket.gethostname()}-{worker.process.pid}-"


def test_wait_ignores_the_rejection_of_a_killed_worker(rollouts: Rollouts, start: Callable[..., RunningCli]) -> None:
    worker = start(TELCO_STREAM_MODEL__GATE_MICROSECONDS="0.001")
    wait_until(lambda: rollouts.workers()[1][0], 30, "a report about the first version")
    result = promote(rollouts.models, "v2", "serving", None)
    with pytest.raises(ModelError, match=f"{name_of(worker)}.* rejects v2: .*µs"):
        rollouts.watch.wait(rollouts.models, result, 30)
    worker.signal(signal.SIGKILL)
    rollouts.wait_for_members(0)
    assert "the group has no members" in rollouts.missing(result)
    start(TELCO_STREAM_MODEL__GATE_MICROSECONDS="1e6")
    assert rollouts.watch.wait(rollouts.models, result, 30) == Rollout(1, (), ())


def test_wait_ignores_the_acceptance_of_a_killed_worker(
    rollouts: Rollouts, start: Callable[..., RunningCli], join: Callable[[], None]
) -> None:
    result = promote(rollouts.models, "v2", "serving", None)
    worker = start()
    assert rollouts.watch.wait(rollouts.models, result, 30) == Rollout(1, (), ())
    ((name,), rejected), _ = rollouts.workers()
    assert (name.startswith(name_of(worker)), rejected) == (True, [])
    worker.signal(signal.SIGKILL)
    join()
    rollouts.wait_for_members(1)
    assert "0 of 1 worker accepted it, not worker-1" in rollouts.missing(result)
    assert rollouts.workers() == [([], []), ([], [])]


def test_wait_ends_when_a_stop_is_requested(rollouts: Rollouts) -> None:
    result = promote(rollouts.models, "v2", "serving", None)
    rollouts.stop.request()
    with pytest.raises(Stopped):
        rollouts.watch.wait(rollouts.models, result, 60)


def test_watch_fails_before_the_promotion_when_a_topic_is_missing(rollouts: Rollouts) -> None:
    topics = TopicSettings(raw=rollouts.names.raw, predictions="no-such-topic")
    clients = Clients(rollouts.clients.settings.model_copy(update={"topics": topics}))
    with pytest.raises(KafkaError, match="no-such-topic"):
        RolloutWatch(clients, "group", rollouts.stop)
