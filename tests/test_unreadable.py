"""Record batches that the client cannot read, on a real Kafka: any producer of the raw topic can send them."""

import time
from collections.abc import Callable

import pytest
from confluent_kafka import Producer

from telco_stream import errors
from telco_stream.checks.status import status
from telco_stream.consume.run import ConsumeOptions
from telco_stream.kafka.clients import Clients
from telco_stream.kafka.cluster import Cluster
from telco_stream.kafka.reading import read
from telco_stream.runtime.signals import Stop
from telco_stream.settings import Settings
from tests.support.consumer_harness import RunningConsumer, answers, customers, settings_of
from tests.support.in_process import run_in_process
from tests.support.topics import Topics, configure_topic, send

#: Records before and after the batch, and records in it; each of its records has 900 kB.
GOOD, PACKED = 3, 120
#: With these limits, a client rejects a response with a record of 2 MB.
SMALL_LIMITS = {"fetch.max.bytes": "1000000", "receive.message.max.bytes": "1500000"}


def send_batch(kafka: str, topic: str, records: int, size: int, compression: str) -> None:
    """Send one record batch to partition 0."""
    limits = {"message.max.bytes": 200_000_000, "batch.size": 200_000_000, "queue.buffering.max.kbytes": 400_000}
    producer = Producer({"bootstrap.servers": kafka, "compression.type": compression, "linger.ms": 2_000, **limits})
    errors_reported: list[object] = []
    for _ in range(records):
        producer.produce(topic, b"\0" * size, partition=0, callback=lambda error, _: errors_reported.append(error))
    assert producer.flush(60) == 0
    assert set(errors_reported) == {None}


@pytest.fixture
def hostile(kafka: str, topics: Topics) -> Topics:
    """Good records in partition 0 before and after a batch of 5 kB that unpacks to 108 MB."""
    send(kafka, topics.raw, customers(range(GOOD)), partition=0)
    send_batch(kafka, topics.raw, PACKED, 900_000, "zstd")
    send(kafka, topics.raw, customers(range(GOOD)), partition=0)
    return topics


@pytest.fixture
def too_large(kafka: str, topics: Topics) -> Topics:
    """A good record in partition 0 before a record of 2 MB."""
    send(kafka, topics.raw, customers([1]), partition=0)
    configure_topic(kafka, topics.raw, "max.message.bytes", "3000000")
    send_batch(kafka, topics.raw, 1, 2_000_000, "none")
    return topics


@pytest.mark.parametrize("order", [ConsumeOptions("batch"), ConsumeOptions(), ConsumeOptions(idle_timeout=2)])
def test_consume_exits_3_at_an_unreadable_batch(kafka: str, hostile: Topics, order: ConsumeOptions) -> None:
    with pytest.raises(errors.KafkaError, match=f"Topic {hostile.raw}, partition 0, offset {GOOD}: "):
        RunningConsumer(settings_of(kafka, hostile), order).result(30)
    assert len(answers(kafka, hostile)) == GOOD, "what stands before it is answered"


@pytest.mark.parametrize("mode", ["batch", "streaming"])
def test_consume_exits_3_when_a_record_is_too_large(kafka: str, too_large: Topics, mode: str) -> None:
    order = ConsumeOptions(mode, "at-least-once")  # type: ignore[arg-type]
    with pytest.raises(errors.KafkaError, match=f"Topic {too_large.raw}, at one of these offsets: 0:1: "):
        RunningConsumer(settings_of(kafka, too_large, SMALL_LIMITS), order).result(30)
    assert len(answers(kafka, too_large)) == 1


def test_consume_names_only_partitions_with_unread_records(kafka: str, topics: Topics) -> None:
    """The first response is too large, so the client has fetched no partition and knows none of their ends."""
    configure_topic(kafka, topics.raw, "max.message.bytes", "3000000")
    send_batch(kafka, topics.raw, 1, 2_000_000, "none")
    with pytest.raises(errors.KafkaError, match=f"Topic {topics.raw}, at one of these offsets: 0:0: "):
        RunningConsumer(settings_of(kafka, topics, SMALL_LIMITS), ConsumeOptions()).result(30)


def test_every_record_is_answered_when_the_limit_is_raised(kafka: str, hostile: Topics) -> None:
    settings = settings_of(kafka, hostile, {"receive.message.max.bytes": "250000000"})
    result = RunningConsumer(settings, ConsumeOptions("batch")).result(60)
    assert (result.predicted, result.dead_lettered) == (2 * GOOD, PACKED)


def read_all(clients: Clients, topics: Topics) -> None:
    list(read(Cluster(clients), topics.raw))


def read_status(clients: Clients, topics: Topics) -> None:
    status(clients, topics.group, now=time.time(), stop=Stop(), is_unknown_allowed=True)


@pytest.mark.parametrize("command", [read_all, read_status])
@pytest.mark.parametrize(("fixture", "properties"), [("hostile", {}), ("too_large", SMALL_LIMITS)])
def test_bounded_command_ends_at_an_unreadable_batch(
    request: pytest.FixtureRequest,
    kafka: str,
    command: Callable[[Clients, Topics], None],
    fixture: str,
    properties: dict[str, str],
) -> None:
    topics: Topics = request.getfixturevalue(fixture)
    settings: Settings = settings_of(kafka, topics, properties)
    with pytest.raises(errors.KafkaError, match="cannot be read"):
        command(Clients(settings, 4), topics)


def test_replay_exits_3_when_the_dead_letters_are_unreadable(kafka: str, topics: Topics) -> None:
    send_batch(kafka, topics.deadletter, PACKED, 900_000, "zstd")
    done = run_in_process("dlq", "replay", "--timeout", "4", env=topics.env(kafka))
    assert done.code == 3
    assert f"Topic {topics.deadletter}, partition 0, offset 0: " in done.err
