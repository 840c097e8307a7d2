"""Committed offsets blocked by an open transaction, for example of a killed worker."""

import logging
from collections.abc import Iterator
from dataclasses import replace

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from telco_stream.consume.run import ConsumeOptions
from tests.support.consumer_harness import RunningConsumer, coordinates, customers, settings_of, sources
from tests.support.topics import Topics, read_topic, send
from tests.support.waiting import wait_until

#: Records, the committed offset, and the offset in the open transaction.
RECORDS, COMMITTED, OPEN = 30, 10, 20


@pytest.fixture
def narrow(kafka: str, topics: Topics) -> Iterator[Topics]:
    """A raw topic with one partition: the second member gets none, but its joining causes a rebalance."""
    names, admin = replace(topics, raw=f"{topics.raw}.narrow"), AdminClient({"bootstrap.servers": kafka})
    admin.create_topics([NewTopic(names.raw, 1, 1)], operation_timeout=15)[names.raw].result(20)
    yield names
    admin.delete_topics([names.raw], operation_timeout=15)[names.raw].result(20)


@pytest.fixture
def open_transaction(kafka: str, narrow: Topics) -> Producer:
    """An open transaction with an offset of the group."""
    group = Consumer({"bootstrap.servers": kafka, "group.id": narrow.group, "enable.auto.commit": False})
    group.commit(offsets=[TopicPartition(narrow.raw, 0, COMMITTED)], asynchronous=False)
    producer = Producer({"bootstrap.servers": kafka, "transactional.id": narrow.transactional_id})
    producer.init_transactions(15)
    producer.begin_transaction()
    producer.send_offsets_to_transaction([TopicPartition(narrow.raw, 0, OPEN)], group.consumer_group_metadata(), 15)
    group.close()
    return producer


def test_consume_answers_once_when_offset_is_open_at_a_rebalance(
    kafka: str, narrow: Topics, open_transaction: Producer, caplog: pytest.LogCaptureFixture
) -> None:
    """With its reset policy, the client would start at the first record, as if nothing had been committed."""
    caplog.set_level(logging.DEBUG, "telco_stream")
    send(kafka, narrow.raw, customers(range(RECORDS)))
    settings, order = settings_of(kafka, narrow), ConsumeOptions("streaming", "exactly-once")
    owner = RunningConsumer(settings, order)
    wait_until(lambda: "start offsets are not known yet" in caplog.text, 20, "the owner's request for the offset")
    other = RunningConsumer(settings, order)
    wait_until(lambda: caplog.text.count("assigned partitions") > 1, 20, "the rebalance")
    open_transaction.commit_transaction(15)
    wait_until(lambda: owner.consumed + other.consumed >= RECORDS - OPEN, 60, "all answers")
    for member in (owner, other):
        member.end()
    inputs = [record for record in read_topic(kafka, narrow.raw) if record.offset >= OPEN]
    assert sources(read_topic(kafka, narrow.predictions)) == coordinates(inputs)
