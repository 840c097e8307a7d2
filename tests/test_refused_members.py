"""Members that their consumer group refuses or replaces must end, or report it."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from confluent_kafka import Consumer, KafkaError

from telco_stream import errors
from telco_stream.consume.run import ConsumeOptions, WorkerTask
from telco_stream.model.serving import Models, ServingModels
from telco_stream.monitoring import MonitoringOptions
from telco_stream.settings import Settings
from tests.support.cli import RunningCli
from tests.support.consumer_harness import RunningConsumer, coordinates, customers, settings_of, sources
from tests.support.mock_cluster import Api, MockCluster
from tests.support.records import RuleScorer
from tests.support.scraping import Port, free_port
from tests.support.topics import Topics, read_topic, send
from tests.support.waiting import wait_until

#: Seconds for which a refused member waits.
TIMEOUT = 2.0


@contextmanager
def other_member(kafka: str, topics: Topics, assignor: str) -> Iterator[None]:
    """Run another member of the group, with this assignor."""
    member = Consumer({"bootstrap.servers": kafka, "group.id": topics.group, "partition.assignment.strategy": assignor})
    member.subscribe([topics.raw])
    wait_until(lambda: member.poll(0.1) or member.assignment(), 30, "the other member's partitions")
    try:
        yield
    finally:
        member.close()


@pytest.mark.parametrize(
    "order", [ConsumeOptions("batch"), ConsumeOptions(idle_timeout=0.5), ConsumeOptions(max_messages=1)]
)
def test_bounded_run_exits_3_when_the_assignor_is_refused(
    kafka: str, topics: Topics, order: ConsumeOptions, caplog: pytest.LogCaptureFixture
) -> None:
    with other_member(kafka, topics, "range"):
        run = RunningConsumer(settings_of(kafka, topics), order, timeout=TIMEOUT)
        with pytest.raises(errors.KafkaError, match="PARTITION__ASSIGNMENT__STRATEGY"):
            run.result(30)
    assert [record.event for record in caplog.records if record.levelname == "WARNING"] == ["group_error"]  # type: ignore[attr-defined]


def test_stream_continues_when_the_refusing_member_leaves(kafka: str, topics: Topics) -> None:
    send(kafka, topics.raw, customers(range(5)))
    with other_member(kafka, topics, "range"):
        run = RunningConsumer(settings_of(kafka, topics), ConsumeOptions(), timeout=TIMEOUT)
        wait_until(lambda: run.clients.errors["INCONSISTENT_GROUP_PROTOCOL"] > 1, 30, "a second refusal")
    run.wait_for(5)
    run.end()


@pytest.mark.parametrize("code", [KafkaError.GROUP_MAX_SIZE_REACHED, KafkaError.INCONSISTENT_GROUP_PROTOCOL])
def test_stream_exits_3_on_stall_when_it_never_joins(embedded: MockCluster, embedded_topics: Topics, code: int) -> None:
    embedded.push_errors(Api.JOIN_GROUP, *[code] * 100)
    order = ConsumeOptions(delivery="at-least-once", monitoring=MonitoringOptions(exit_on_stall=True))
    run = RunningConsumer(settings_of(embedded.bootstrap, embedded_topics, stall_seconds=1.0), order)
    with pytest.raises(errors.KafkaError, match="--exit-on-stall"):
        run.result(30)


@pytest.mark.parametrize(
    ("properties", "setting"),
    [
        ({"session.timeout.ms": "1000", "heartbeat.interval.ms": "300"}, "SESSION__TIMEOUT__MS"),
        ({"group.protocol": "consumer", "group.remote.assignor": "nonsense"}, "GROUP__REMOTE__ASSIGNOR"),
    ],
)
def test_stream_exits_3_at_once_when_its_settings_are_refused(
    kafka: str, topics: Topics, properties: dict[str, str], setting: str
) -> None:
    run = RunningConsumer(settings_of(kafka, topics, properties), ConsumeOptions())
    with pytest.raises(errors.KafkaError, match=setting):
        run.result(30)


@pytest.mark.parametrize("delivery", ["exactly-once", "at-least-once"])
def test_older_process_exits_6_when_its_instance_id_is_taken(
    kafka: str, topics: Topics, delivery: str, start_cli: Callable[..., RunningCli]
) -> None:
    port: Port = free_port()
    env = topics.env(kafka) | {"TELCO_STREAM_KAFKA__GROUP__INSTANCE__ID": "one"}
    older = start_cli("consume", "--delivery", delivery, "--metrics-port", str(port.number), env=env)
    wait_until(lambda: port.page("/readyz") == (200, "ok\n"), 30, "readiness")
    newer = start_cli("consume", "--delivery", delivery, env=env)
    send(kafka, topics.raw, customers(range(50)))
    assert older.wait(30) == 6
    assert "TELCO_STREAM_KAFKA__GROUP__INSTANCE__ID" in older.stderr().splitlines()[-1]
    assert port.page("/healthz")[0] != 200
    inputs = set(coordinates(read_topic(kafka, topics.raw)))
    wait_until(lambda: set(sources(read_topic(kafka, topics.predictions))) == inputs, 30, "an answer to each record")
    if delivery == "exactly-once":
        assert len(read_topic(kafka, topics.predictions)) == 50
    newer.signal(signal.SIGTERM)
    assert newer.wait(10) == 0


def test_newer_process_exits_3_when_its_instance_id_is_in_use(kafka: str, topics: Topics) -> None:
    """With `group.protocol=consumer` the older member stays; a restart helps once it has ended."""
    settings = settings_of(kafka, topics, {"group.protocol": "consumer", "group.instance.id": "one"})
    send(kafka, topics.raw, customers(range(5)))
    older = RunningConsumer(settings, ConsumeOptions())
    older.wait_for(5)
    with pytest.raises(errors.KafkaError, match="GROUP__INSTANCE__ID"):
        RunningConsumer(settings, ConsumeOptions()).result(30)
    older.end()


def test_each_worker_has_a_unique_instance_id(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    seen: list[Settings] = []
    module = "telco_stream.consume.run"
    monkeypatch.setattr(f"{module}.load_models", lambda *_: Models(ServingModels(RuleScorer())))
    monkeypatch.setattr(f"{module}.run_consume", lambda cluster, *_, **__: seen.append(cluster.clients.settings))
    for kafka in ({"group.instance.id": "one"}, {}):
        work = WorkerTask(Settings(kafka=kafka), tmp_path, "auto", ConsumeOptions(), 1.0, {}, "name")  # type: ignore[arg-type]
        for slot in (0, 1):
            work(slot, None, None)  # type: ignore[arg-type]
    assert [settings.kafka.get("group.instance.id") for settings in seen] == ["one-0", "one-1", None, None]
