"""The tests' own foundation: what it promises to the tests that stand on it."""

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


def _short(records: list[StoredRecord]) -> list[tuple[bytes | None, bytes | None]]:
    return [(kept.key, kept.value) for kept in records]


def test_what_was_sent_is_read_back_with_headers_and_nulls(broker: Broker) -> None:
    """One partition keeps the order, null keys and values stay null."""
    sent = [(b"a", b"1", [("source", b"x")]), (None, b"2", []), ("c", None, [])]
    send(broker.bootstrap, broker.topics.raw, sent, partition=2)
    kept = read_topic(broker.bootstrap, broker.topics.raw)
    assert _short(kept) == [(b"a", b"1"), (None, b"2"), (b"c", None)]
    assert [(record.partition, record.offset) for record in kept] == [(2, 0), (2, 1), (2, 2)]
    assert kept[0].header("source") == "x"


def test_topics_have_the_partitions_of_the_pipeline(broker: Broker) -> None:
    """Raw 3, predictions 3, dead letters 1, wherever a test runs."""
    cluster = Producer({"bootstrap.servers": broker.bootstrap}).list_topics(timeout=10)
    found = {name: len(topic.partitions) for name, topic in cluster.topics.items()}
    assert broker.topics.partitions().items() <= found.items()


def test_reading_ends_at_transaction_markers_and_leaves_out_what_was_aborted(kafka: str, topics: Topics) -> None:
    """The last offset of each partition is a marker, the one before it an aborted record."""
    producer = Producer({"bootstrap.servers": kafka, "transactional.id": topics.transactional_id})
    producer.init_transactions(15)
    for value, finish in [(b"kept", producer.commit_transaction), (b"gone", producer.abort_transaction)]:
        producer.begin_transaction()
        producer.produce(topics.raw, value, partition=0)
        producer.flush(15)
        finish()
    assert _short(read_topic(kafka, topics.raw)) == [(None, b"kept")]
    assert _short(read_topic(kafka, topics.raw, "read_uncommitted")) == [(None, b"kept"), (None, b"gone")]


def test_pushed_errors_reach_the_client(embedded: MockCluster, embedded_topics: Topics) -> None:
    """A refusal that the client doesn't retry comes back as the delivery's error; the next record passes."""
    embedded.push_errors(Api.PRODUCE, KafkaError.TOPIC_AUTHORIZATION_FAILED)
    with pytest.raises(AssertionError, match="authorization"):
        send(embedded.bootstrap, embedded_topics.raw, [(b"a", b"1", [])])
    send(embedded.bootstrap, embedded_topics.raw, [(b"a", b"2", [])])
    assert _short(read_topic(embedded.bootstrap, embedded_topics.raw)) == [(b"a", b"2")]


def test_slow_errors_are_counted_until_they_are_given(embedded: MockCluster, embedded_topics: Topics) -> None:
    embedded.push_slow_errors(Api.PRODUCE, (KafkaError.NOT_ENOUGH_REPLICAS, 20), (0, 20))
    assert embedded.errors_left(Api.PRODUCE) == 2
    send(embedded.bootstrap, embedded_topics.raw, [(b"a", b"1", [])])
    assert embedded.errors_left(Api.PRODUCE) == 0


def test_an_embedded_broker_goes_down_and_comes_back_with_its_records(
    embedded: MockCluster, embedded_topics: Topics
) -> None:
    send(embedded.bootstrap, embedded_topics.raw, [(b"a", b"1", [])])
    embedded.take_down()
    client = Producer({"bootstrap.servers": embedded.bootstrap, "log_level": 0})
    with pytest.raises(KafkaException):
        client.list_topics(timeout=0.3)
    embedded.bring_up()
    wait_until(lambda: embedded_topics.raw in client.list_topics(timeout=5).topics, 10, "the broker's return")
    assert _short(read_topic(embedded.bootstrap, embedded_topics.raw)) == [(b"a", b"1")]


def test_a_failed_topic_says_so_until_it_is_well_again(embedded: MockCluster, embedded_topics: Topics) -> None:
    client = Producer({"bootstrap.servers": embedded.bootstrap})
    embedded.fail_topic(embedded_topics.raw, KafkaError.TOPIC_AUTHORIZATION_FAILED)
    assert client.list_topics(embedded_topics.raw, 5).topics[embedded_topics.raw].error is not None
    embedded.fail_topic(embedded_topics.raw, 0)
    assert client.list_topics(embedded_topics.raw, 5).topics[embedded_topics.raw].error is None


def test_a_group_on_the_embedded_broker_forms_at_once_and_survives_its_coordinator_moving() -> None:
    """Well under the 3 s that the mock cluster waits by itself."""
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


def test_a_killed_kafka_comes_back_at_the_same_address_with_its_records(own_kafka: KafkaContainer) -> None:
    own_kafka.pause()
    own_kafka.unpause()
    client = Producer({"bootstrap.servers": own_kafka.bootstrap, "log_level": 0})
    cluster = client.list_topics(timeout=10).cluster_id
    own_kafka.kill()
    with pytest.raises(KafkaException):
        Producer({"bootstrap.servers": own_kafka.bootstrap, "log_level": 0}).list_topics(timeout=0.5)
    own_kafka.start_again()
    assert client.list_topics(timeout=10).cluster_id == cluster


def test_a_condition_that_never_comes_fails_and_says_which() -> None:
    with pytest.raises(AssertionError, match=r"the moon did not come true within 0\.05 s"):
        wait_until(lambda: False, 0.05, "the moon")


def test_a_process_can_be_watched_and_ended(start_cli: Callable[..., RunningCli]) -> None:
    """Even one that fails at once: its words and its code are there."""
    cli = start_cli("no-such-command")
    assert cli.wait() == 2
    assert "no-such-command" in cli.stderr()


def test_settings_of_the_outside_never_reach_a_test(tmp_path: Path) -> None:
    assert not [name for name in os.environ if name.startswith("TELCO_STREAM_")]
    assert Path.cwd() == tmp_path


def test_a_finished_process_hands_over_its_code_and_words() -> None:
    run = run_cli("no-such-command", env={"NO_COLOR": "1"})
    assert run.returncode == 2
    assert "no-such-command" in run.stderr


@pytest.mark.parametrize(("ci", "outcome"), [("", "1 skipped"), ("1", "1 error")])
def test_a_missing_kafka_is_a_skip_on_a_desk_and_a_failure_in_ci(ci: str, outcome: str) -> None:
    """The reason stands in the run's last lines either way."""
    env = {**os.environ, "CI": ci, "DOCKER_HOST": "tcp://127.0.0.1:1", "PYTHONPATH": str(ROOT)}
    for name in ["TEST_KAFKA_BOOTSTRAP", "TELCO_STREAM_TEST_BOOTSTRAP"]:
        env.pop(name, None)
    case = f"{__file__}::{test_reading_ends_at_transaction_markers_and_leaves_out_what_was_aborted.__name__}"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", case]
    run = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert outcome in run.stdout
    assert "no Docker daemon answers" in run.stdout
    assert "name a broker in TEST_KAFKA_BOOTSTRAP" in run.stdout
