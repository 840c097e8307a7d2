"""Brokers that are killed or paused while `consume` runs, and stop requests meanwhile."""

import signal
from collections.abc import Callable

import pytest

from tests.support.cli import RunningCli
from tests.support.consumer_harness import coordinates, customers, sources
from tests.support.crashing_kafka import CrashingKafka
from tests.support.kafka_container import KafkaContainer
from tests.support.stopping import LATER, stopped_within
from tests.support.topics import create_topics, fresh_topics, read_topic, send
from tests.support.waiting import wait_until

Start = Callable[..., RunningCli]


@pytest.mark.parametrize("delivery", ["exactly-once", "at-least-once"])
def test_consume_waits_and_logs_once_when_broker_is_killed(
    crashing_kafka: CrashingKafka, start_cli: Start, delivery: str
) -> None:
    """Nothing is lost or doubled, and a stop request does not wait for the broker."""
    kafka, topics = crashing_kafka.bootstrap, fresh_topics()
    create_topics(kafka, topics)
    send(kafka, topics.raw, customers(range(3_000)))
    env = topics.env(kafka) | {"TELCO_STREAM_CONSUMER__MAX_POLL_RECORDS": "100"}
    cli = start_cli("consume", "--delivery", delivery, env=env)
    wait_until(lambda: read_topic(kafka, topics.predictions), 30, "a first answer")
    crashing_kafka.kill()
    cli.wait_for_stderr("is unavailable; waiting")
    crashing_kafka.start_again()
    cli.wait_for_stderr("is available again after")
    send(kafka, topics.raw, customers(range(3_000, 4_000)))
    inputs = coordinates(read_topic(kafka, topics.raw))
    wait_until(lambda: len(set(sources(read_topic(kafka, topics.predictions)))) == len(inputs), 60, "all answers")
    if delivery == "exactly-once":
        assert sources(read_topic(kafka, topics.predictions)) == inputs
    crashing_kafka.kill()
    assert stopped_within(cli, LATER) == 0
    assert cli.stderr().count("is available again after") == 1
    assert cli.stderr().count("is unavailable") == 1


@pytest.mark.alone
def test_signals_end_the_run_when_broker_is_paused(own_kafka: KafkaContainer, start_cli: Start) -> None:
    kafka, topics = own_kafka.bootstrap, fresh_topics()
    create_topics(kafka, topics)
    send(kafka, topics.raw, customers(range(100)))
    # --restart, because each group may find the answers of the other one when it starts.
    clis = [
        start_cli("consume", "--restart", "--group", f"{topics.group}-{number}", env=topics.env(kafka))
        for number in range(2)
    ]
    for cli in clis:
        cli.wait_for_stderr("assigned partitions")
    wait_until(lambda: len(read_topic(kafka, topics.predictions)) == 200, 30, "both groups' answers")
    send(kafka, topics.raw, customers(range(100, 200)))
    own_kafka.pause()
    clis[1].signal(signal.SIGTERM)
    assert stopped_within(clis[1], 2.0, signal.SIGINT) == 130
    assert stopped_within(clis[0], LATER) == 0
    own_kafka.unpause()
