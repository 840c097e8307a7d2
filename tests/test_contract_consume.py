"""Contract of consuming: the same in memory, on the embedded broker and on a real Kafka."""

import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from telco_stream.kafka.source import KafkaSource
from tests.conftest import Broker
from tests.support.consumer_harness import customers, sources
from tests.support.contract_harness import BrokerEnvironment, ContractHarness, MemoryEnvironment
from tests.support.topics import Outgoing, StoredRecord

BAD: Outgoing = ("bad", b"not JSON", [("traceparent", b"00-1")])


@pytest.fixture(
    params=[
        ("memory", "at-least-once"),
        ("memory", "exactly-once"),
        ("embedded", "at-least-once"),
        pytest.param(("real", "at-least-once"), marks=pytest.mark.real),
        pytest.param(("real", "exactly-once"), marks=pytest.mark.real),
    ],
    ids="-".join,
)
def harness(request: pytest.FixtureRequest) -> Iterator[ContractHarness]:
    kind, delivery = request.param
    if kind == "memory":
        yield ContractHarness(MemoryEnvironment(), delivery)
    elif kind == "embedded":
        cluster, names = request.getfixturevalue("embedded"), request.getfixturevalue("embedded_topics")
        yield ContractHarness(BrokerEnvironment(Broker(cluster.bootstrap, names, real=False)), delivery)
    else:
        address, names = request.getfixturevalue("kafka"), request.getfixturevalue("topics")
        yield ContractHarness(BrokerEnvironment(Broker(address, names, real=True)), delivery)


def test_loop_answers_each_input_once(harness: ContractHarness) -> None:
    harness.environment.put([*customers(range(5)), BAD, *customers(range(5, 9))])
    result = harness.run(10)
    assert (result.predicted, result.dead_lettered) == (9, 1)
    assert sources(harness.environment.answers()) == harness.environment.inputs()


def test_max_messages_adds_up_over_two_runs(harness: ContractHarness) -> None:
    """Ten and ten more are twenty answers to twenty inputs."""
    harness.environment.put(customers(range(23)))
    assert [harness.run(10).consumed, harness.run(10).consumed] == [10, 10]
    answered = sources(harness.environment.answers())
    assert len(answered) == len(set(answered)) == 20


def test_answers_have_the_key_and_headers_of_the_input(harness: ContractHarness) -> None:
    (customer,) = customers([7])
    harness.environment.put([(None, customer[1], [("traceparent", b"00-2"), ("source", b"forged")]), BAD])
    harness.run(2)
    letter, prediction = _two(harness)
    assert (prediction.key, letter.key) == (b"c7", b"bad")
    assert (prediction.header("traceparent"), letter.header("traceparent")) == ("00-2", "00-1")
    assert [value for name, value in prediction.headers if name == "source"] == [
        harness.environment.inputs()[0].encode()
    ]


def test_source_returns_records_again_when_not_committed(harness: ContractHarness) -> None:
    harness.environment.put(customers(range(6)))
    with closing(harness.source()) as source:
        first = _poll(source)
        source.rewind()
        assert _poll(source) == first
    assert harness.run(6).consumed == 6
    assert sources(harness.environment.answers()) == harness.environment.inputs()


def test_consecutive_dead_letters_survive_a_restart(harness: ContractHarness) -> None:
    harness.environment.put([BAD] * 3)
    harness.run(3)
    with closing(harness.source()) as source:
        harness.environment.put([BAD])
        _poll(source)
        assert source.consecutive_dead_letters() == 3


def _two(harness: ContractHarness) -> tuple[StoredRecord, StoredRecord]:
    found = {kept.topic: kept for kept in harness.environment.answers()}
    topics = harness.environment.settings.topics
    return found[topics.deadletter], found[topics.predictions]


def _poll(source: KafkaSource) -> list[int]:
    deadline = time.monotonic() + 20
    while not (records := source.poll_batch(1, 0.5).records):
        assert time.monotonic() < deadline
    return [record.offset() for record in records]
