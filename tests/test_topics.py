"""Creation of the three topics, and the admin requests of `Cluster`."""

from dataclasses import replace
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType  # type: ignore[attr-defined]

from telco_stream import errors
from telco_stream.kafka.clients import Clients
from telco_stream.kafka.cluster import Cluster
from telco_stream.kafka.topics import Topic, compacted_topics, init_topics
from telco_stream.runtime.signals import Stop, Stopped
from telco_stream.settings import Settings, TopicSettings
from tests.support.consumer_harness import customers, settings_of
from tests.support.in_process import run_in_process
from tests.support.mock_cluster import MockCluster
from tests.support.topics import Topics, configure_topic, delete_topics, fresh_topics, send
from tests.support.waiting import wait_until


def settings(kafka: str, names: Topics, **more: Any) -> Settings:
    topics = TopicSettings(raw=names.raw, predictions=names.predictions, deadletter=names.deadletter, **more)
    return Settings(bootstrap_servers=kafka, topics=topics)


def cluster_of(settings_: Settings, timeout: float = 10.0) -> Cluster:
    return Cluster(Clients(settings_, timeout))


def test_init_topics_changes_nothing_when_topics_exist(kafka: str) -> None:
    """A dry run creates nothing and returns the topics that it would create."""
    names = fresh_topics()
    settings_ = settings(kafka, names, retention_ms=3_600_000)
    cluster = cluster_of(settings_)
    expected = [(names.raw, 3), (names.predictions, 3), (names.deadletter, 1)]
    created = [Topic(name, partitions, 1, created=True) for name, partitions in expected]
    assert init_topics(cluster, settings_, dry_run=True).topics == created
    assert not {names.raw, names.predictions, names.deadletter} & cluster.topics().keys()
    assert init_topics(cluster, settings_).topics == created
    wait_until(lambda: {name for name, _ in expected} <= cluster.topics().keys(), 10, "the topics in the metadata")
    assert init_topics(cluster, settings_).topics == [Topic(name, count, 1, created=False) for name, count in expected]
    assert config(kafka, names.predictions, "max.message.bytes") == "4194304"
    assert config(kafka, names.deadletter, "max.message.bytes") == "2097152"
    assert config(kafka, names.raw, "retention.ms") == "3600000"
    delete_topics(kafka, names)


def test_init_topics_raises_when_a_topic_has_too_few_partitions(kafka: str, topics: Topics) -> None:
    settings_ = settings(kafka, topics, raw_partitions=5)
    with pytest.raises(errors.UsageError, match=f"{topics.raw} has 3 of 5 partitions") as caught:
        init_topics(cluster_of(settings_), settings_)
    assert caught.value.exit_code == 2


def test_init_topics_accepts_a_topic_with_more_partitions(kafka: str, topics: Topics) -> None:
    settings_ = settings(kafka, topics, raw_partitions=1)
    assert not any(topic.created for topic in init_topics(cluster_of(settings_), settings_).topics)


def test_init_topics_raises_when_replication_is_impossible(kafka: str) -> None:
    settings_ = settings(kafka, fresh_topics(), replication_factor=3)
    with pytest.raises(errors.KafkaError, match="was not created"):
        init_topics(cluster_of(settings_), settings_)


def test_partitions_names_the_topic_when_it_is_missing(kafka: str, topics: Topics) -> None:
    with pytest.raises(errors.KafkaError, match=r"no-such-topic.*topics init"):
        cluster_of(settings(kafka, topics)).partitions(topics.raw, "no-such-topic")


@pytest.mark.parametrize(
    ("missing", "name"),
    [
        ("raw", "--topic"),
        ("predictions", "TELCO_STREAM_TOPICS__PREDICTIONS"),
        ("deadletter", "TELCO_STREAM_TOPICS__DEADLETTER"),
    ],
)
def test_missing_topic_error_names_what_sets_its_name(kafka: str, topics: Topics, missing: str, name: str) -> None:
    """The name may be misspelt."""
    cluster = cluster_of(settings(kafka, replace(topics, **{missing: "no-such-topic"})))
    for request in (cluster.partitions, cluster.topic_ids):
        with pytest.raises(errors.KafkaError, match=rf"topics init`, or correct {name}$"):
            request("no-such-topic")


def test_starts_and_ends_return_offsets_by_partition(kafka: str, topics: Topics) -> None:
    send(kafka, topics.raw, customers(range(4)), partition=1)
    cluster = cluster_of(settings(kafka, topics))
    assert cluster.partitions(topics.raw, topics.deadletter) == {topics.raw: 3, topics.deadletter: 1}
    assert cluster.ends(topics.raw, range(3)) == {0: 0, 1: 4, 2: 0}
    assert cluster.starts(topics.raw, range(3)) == {0: 0, 1: 0, 2: 0}
    assert cluster.largest_message(topics.deadletter, 1) == 2_097_152


def test_cluster_names_the_broker_when_it_times_out() -> None:
    with pytest.raises(errors.KafkaError, match=r"localhost:1 doesn't answer within 0\.6 s"):
        cluster_of(Settings(bootstrap_servers="localhost:1"), 0.6).topics()


def test_cluster_raises_stopped_when_stopped() -> None:
    stop = Stop()
    stop.request()
    with pytest.raises(Stopped):
        Cluster(Clients(Settings(bootstrap_servers="localhost:1")), stop).topics()


def test_largest_message_is_the_default_when_unknown(embedded: MockCluster, embedded_topics: Topics) -> None:
    """The embedded broker cannot describe a topic."""
    assert cluster_of(settings_of(embedded.bootstrap, embedded_topics)).largest_message(embedded_topics.raw, 77) == 77


def test_compacted_topics_returns_those_that_are_known(
    kafka: str, topics: Topics, embedded: MockCluster, embedded_topics: Topics
) -> None:
    configure_topic(kafka, topics.raw, "cleanup.policy", "compact,delete")
    names = (topics.raw, topics.predictions)
    assert compacted_topics(cluster_of(settings(kafka, topics)).topic_configs(*names, "no-such-topic")) == [topics.raw]
    embedded_cluster = cluster_of(settings_of(embedded.bootstrap, embedded_topics))
    assert compacted_topics(embedded_cluster.topic_configs(embedded_topics.raw)) == []


def test_topics_init_warns_when_a_topic_is_compacted(kafka: str, topics: Topics) -> None:
    configure_topic(kafka, topics.predictions, "cleanup.policy", "compact")
    run = run_in_process("topics", "init", "--dry-run", env=topics.env(kafka))
    assert (run.code, run.err.count("is compacted")) == (0, 1), run.err
    assert f"Topic {topics.predictions} is compacted" in run.err


def test_topics_init_says_that_a_dry_run_creates_nothing(kafka: str, topics: Topics) -> None:
    run = run_in_process("topics", "init", "--dry-run", "--topic", "other.raw", env=topics.env(kafka))
    assert run.err == "Nothing was created. Without --dry-run, 1 topic would be.\n"
    assert "other.raw" not in cluster_of(settings(kafka, topics)).topics()


def config(kafka: str, topic: str, name: str) -> str:
    admin = AdminClient({"bootstrap.servers": kafka})
    resource = ConfigResource(ResourceType.TOPIC, topic)
    return str(admin.describe_configs([resource])[resource].result(10)[name].value)
