"""`status` on a real Kafka: counts and ages that neither markers nor aborted records distort."""

import time
from collections.abc import Callable
from functools import partial

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from telco_stream.kafka.clients import Clients
from telco_stream.kafka.offsets import CommitMetadata, encode_commit_metadata
from telco_stream.runtime.signals import Stop
from telco_stream.settings import load
from telco_stream.status import StatusResult, exceeded, status
from tests.support.topics import Topics, send

Ask = Callable[..., StatusResult]


@pytest.fixture
def ask(kafka: str, topics: Topics) -> Ask:
    """The status now, or `later` seconds from now."""

    def ask(later: float = 0) -> StatusResult:
        names = {"raw": topics.raw, "predictions": topics.predictions, "deadletter": topics.deadletter}
        flags = {"bootstrap_servers": kafka} | {f"topics.{name}": topic for name, topic in names.items()}
        return status(Clients(load(flags, environ={})), topics.group, now=time.time() + later, stop=Stop())

    return ask


def _transaction(bootstrap: str, topics: Topics, topic: str, *values: bytes, abort: bool = False) -> None:
    """Into partition 0; takes an offset more than there are values."""
    producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": topics.transactional_id})
    producer.init_transactions(15)
    producer.begin_transaction()
    for value in values:
        producer.produce(topic, value, partition=0)
        producer.poll(0)
    assert producer.flush(60) == 0
    (producer.abort_transaction if abort else producer.commit_transaction)(15)


def _commit(bootstrap: str, topics: Topics, *offsets: int) -> None:
    """One offset a partition of the raw topic, from 0 on."""
    client = Consumer({"bootstrap.servers": bootstrap, "group.id": topics.group})
    places = [TopicPartition(topics.raw, number, offset) for number, offset in enumerate(offsets)]
    client.commit(offsets=places, asynchronous=False)
    client.close()


def _values(count: int) -> list[tuple[None, bytes, list[tuple[str, bytes]]]]:
    return [(None, b"{}", [])] * count


def test_empty_topics_and_a_group_that_never_was(ask: Ask, topics: Topics) -> None:
    result = ask()
    assert (result.lag, result.dead_letters, result.newest_prediction_age_seconds) == (0, 0, None)
    assert (result.group, result.state, result.members) == (topics.group, "dead", 0)
    assert [(one.topic, one.partitions) for one in result.topics] == list(topics.partitions().items())
    assert [(one.partition, one.committed, one.end, one.lag) for one in result.partitions] == [
        (0, None, 0, 0),
        (1, None, 0, 0),
        (2, None, 0, 0),
    ]


def test_the_lag_of_each_partition_and_its_sum(ask: Ask, kafka: str, topics: Topics) -> None:
    """A partition without a commit lags by all it keeps."""
    for partition, count in enumerate([5, 3, 4]):
        send(kafka, topics.raw, _values(count), partition)
    _commit(kafka, topics, 2, 3)
    result = ask()
    assert [(one.committed, one.end, one.lag) for one in result.partitions] == [(2, 5, 3), (3, 3, 0), (None, 4, 4)]
    assert result.lag == 7
    assert result.topics[0].end_offsets == {0: 5, 1: 3, 2: 4}
    assert result.state == "empty"


def test_markers_and_aborted_records_are_no_lag(ask: Ask, kafka: str, topics: Topics) -> None:
    """Nothing is left to answer, though the group stands before a marker and a record that never came to be."""
    _transaction(kafka, topics, topics.raw, b"a", b"b")
    _transaction(kafka, topics, topics.raw, b"gone", abort=True)
    _commit(kafka, topics, 1)
    assert ask().lag == 1
    _commit(kafka, topics, 2)
    assert ask().lag == 0
    assert ask().topics[0].end_offsets[0] == 5


def test_deleted_inputs_are_no_lag(ask: Ask, kafka: str, topics: Topics) -> None:
    send(kafka, topics.raw, _values(6), 0)
    _commit(kafka, topics, 1)
    admin = AdminClient({"bootstrap.servers": kafka})
    for done in admin.delete_records([TopicPartition(topics.raw, 0, 4)]).values():
        done.result(20)
    assert ask().lag == 2
    assert ask().topics[0].start_offsets[0] == 4
    assert ask().expired_unanswered == 3, "though no consumer has found it out yet"


