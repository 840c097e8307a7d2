"""Fixtures and helpers of the test suite."""

import os
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer

from tests.conftest import Broker
from tests.support.cli import ROOT, RunningCli, run_cli
from tests.support.kafka_container import KafkaContainer
from tests.support.mock_cluster import Api, MockCluster
from tests.support.topics import StoredRecord, Topics, read_topic, send
from tests.support.waiting import wait_until


def test_read_topic_returns_sent_records_with_headers_and_nulls(broker: Broker) -> None:
    """In order, with null keys and values."""
    sent = [(b"a", b"1", [("source", b"x")]), (None, b"2", []), ("c", None, [])]
    send(broker.bootstrap, broker.topics.raw, sent, partition=2)
    records = read_topic(broker.bootstrap, broker.topics.raw)
    assert _keys_and_values(records) == [(b"a", b"1"), (None, b"2"), (b"c", None)]
    assert [(record.partition, record.offset) for record in records] == [(2, 0), (2, 1), (2, 2)]
    assert records[0].header("source") == "x"


def test_topics_fixture_creates_the_pipelines_partitions(broker: Broker) -> None:
    cluster = Producer({"bootstrap.servers": broker.bootstrap}).list_topics(timeout=10)
    counts = {name: len(topic.partitions) for name, topic in cluster.topics.items()}
    assert broker.topics.partitions().items() <= counts.items()


def test_read_topic_skips_aborted_records_and_markers(kafka: str, topics: Topics) -> None:
    """The last offset of each partition is a marker, the one before it an aborted record."""
    producer = Producer({"bootstrap.servers": kafka, "transactional.id": topics.transactional_id})
    producer.init_transactions(15)
    for value, finish in [(b"kept", producer.commit_transaction), (b"gone", producer.abort_transaction)]:
        producer.begin_transaction()
        producer.produce(topics.raw, value, partition=0)
        producer.flush(15)
        finish()
    assert _keys_and_values(read_topic(kafka, topics.raw)) == [(None, b"kept")]
    assert _keys_and_values(read_topic(kafka, topics.raw, "read_uncommitted")) == [(None, b"kept"), (None, b"gone")]


def test_push_errors_fails_the_next_request(embedded: MockCluster, embedded_topics: Topics) -> None:
    """The client does not retry this error; the next record is delivered."""
    embedded.push_errors(Api.PRODUCE, KafkaError.TOPIC_AUTHORIZATION_FAILED)
    with pytest.raises(AssertionError, match="authorization"):
        send(embedded.bootstrap, embedded_topics.raw, [(b"a", b"1", [])])
    send(embedded.bootstrap, embedded_topics.raw, [(b"a", b"2", [])])
    assert _keys_and_values(read_topic(embedded.bootstrap, embedded_topics.raw)) == [(b"a", b"2")]


def test_errors_left_counts_errors_not_yet_returned(embedded: MockCluster, embedded_topics: Topics) -> None:
    embedded.push_slow_errors(Api.PRODUCE, (KafkaError.NOT_ENOUGH_REPLICAS, 20), (0, 20))
    assert embedded.errors_left(Api.PRODUCE) == 2
    send(embedded.bootstrap, embedded_topics.raw, [(b"a", b"1", [])])
    assert embedded.errors_left(Api.PRODUCE) == 0


def test_bring_up_restores_records_when_broker_was_down(embedded: MockCluster, embedded_topics: Topics) -> None:
    send(embedded.bootstrap, embedded_topics.raw, [(b"a", b"1", [])])
    embedded.take_down()
    client = Producer({"bootstrap.servers": embedded.bootstrap, "log_level": 0})
    with pytest.raises(KafkaException):
        client.list_topics(timeout=0.3)
    embedded.bring_up()
    wait_until(lambda: embedded_topics.raw in client.list_topics(timeout=5).topics, 10, "the restarted broker")
    assert _keys_and_values(read_topic(embedded.bootstrap, embedded_topics.raw)) == [(b"a", b"1")]


