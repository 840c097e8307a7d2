"""A topic that is deleted and created again, during a run or between two runs: only its ID changes."""

import time
from contextlib import suppress

import pytest
from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from telco_stream import errors
from telco_stream.consume.run import ConsumeOptions
from telco_stream.kafka.offsets import CommitMetadata, encode_commit_metadata
from tests.support.consumer_harness import RunningConsumer, answers, customers, settings_of
from tests.support.topics import StoredRecord, Topics, send, topic_id, wait_for_new_id

STREAMING = ConsumeOptions("streaming", "exactly-once")
BATCH = ConsumeOptions("batch", "exactly-once")


def recreate(kafka: str, topic: str, partitions: int = 3) -> None:
    """Delete a topic and create it again as fast as the broker allows."""
    admin, before = AdminClient({"bootstrap.servers": kafka}), topic_id(kafka, topic)
    admin.delete_topics([topic])[topic].result(20)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with suppress(KafkaException):
            admin.create_topics([NewTopic(topic, partitions, 1)])[topic].result(20)
            break
    wait_for_new_id(kafka, topic, before)


def by_topic_id(kept: list[StoredRecord]) -> dict[str, list[str]]:
    """Return the positions that are answered, by the ID of the raw topic."""
    positions: dict[str, list[str]] = {}
    for answer in kept:
        positions.setdefault(answer.header("source.topic.id") or "", []).append(answer.header("source") or "")
    return positions


@pytest.mark.parametrize("kafka_settings", [{}, {"group.protocol": "consumer"}], ids=["classic", "consumer"])
def test_consume_exits_3_when_its_topic_is_recreated(
    kafka: str, topics: Topics, kafka_settings: dict[str, str]
) -> None:
    """No record of the new topic is answered; the next run answers all of them."""
    settings = settings_of(kafka, topics, kafka_settings)
    before = topic_id(kafka, topics.raw)
    send(kafka, topics.raw, customers(range(50)), partition=0)
    running = RunningConsumer(settings, STREAMING)
    running.wait_for(50)
    recreate(kafka, topics.raw)
    send(kafka, topics.raw, customers(range(400)), partition=0)
    with pytest.raises(errors.KafkaError, match="deleted and created again"):
        running.result(20)
    assert running.consumed == 50
    assert RunningConsumer(settings, BATCH).result().consumed == 400
    answered = by_topic_id(answers(kafka, topics))
    expected = [f"{topics.raw}/0/{offset}" for offset in range(400)]
    assert sorted(answered[topic_id(kafka, topics.raw)]) == sorted(expected)
    assert sorted(answered[before]) == sorted(expected[:50])


@pytest.mark.parametrize(("partitions", "count"), [(3, 30), (3, 60), (1, 60)])
def test_consume_starts_at_beginning_when_topic_was_recreated(
    kafka: str, topics: Topics, partitions: int, count: int
) -> None:
    """The old offset is within the new partition, beyond its end, or in a partition that no longer exists.

    Kafka forgets a deleted topic's offsets; a commit that was on its way then may survive the topic.
    """
    settings = settings_of(kafka, topics)
    before = topic_id(kafka, topics.raw)
    recreate(kafka, topics.raw, partitions)
    group = Consumer({"bootstrap.servers": kafka, "group.id": topics.group})
    metadata = encode_commit_metadata(CommitMetadata(topic_id=before))
    offsets = [TopicPartition(topics.raw, number, 50, metadata) for number in range(partitions)]
    group.commit(offsets=offsets, asynchronous=False)
    group.close()
    send(kafka, topics.raw, customers(range(count)), partition=0)
    assert RunningConsumer(settings, BATCH).result().consumed == count


def test_consume_exits_3_when_its_topic_is_deleted(kafka: str, topics: Topics) -> None:
    send(kafka, topics.raw, customers(range(5)))
    running = RunningConsumer(settings_of(kafka, topics), STREAMING)
    running.wait_for(5)
    admin = AdminClient({"bootstrap.servers": kafka})
    admin.delete_topics([topics.raw])[topics.raw].result(20)
    with pytest.raises(errors.KafkaError, match=topics.raw):
        running.result(30)


def test_consume_continues_when_an_answer_topic_is_recreated(kafka: str, topics: Topics) -> None:
    """Earlier answers are lost; later ones are written to the new topic."""
    send(kafka, topics.raw, customers(range(5)))
    running = RunningConsumer(settings_of(kafka, topics), STREAMING)
    running.wait_for(5)
    recreate(kafka, topics.predictions)
    send(kafka, topics.raw, customers(range(5, 10)))
    running.wait_for(10)
    running.end()
    assert len(answers(kafka, topics)) == 5
