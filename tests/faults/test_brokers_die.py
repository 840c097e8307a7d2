"""Cases 4, 5 and 9: faults of the broker, also together with faults of workers and data."""

import time

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

from telco_stream.kafka.clients import Clients
from telco_stream.kafka.cluster import Cluster
from telco_stream.settings import Settings
from tests.faults.scenario import Scenario
from tests.support.kafka_container import KafkaContainer
from tests.support.topics import create_topics, delete_topics, fresh_topics
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.own_broker, pytest.mark.timeout(1200)]


def test_4_each_input_is_answered_once_when_the_broker_is_killed(
    scenario: Scenario, fault_kafka: KafkaContainer
) -> None:
    """SIGKILL at random moments, each followed by a restart."""
    with scenario.streaming():
        for _ in range(scenario.form(1, 3)):
            scenario.moment()
            fault_kafka.kill()
            fault_kafka.start_again()


def test_5_each_input_is_answered_once_when_the_broker_is_paused(
    scenario: Scenario, fault_kafka: KafkaContainer
) -> None:
    """For longer than the session and transaction timeouts; connections stay open."""
    with scenario.streaming():
        for _ in range(scenario.form(1, 3)):
            scenario.moment()
            fault_kafka.pause()
            time.sleep(8)
            fault_kafka.unpause()


def test_offsets_are_listed_when_the_leader_epoch_has_changed(fault_kafka: KafkaContainer) -> None:
    """The controller fences a paused broker, which then leads its partitions in a new epoch.

    A client that asks in the epoch of its cache is rejected until that entry expires, which takes minutes.
    """
    topics = fresh_topics()
    create_topics(fault_kafka.bootstrap, topics)
    cluster = Cluster(Clients(Settings(bootstrap_servers=fault_kafka.bootstrap)))

    def is_known() -> bool:
        """A broker that has just started, or was fenced, lags behind its own metadata for a moment."""
        futures = cluster.ask_offsets(topics.raw, [0, 1, 2], "latest").values()
        return not any(future.exception(10) for future in futures)

    def epoch() -> int:
        """Ask as a new client; -1 while the partition has no leader."""
        client, partition = AdminClient({"bootstrap.servers": fault_kafka.bootstrap}), TopicPartition(topics.raw, 0)
        future = client.list_offsets({partition: OffsetSpec.latest()})[partition]
        return -1 if future.exception(10) else int(future.result().leader_epoch)

    wait_until(is_known, 30, "the offsets")
    before = epoch()
    fault_kafka.pause()
    time.sleep(8)
    fault_kafka.unpause()
    wait_until(lambda: epoch() > max(before, 0), 30, "a new leader epoch")
    wait_until(is_known, 10, "the offsets")
    assert cluster.ends(topics.raw, [0, 1, 2]) == {0: 0, 1: 0, 2: 0}
    delete_topics(fault_kafka.bootstrap, topics)


def test_9_each_input_is_answered_once_when_all_are_killed(scenario: Scenario, fault_kafka: KafkaContainer) -> None:
    """5 % of the records are poison; one worker is killed while the broker is down, another while it is up."""
    with scenario.streaming(poison=0.05):
        for _ in range(scenario.form(1, 3)):
            scenario.moment()
            fault_kafka.kill()
            scenario.pool.replace_killed()
            fault_kafka.start_again()
            scenario.moment()
            scenario.pool.replace_killed()
            scenario.faults += 1
