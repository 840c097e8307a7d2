"""Committed offsets of a group, read without joining it."""

import pytest
from confluent_kafka import Consumer, KafkaError, TopicPartition

from telco_stream import errors
from telco_stream.kafka.clients import Clients
from telco_stream.kafka.cluster import Cluster
from telco_stream.kafka.offsets import Commit, committed_offsets
from telco_stream.settings import Settings
from tests.conftest import Broker
from tests.support.mock_cluster import Api, MockCluster


def committed_at(bootstrap: str, group: str, topic: str, timeout: float = 10.0) -> dict[int, Commit]:
    cluster = Cluster(Clients(Settings(bootstrap_servers=bootstrap), timeout))
    return committed_offsets(cluster, group, topic)


def test_committed_returns_offsets_by_partition(broker: Broker) -> None:
    """Without other topics, and without partitions that have no commit."""
    raw = broker.topics.raw
    member = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": broker.topics.group})
    others = [TopicPartition(broker.topics.deadletter, 0, 9)]
    member.commit(offsets=[TopicPartition(raw, 0, 7), TopicPartition(raw, 2, 0), *others], asynchronous=False)
    member.close()
    commits = committed_at(broker.bootstrap, broker.topics.group, raw)
    assert {partition: commit.offset for partition, commit in commits.items()} == {0: 7, 2: 0}
    assert committed_at(broker.bootstrap, f"{broker.topics.group}-not", raw) == {}


def test_committed_retries_when_the_coordinator_is_not_ready(embedded: MockCluster) -> None:
    """The state of a new broker; there, the admin client's own request crashes the process."""
    embedded.create_topic("raw", 1)
    embedded.push_errors(Api.OFFSET_FETCH, *[KafkaError.NOT_COORDINATOR] * 3)
    assert committed_at(embedded.bootstrap, "g", "raw") == {}


def test_committed_raises_when_the_coordinator_never_comes(embedded: MockCluster) -> None:
    embedded.create_topic("raw", 1)
    embedded.push_errors(Api.FIND_COORDINATOR, *[KafkaError.COORDINATOR_NOT_AVAILABLE] * 100)
    with pytest.raises(errors.KafkaError):
        committed_at(embedded.bootstrap, "g", "raw", 1)