def test_fail_topic_returns_an_error_until_it_is_reset(embedded: MockCluster, embedded_topics: Topics) -> None:
    client = Producer({"bootstrap.servers": embedded.bootstrap})
    embedded.fail_topic(embedded_topics.raw, KafkaError.TOPIC_AUTHORIZATION_FAILED)
    assert client.list_topics(embedded_topics.raw, 5).topics[embedded_topics.raw].error is not None
    embedded.fail_topic(embedded_topics.raw, 0)
    assert client.list_topics(embedded_topics.raw, 5).topics[embedded_topics.raw].error is None


def test_mock_group_survives_when_its_coordinator_moves() -> None:
    """Sooner than the 3 s that the mock cluster waits by default."""
    cluster = MockCluster(brokers=2)
    cluster.create_topic("t", 1)
    cluster.set_round_trip(5, broker=2)
    send(cluster.bootstrap, "t", [(None, b"1", [])])
    group = uuid.uuid4().hex
    consumer = Consumer({"bootstrap.servers": cluster.bootstrap, "group.id": group, "auto.offset.reset": "earliest"})
    consumer.subscribe(["t"])
    wait_until(lambda: consumer.poll(0.1), 2.5, "the first record")
    cluster.move_coordinator("group", group, 2)
    consumer.commit(asynchronous=False)
    consumer.close()
    cluster.close()


def test_start_again_keeps_address_and_data_after_a_kill(own_kafka: KafkaContainer) -> None:
    own_kafka.pause()
    own_kafka.unpause()
    client = Producer({"bootstrap.servers": own_kafka.bootstrap, "log_level": 0})
    cluster = client.list_topics(timeout=10).cluster_id
    own_kafka.kill()
    with pytest.raises(KafkaException):
        Producer({"bootstrap.servers": own_kafka.bootstrap, "log_level": 0}).list_topics(timeout=0.5)
    own_kafka.start_again()
    assert client.list_topics(timeout=10).cluster_id == cluster


def test_wait_until_names_the_condition_when_it_times_out() -> None:
    with pytest.raises(AssertionError, match=r"the moon did not come true within 0\.05 s"):
        wait_until(lambda: False, 0.05, "the moon")


def test_running_cli_returns_exit_code_and_stderr(start_cli: Callable[..., RunningCli]) -> None:
    """Also of a process that fails at once."""
    cli = start_cli("no-such-command")
    assert cli.wait() == 2
    assert "no-such-command" in cli.stderr()


def test_clean_environment_removes_settings(tmp_path: Path) -> None:
    assert not [name for name in os.environ if name.startswith("TELCO_STREAM_")]
    assert Path.cwd() == tmp_path


def test_run_cli_returns_exit_code_and_stderr() -> None:
    run = run_cli("no-such-command", env={"NO_COLOR": "1"})
    assert run.returncode == 2
    assert "no-such-command" in run.stderr


@pytest.mark.parametrize(("ci", "outcome"), [("", "1 skipped"), ("1", "1 error")])
def test_kafka_fixture_skips_or_fails_when_kafka_is_missing(ci: str, outcome: str) -> None:
    """The run's summary names the reason."""
    env = {**os.environ, "CI": ci, "DOCKER_HOST": "tcp://127.0.0.1:1", "PYTHONPATH": str(ROOT)}
    for name in ["TEST_KAFKA_BOOTSTRAP", "TELCO_STREAM_TEST_BOOTSTRAP"]:
        env.pop(name, None)
    test = f"{__file__}::{test_read_topic_skips_aborted_records_and_markers.__name__}"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", test]
    run = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert outcome in run.stdout
    assert "the Docker daemon does not answer" in run.stdout
    assert "set TEST_KAFKA_BOOTSTRAP" in run.stdout


def _keys_and_values(records: list[StoredRecord]) -> list[tuple[bytes | None, bytes | None]]:
    return [(record.key, record.value) for record in records]