def test_status_keeps_what_expired_when_the_group_moved_on(ask: Ask, kafka: str, topics: Topics) -> None:
    send(kafka, topics.raw, _values(6), 0)
    metadata = encode_commit_metadata(CommitMetadata(expired_unanswered=40))
    client = Consumer({"bootstrap.servers": kafka, "group.id": topics.group})
    client.commit(offsets=[TopicPartition(topics.raw, 0, 5, metadata)], asynchronous=False)
    client.close()
    result = ask()
    assert (result.expired_unanswered, result.partitions[0].expired_unanswered, result.lag) == (40, 40, 1)


def test_status_ignores_a_commit_of_an_earlier_topic(ask: Ask, kafka: str, topics: Topics) -> None:
    send(kafka, topics.raw, _values(6), 0)
    metadata = encode_commit_metadata(CommitMetadata(topic_id="J8qXRwI-Q3SPDXpBcbgeBg", expired_unanswered=40))
    client = Consumer({"bootstrap.servers": kafka, "group.id": topics.group})
    client.commit(offsets=[TopicPartition(topics.raw, 0, 5, metadata)], asynchronous=False)
    client.close()
    result = ask()
    assert (result.expired_unanswered, result.partitions[0].committed, result.lag) == (0, None, 6)


def test_a_large_lag_is_told_by_its_offsets(ask: Ask, kafka: str, topics: Topics) -> None:
    """Above 10,000 one marker more doesn't matter, and reading them would."""
    _transaction(kafka, topics, topics.raw, *[b"{}"] * 10_000)
    assert ask().lag == 10_001


def test_dead_letters_are_counted_without_markers(ask: Ask, kafka: str, topics: Topics) -> None:
    _transaction(kafka, topics, topics.deadletter, b"a")
    _transaction(kafka, topics, topics.deadletter, b"b", b"c")
    _transaction(kafka, topics, topics.deadletter, b"gone", abort=True)
    assert ask().dead_letters == 3


def test_the_newest_prediction_is_found_behind_markers_and_a_long_aborted_tail(
    ask: Ask, kafka: str, topics: Topics
) -> None:
    """Longer than the first look back."""
    before = time.time()
    _transaction(kafka, topics, topics.predictions, b"{}")
    after = time.time()
    _transaction(kafka, topics, topics.predictions, *[b"gone"] * 1_500, abort=True)
    asked = time.time()
    age = ask().newest_prediction_age_seconds
    assert age is not None
    assert asked - after - 0.01 <= age <= asked - before + 0.5
    assert ask(later=100).newest_prediction_age_seconds == pytest.approx(100 + time.time() - after, abs=10)


def test_a_prediction_from_a_clock_that_is_ahead_is_not_younger_than_now(ask: Ask, kafka: str, topics: Topics) -> None:
    send(kafka, topics.predictions, _values(1), 0)
    assert ask(later=-100).newest_prediction_age_seconds == 0


def test_a_topic_of_aborted_predictions_has_no_newest_one(ask: Ask, kafka: str, topics: Topics) -> None:
    _transaction(kafka, topics, topics.predictions, b"gone", abort=True)
    assert ask().newest_prediction_age_seconds is None


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_a_running_group_is_seen_and_not_disturbed(ask: Ask, kafka: str, topics: Topics, protocol: str) -> None:
    send(kafka, topics.raw, _values(1), 0)
    rebalances: list[int] = []
    properties = {"bootstrap.servers": kafka, "group.id": topics.group, "group.protocol": protocol}
    member = Consumer(properties | {"auto.offset.reset": "earliest", "enable.auto.commit": False})
    member.subscribe([topics.raw], on_assign=lambda _, partitions: rebalances.append(len(partitions)))
    assert member.poll(20) is not None
    result = ask()
    member.poll(0.2)
    member.close()
    assert (result.state, result.members, rebalances) == ("stable", 1, [3])


def test_limits_that_are_exceeded_are_named() -> None:
    result = partial(StatusResult, "g", "stable", 1, expired_unanswered=0, dead_letters=0, topics=[], partitions=[])
    fine = result(lag=10, newest_prediction_age_seconds=5.0)
    assert exceeded(fine) == []
    assert exceeded(fine, max_lag=10, max_age=5) == []
    assert exceeded(fine, max_lag=9, max_age=4.5) == [
        "the lag of group g is 10, above 9",
        "the newest prediction is 5.0 s old, above 4.5 s",
    ]
    assert exceeded(result(lag=0, newest_prediction_age_seconds=None), max_lag=0, max_age=9) == [
        "there are no predictions"
    ]
