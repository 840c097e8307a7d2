"""The three topics, created once; and the cluster as it is before the first record."""

import pytest
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType  # type: ignore[attr-defined]

from telco_stream import errors
from telco_stream.kafka.clients import Clients
from telco_stream.kafka.cluster import Cluster
from telco_stream.kafka.topics import Topic, compacted_topics, init_topics
from telco_stream.runtime.signals import Stop, Stopped
from telco_stream.settings import Settings, TopicSettings
from tests.support.cli import run_cli
from tests.support.consumer_harness import customers, settings_of
from tests.support.mock_cluster import MockCluster
from tests.support.topics import Topics, configure_topic, delete_topics, fresh_topics, send


def settings(kafka: str, names: Topics, **more: int) -> Settings:
    topics = TopicSettings(raw=names.raw, predictions=names.predictions, deadletter=names.deadletter, **more)
    return Settings(bootstrap_servers=kafka, topics=topics)


def cluster_of(found: Settings, timeout: float = 10.0) -> Cluster:
    return Cluster(Clients(found, timeout))


def test_topics_are_created_once_and_left_alone_after_that(kafka: str) -> None:
    """A dry run creates none, and says what it would."""
    names = fresh_topics()
    found = settings(kafka, names, retention_ms=3_600_000)
    cluster = cluster_of(found)
    wanted = [(names.raw, 3), (names.predictions, 3), (names.deadletter, 1)]
    created = [Topic(name, partitions, 1, created=True) for name, partitions in wanted]
    assert init_topics(cluster, found, dry_run=True).topics == created
    assert not {names.raw, names.predictions, names.deadletter} & cluster.topics().keys()
    assert init_topics(cluster, found).topics == created
    assert init_topics(cluster, found).topics == [Topic(name, count, 1, created=False) for name, count in wanted]
    assert config(kafka, names.deadletter, "max.message.bytes") == "2097152"
    assert config(kafka, names.raw, "retention.ms") == "3600000"
    delete_topics(kafka, names)


def test_too_few_partitions_are_an_error_before_anything_is_created(kafka: str, topics: Topics) -> None:
    found = settings(kafka, topics, raw_partitions=5)
    with pytest.raises(errors.UsageError, match=f"{topics.raw} has 3 of 5 partitions") as caught:
        init_topics(cluster_of(found), found)
    assert caught.value.exit_code == 2


def test_more_partitions_than_wanted_are_fine(kafka: str, topics: Topics) -> None:
    found = settings(kafka, topics, raw_partitions=1)
    assert not any(topic.created for topic in init_topics(cluster_of(found), found).topics)


def test_a_replication_that_the_cluster_can_not_give_is_told_in_its_words(kafka: str) -> None:
    found = settings(kafka, fresh_topics(), replication_factor=3)
    with pytest.raises(errors.KafkaError, match="was not created"):
        init_topics(cluster_of(found), found)


def test_a_missing_topic_is_named_and_how_to_make_it(kafka: str, topics: Topics) -> None:
    with pytest.raises(errors.KafkaError, match=r"no-such-topic.*topics init"):
        cluster_of(settings(kafka, topics)).partitions(topics.raw, "no-such-topic")


def test_where_partitions_begin_and_end(kafka: str, topics: Topics) -> None:
    send(kafka, topics.raw, customers(range(4)), partition=1)
    cluster = cluster_of(settings(kafka, topics))
    assert cluster.partitions(topics.raw, topics.deadletter) == {topics.raw: 3, topics.deadletter: 1}
    assert cluster.ends(topics.raw, range(3)) == {0: 0, 1: 4, 2: 0}
    assert cluster.starts(topics.raw, range(3)) == {0: 0, 1: 0, 2: 0}
    assert cluster.largest_message(topics.deadletter, 1) == 2_097_152


def test_a_cluster_that_does_not_answer_in_time_is_an_error_that_says_where() -> None:
    with pytest.raises(errors.KafkaError, match=r"localhost:1 doesn't answer within 0\.6 s"):
        cluster_of(Settings(bootstrap_servers="localhost:1"), 0.6).topics()


def test_a_wish_to_stop_ends_the_asking() -> None:
    stop = Stop()
    stop.request()
    with pytest.raises(Stopped):
        Cluster(Clients(Settings(bootstrap_servers="localhost:1")), stop).topics()


def test_limits_that_nobody_can_tell_are_the_usual_ones(embedded: MockCluster, embedded_topics: Topics) -> None:
    """The embedded broker has no controller to ask."""
    assert cluster_of(settings_of(embedded.bootstrap, embedded_topics)).largest_message(embedded_topics.raw, 77) == 77


def test_compacted_topics_are_found_as_far_as_known(
    kafka: str, topics: Topics, embedded: MockCluster, embedded_topics: Topics
) -> None:
    configure_topic(kafka, topics.raw, "cleanup.policy", "compact,delete")
    names = (topics.raw, topics.predictions)
    assert compacted_topics(cluster_of(settings(kafka, topics)), *names, "no-such-topic") == [topics.raw]
    there = cluster_of(settings_of(embedded.bootstrap, embedded_topics))
    assert compacted_topics(there, embedded_topics.raw) == []


def test_topics_init_warns_when_a_topic_is_compacted(kafka: str, topics: Topics) -> None:
    configure_topic(kafka, topics.predictions, "cleanup.policy", "compact")
    run = run_cli("topics", "init", "--dry-run", env=topics.env(kafka))
    assert (run.returncode, run.stderr.count("is compacted")) == (0, 1), run.stderr
    assert f"Topic {topics.predictions} is compacted" in run.stderr


def config(kafka: str, topic: str, name: str) -> str:
    admin = AdminClient({"bootstrap.servers": kafka})
    resource = ConfigResource(ResourceType.TOPIC, topic)
    return str(admin.describe_configs([resource])[resource].result(10)[name].value)
