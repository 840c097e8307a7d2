"""Committed offsets of a group, read without joining it."""

import pytest
from confluent_kafka import Consumer, KafkaError, TopicPartition

from telco_stream import errors
from telco_stream.kafka.clients import Clients
from telco_stream.kafka.cluster import Cluster
from telco_stream.kafka.groups import Groups
from telco_stream.settings import Settings
from tests.conftest import Broker
from tests.support.mock_cluster import Api, MockCluster


def groups_at(bootstrap: str, timeout: float = 10.0) -> Groups:
    clients = Clients(Settings(bootstrap_servers=bootstrap), timeout)
    return Groups(clients, Cluster(clients))


def test_committed_returns_offsets_by_partition(broker: Broker) -> None:
    """Without other topics, and without partitions that have no commit."""
    raw = broker.topics.raw
    member = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": broker.topics.group})
    others = [TopicPartition(broker.topics.deadletter, 0, 9)]
    member.commit(offsets=[TopicPartition(raw, 0, 7), TopicPartition(raw, 2, 0), *others], asynchronous=False)
    member.close()
    commits = groups_at(broker.bootstrap).committed(broker.topics.group, raw)
    assert {partition: commit.offset for partition, commit in commits.items()} == {0: 7, 2: 0}
    assert groups_at(broker.bootstrap).committed(f"{broker.topics.group}-not", raw) == {}


def test_committed_retries_when_the_coordinator_is_not_ready(embedded: MockCluster) -> None:
    """The state of a new broker; there, the admin client's own request crashes the process."""
    embedded.create_topic("raw", 1)
    embedded.push_errors(Api.OFFSET_FETCH, *[KafkaError.NOT_COORDINATOR] * 3)
    assert groups_at(embedded.bootstrap).committed("g", "raw") == {}


def test_committed_raises_when_the_coordinator_never_comes(embedded: MockCluster) -> None:
    embedded.create_topic("raw", 1)
    embedded.push_errors(Api.FIND_COORDINATOR, *[KafkaError.COORDINATOR_NOT_AVAILABLE] * 100)
    with pytest.raises(errors.KafkaError):
        groups_at(embedded.bootstrap, 1).committed("g", "raw")
