"""Clocks too far apart for the broker: exit 3 with a one-line error about the clocks, and no lost records."""

import pytest
from confluent_kafka import KafkaError

from tests.support.consumer_harness import coordinates, customers, sources
from tests.support.in_process import CompletedRun, run_in_process
from tests.support.mock_cluster import Api, MockCluster
from tests.support.topics import Topics, configure_topic, read_topic, send

#: With 0, every record is too old, and so would be the marker of a transaction.
MAX_AGE = "message.timestamp.before.max.ms"
CONSUME = ("consume", "--quiet", "--top-k", "0")
AT_LEAST_ONCE = (*CONSUME, "--mode", "batch", "--delivery", "at-least-once")


@pytest.mark.parametrize("count", [1, 20], ids=["one record", "a batch of several"])
def test_consume_exits_3_when_timestamps_are_rejected(kafka: str, topics: Topics, count: int) -> None:
    send(kafka, topics.raw, customers(range(count)), partition=0)
    configure_topic(kafka, topics.predictions, MAX_AGE, "0")
    assert_blames_the_clocks(run_in_process(*AT_LEAST_ONCE, env=topics.env(kafka)))
    assert read_topic(kafka, topics.predictions) == []
    configure_topic(kafka, topics.predictions, MAX_AGE, None)
    assert run_in_process(*AT_LEAST_ONCE, env=topics.env(kafka)).code == 0
    assert sources(read_topic(kafka, topics.predictions)) == coordinates(read_topic(kafka, topics.raw))


def test_produce_exits_3_when_timestamps_are_rejected(kafka: str, topics: Topics) -> None:
    configure_topic(kafka, topics.raw, MAX_AGE, "0")
    produce = ("produce", "--mode", "streaming", "--limit", "20", "--events-per-sec", "0", "--quiet")
    assert_blames_the_clocks(run_in_process(*produce, env=topics.env(kafka)))
    assert read_topic(kafka, topics.raw) == []


@pytest.mark.parametrize("error", [KafkaError.INVALID_TIMESTAMP, KafkaError.INVALID_RECORD])
def test_transaction_exits_3_when_timestamps_are_rejected(
    embedded: MockCluster, embedded_topics: Topics, error: int
) -> None:
    send(embedded.bootstrap, embedded_topics.raw, customers(range(20)))
    embedded.push_errors(Api.PRODUCE, *[error] * 5)
    assert_blames_the_clocks(run_in_process(*CONSUME, env=embedded_topics.env(embedded.bootstrap)))


def assert_blames_the_clocks(done: CompletedRun) -> None:
    assert done.code == 3, done.err
    assert len(done.err.splitlines()) == 1, done.err
    assert "clock" in done.err
