"""A sink whose client's queue is limited in bytes, on the embedded broker."""

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer

from telco_stream.kafka.sink import Sink
from telco_stream.messages.record import Outgoing
from telco_stream.runtime.signals import Stop
from tests.support.mock_cluster import Api, MockCluster
from tests.support.topics import Topics, read_topic

#: Bytes of the client's queue, and of a message that fits into it only once the small ones are delivered.
QUEUE, LARGE = 10_240, 9_000


def sink_of(embedded: MockCluster) -> Sink:
    limits = {"queue.buffering.max.kbytes": QUEUE // 1024, "message.max.bytes": 1_000_000}
    return Sink(Producer({"bootstrap.servers": embedded.bootstrap, **limits}), Stop())


def message(size: int) -> Outgoing:
    return b"key", b"x" * size, []


def test_sink_waits_for_enough_bytes(embedded: MockCluster, embedded_topics: Topics) -> None:
    embedded.push_errors(Api.PRODUCE, KafkaError.NOT_ENOUGH_REPLICAS)  # one of two requests is confirmed later
    sink = sink_of(embedded)
    for partition in range(2):
        sink.send(embedded_topics.raw, [message(QUEUE // 2 - 500)], partition)
    sink.send(embedded_topics.raw, [message(LARGE)], partition=2)
    sink.flush()
    assert {record.partition for record in read_topic(embedded.bootstrap, embedded_topics.raw)} == {0, 1, 2}


@pytest.mark.parametrize("before", [0, 3])
def test_sink_rejects_a_message_larger_than_its_queue(
    embedded: MockCluster, embedded_topics: Topics, before: int
) -> None:
    sizes = [*[100] * before, 2 * QUEUE]
    with pytest.raises(KafkaException) as raised:
        sink_of(embedded).send(embedded_topics.raw, map(message, sizes), partition=0)
    assert raised.value.args[0].code() == KafkaError.MSG_SIZE_TOO_LARGE
