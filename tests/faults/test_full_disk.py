"""A broker with a full disk: it continues without the disk, whose partitions lose their leader."""

from collections.abc import Callable, Iterator

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    BrokerMetadata,
    ClusterMetadata,
    PartitionMetadata,
    TopicMetadata,
)
from confluent_kafka.cimpl import NewTopic

from telco_stream import errors
from telco_stream.consume.run import ConsumeOptions
from telco_stream.kafka.error_policy import failed_disk
from telco_stream.runtime.choices import DeliveryGuarantee
from tests.conftest import require_containers
from tests.support.cli import RunningCli
from tests.support.consumer_harness import RunningConsumer, customers, settings_of
from tests.support.kafka_container import QUICK_RESTART, SMALL, KafkaContainer
from tests.support.mock_cluster import MockCluster
from tests.support.topics import Topics, create_topics, fresh_topics, read_topic, send
from tests.support.waiting import wait_until

DISK = "/small"
DELIVERIES: list[DeliveryGuarantee] = ["exactly-once", "at-least-once"]


@pytest.fixture
def small_disk(pytestconfig: pytest.Config) -> Iterator[KafkaContainer]:
    """A real Kafka with a small and a large disk; the internal topics are on the large one."""
    require_containers(pytestconfig)
    disks = {"log_dirs": f"/tmp/kraft-combined-logs,{DISK}", "metadata_log_dir": "/tmp/kraft-combined-logs"}
    inner = SMALL | {"offsets_topic_num_partitions": "1", "transaction_state_log_num_partitions": "1"}
    container = KafkaContainer(**QUICK_RESTART, **disks, **inner).with_tmpfs_mount(DISK, "size=24m,mode=1777")
    with container:
        yield container


@pytest.mark.own_broker
def test_command_exits_3_when_the_disk_is_full(
    small_disk: KafkaContainer, start_cli: Callable[..., RunningCli]
) -> None:
    """With both delivery guarantees; otherwise the records for these partitions would be retried forever."""
    kafka = small_disk.bootstrap
    topics = _lay_out(small_disk)
    readable = min({0, 1, 2} - _on_small_disk(small_disk, topics.raw))
    send(kafka, topics.raw, customers(range(100)), readable)
    env = topics.env(kafka) | {"TELCO_STREAM_KAFKA__TRANSACTION__TIMEOUT__MS": "6000"}
    groups = {delivery: f"{topics.group}-{delivery}" for delivery in DELIVERIES}
    command = ("consume", "--restart")  # the second group can see answers of the first
    runs = [start_cli(*command, "--delivery", delivery, "--group", name, env=env) for delivery, name in groups.items()]
    wait_until(lambda: len(read_topic(kafka, topics.predictions)) == 200, 60, "both groups' answers")
    assert small_disk.exec(["dd", "if=/dev/zero", f"of={DISK}/filler", "bs=1k"]).exit_code != 0
    # More than the space that a file replaced by the broker can free.
    send(kafka, topics.raw, customers(range(100, 3_000)), readable)
    for run in runs:
        assert run.wait(60) == 3, run.stderr()
        assert "Leader not available" in run.stderr().splitlines()[-1]
        assert "disk" in run.stderr().splitlines()[-1]


@pytest.mark.parametrize("delivery", DELIVERIES)
def test_command_exits_3_when_a_live_broker_leads_no_partition(
    embedded: MockCluster, embedded_topics: Topics, delivery: DeliveryGuarantee, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("telco_stream.kafka.sink._CHECK_INTERVAL", 1.0)
    send(embedded.bootstrap, embedded_topics.raw, customers(range(30)))
    for number in range(3):
        embedded.move_leader(embedded_topics.predictions, number, -1)
    settings = settings_of(embedded.bootstrap, embedded_topics, {"transaction.timeout.ms": "3000"})
    running = RunningConsumer(settings, ConsumeOptions("streaming", delivery))
    with pytest.raises(errors.KafkaError, match=r"Leader not available.*disk"):
        running.result(30)


def test_partition_is_lost_when_all_its_brokers_are_alive() -> None:
    error = failed_disk(_metadata(leader=-1, replicas=[1, 2], brokers=[1, 2, 3]), "predictions")
    assert error is not None
    assert error.code() == KafkaError.KAFKA_STORAGE_ERROR


@pytest.mark.parametrize(
    ("leader", "replicas", "brokers"), [(1, [1], [1]), (-1, [1], []), (-1, [1, 2], [2, 3]), (-1, [], [1])]
)
def test_lost_partitions_excludes_led_and_unreachable_ones(
    leader: int, replicas: list[int], brokers: list[int]
) -> None:
    assert failed_disk(_metadata(leader=leader, replicas=replicas, brokers=brokers), "predictions") is None


def _metadata(*, leader: int, replicas: list[int], brokers: list[int]) -> ClusterMetadata:
    """Return the metadata of a topic with one partition."""
    metadata, topic, partition = ClusterMetadata(), TopicMetadata(), PartitionMetadata()
    partition.leader, partition.replicas = leader, replicas
    topic.partitions = {0: partition}
    metadata.brokers = {number: BrokerMetadata() for number in brokers}
    metadata.topics = {"predictions": topic}
    return metadata


def _lay_out(container: KafkaContainer) -> Topics:
    """Create the topics so that the small disk has predictions, and the large one has the internal topics and input.

    A broker picks the disk with the fewest partitions, in any order of the partitions that are created together.
    """
    kafka = container.bootstrap
    group = Consumer({"bootstrap.servers": kafka, "group.id": "first"})
    wait_until(lambda: _has_coordinator(group), 30, "the topic of the groups' offsets")
    group.close()
    admin = AdminClient({"bootstrap.servers": kafka})
    admin.create_topics([NewTopic("second", 1, 1)])["second"].result(15)
    Producer({"bootstrap.servers": kafka, "transactional.id": "third"}).init_transactions(15)
    for _ in range(20):
        create_topics(kafka, topics := fresh_topics())
        if _on_small_disk(container, topics.predictions) and _on_small_disk(container, topics.raw) != {0, 1, 2}:
            return topics
    pytest.fail("20 layouts without predictions on the small disk and input on the large one")


def _has_coordinator(group: Consumer) -> bool:
    """Return whether the group has a coordinator: the first request creates the topic, which has no leader at first."""
    try:
        return bool(group.committed([TopicPartition("nothing", 0)], timeout=15))
    except KafkaException:
        return False


def _on_small_disk(container: KafkaContainer, topic: str) -> set[int]:
    listed = container.exec(["ls", DISK]).output.decode().split()
    assert not [folder for folder in listed if folder.startswith("__")], listed
    return {int(folder.rpartition("-")[2]) for folder in listed if folder.startswith(topic)}
