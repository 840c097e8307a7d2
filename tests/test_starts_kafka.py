"""Start offsets of partitions on a real Kafka, with each group protocol."""

import threading

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions

from telco_stream.consume.run import ConsumeOptions
from telco_stream.contract.events import Event
from telco_stream.kafka.offsets import decode_commit_metadata
from tests.support.consumer_harness import RunningConsumer, answers, coordinates, customers, settings_of, sources
from tests.support.records import RuleScorer
from tests.support.topics import Topics, read_topic, send, wait_for_topics
from tests.support.waiting import wait_until

BATCH = ConsumeOptions("batch", "exactly-once")
STREAMING = ConsumeOptions("streaming", "exactly-once")
PROTOCOLS = [
    {"partition.assignment.strategy": "range"},
    {"partition.assignment.strategy": "cooperative-sticky"},
    {"group.protocol": "consumer"},
]


@pytest.fixture(params=PROTOCOLS, ids=["range", "cooperative", "consumer"])
def protocol(request: pytest.FixtureRequest) -> dict[str, str]:
    properties: dict[str, str] = request.param
    return properties


def committed(kafka: str, topics: Topics, partitions: int = 3) -> dict[int, TopicPartition]:
    group = Consumer({"bootstrap.servers": kafka, "group.id": topics.group})
    offsets = group.committed([TopicPartition(topics.raw, number) for number in range(partitions)], timeout=15)
    group.close()
    return {offset.partition: offset for offset in offsets}


def delete_before(kafka: str, topics: Topics, offset: int) -> None:
    """Delete the records of partition 0 below the offset, as retention does."""
    admin = AdminClient({"bootstrap.servers": kafka})
    for deleted in admin.delete_records([TopicPartition(topics.raw, 0, offset)]).values():
        deleted.result(20)


def test_latest_skips_nothing_between_two_runs(kafka: str, topics: Topics, protocol: dict[str, str]) -> None:
    """50 records arrive on a partition that was empty during the first run."""
    settings = settings_of(kafka, topics, protocol, auto_offset_reset="latest")
    send(kafka, topics.raw, customers(range(7)), partition=0)
    first = RunningConsumer(settings, STREAMING)
    first.wait_for_start(0, 1, 2)
    first.end()
    send(kafka, topics.raw, customers(range(50)), partition=0)
    assert RunningConsumer(settings, BATCH).result().consumed == 50
    inputs = [record for record in read_topic(kafka, topics.raw) if record.offset >= 7]
    assert sources(answers(kafka, topics)) == coordinates(inputs)


def test_latest_skips_nothing_on_an_added_partition(kafka: str, topics: Topics) -> None:
    settings = settings_of(kafka, topics, {"topic.metadata.refresh.interval.ms": "500"}, auto_offset_reset="latest")
    running = RunningConsumer(settings, STREAMING)
    running.wait_for_start(0, 1, 2)
    admin = AdminClient({"bootstrap.servers": kafka})
    admin.create_partitions([NewPartitions(topics.raw, 4)])[topics.raw].result(20)
    wait_for_topics(kafka, {topics.raw: 4})
    send(kafka, topics.raw, customers(range(50)), partition=3)
    running.wait_for(50)
    running.end()
    assert committed(kafka, topics, 4)[3].offset == 50


def test_consume_commits_a_start_at_once(kafka: str, topics: Topics, protocol: dict[str, str]) -> None:
    send(kafka, topics.raw, customers(range(7)), partition=0)
    running = RunningConsumer(settings_of(kafka, topics, protocol, auto_offset_reset="latest"), STREAMING)
    running.wait_for_start(0, 1, 2)
    offsets = committed(kafka, topics)
    running.end()
    assert {partition: committed.offset for partition, committed in offsets.items()} == {0: 7, 1: 0, 2: 0}


def test_expired_records_are_counted_when_a_run_starts(
    kafka: str, topics: Topics, protocol: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    settings = settings_of(kafka, topics, protocol, auto_offset_reset="latest")
    first = RunningConsumer(settings, STREAMING)
    first.wait_for_start(0)
    first.end()
    send(kafka, topics.raw, customers(range(400)), partition=0)
    delete_before(kafka, topics, 300)
    assert RunningConsumer(settings, BATCH).result().consumed == 100
    assert decode_commit_metadata(committed(kafka, topics)[0].metadata).expired_unanswered == 300
    warned = [record for record in caplog.records if getattr(record, "event", "") == "expired_unanswered"]
    assert [record.facts for record in warned] == [  # type: ignore[attr-defined]
        {"topic": topics.raw, "partition": 0, "offset": 300, "count": 300}
    ]


def test_expired_records_are_counted_when_a_run_is_overtaken(kafka: str, topics: Topics) -> None:
    """Retention deletes records that the client has not fetched, while a batch is scored."""
    small = {"queued.min.messages": "1", "queued.max.messages.kbytes": "1", "fetch.message.max.bytes": "1024"}
    settings = settings_of(kafka, topics, small | {"fetch.queue.backoff.ms": "1"}, max_poll_records=10)
    is_scoring, may_answer = threading.Event(), threading.Event()

    def rule(_: Event) -> float:
        is_scoring.set()
        assert may_answer.wait(30)
        return 0.25

    running = RunningConsumer(settings, STREAMING, RuleScorer(rule))
    send(kafka, topics.raw, customers(range(3_000)), partition=0)
    assert is_scoring.wait(20)
    delete_before(kafka, topics, 2_900)
    may_answer.set()
    running.wait_for(101)
    wait_until(lambda: committed(kafka, topics)[0].offset == 3_000, 30, "the end of the partition")
    running.end()
    answered = [int((answer.header("source") or "").rpartition("/")[2]) for answer in answers(kafka, topics)]
    expired = decode_commit_metadata(committed(kafka, topics)[0].metadata).expired_unanswered
    assert sorted(set(answered)) == sorted(answered)
    assert 0 < expired < 2_900
    assert len(answered) + expired == 3_000


@pytest.mark.parametrize("reset", ["earliest", "latest"])
def test_consume_starts_at_the_oldest_when_out_of_range(kafka: str, topics: Topics, reset: str) -> None:
    """Beyond the end: a broker has lost records, or the offset was set by hand."""
    send(kafka, topics.raw, customers(range(50)), partition=0)
    group = Consumer({"bootstrap.servers": kafka, "group.id": topics.group})
    group.commit(offsets=[TopicPartition(topics.raw, 0, 1_000)], asynchronous=False)
    group.close()
    running = RunningConsumer(settings_of(kafka, topics, auto_offset_reset=reset), STREAMING)
    running.wait_for(50)
    running.end()
    assert committed(kafka, topics)[0].offset == 50


def test_consume_commits_the_marker_after_the_last_record(kafka: str, topics: Topics) -> None:
    """Otherwise the marker would count as an unanswered record once retention has deleted it."""
    send(kafka, topics.raw, customers(range(5)), partition=0)
    _send_in_transaction(kafka, topics)
    assert RunningConsumer(settings_of(kafka, topics), BATCH).result().consumed == 6
    assert committed(kafka, topics)[0].offset == 7


def _send_in_transaction(kafka: str, topics: Topics) -> None:
    producer = Producer({"bootstrap.servers": kafka, "transactional.id": topics.transactional_id})
    producer.init_transactions(15)
    producer.begin_transaction()
    for key, value, _ in customers([5]):
        producer.produce(topics.raw, value, key, 0)
    producer.commit_transaction(15)
