"""`status` on a real Kafka, with transaction markers and aborted records."""

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
from telco_stream.status.run import StatusResult, exceeded, status
from tests.support.topics import Topics, send

Query = Callable[..., StatusResult]


@pytest.fixture
def query(kafka: str, topics: Topics) -> Query:
    """Query the status, with a clock that is `later` seconds ahead."""

    def query(later: float = 0) -> StatusResult:
        names = {"raw": topics.raw, "predictions": topics.predictions, "deadletter": topics.deadletter}
        flags = {"bootstrap_servers": kafka} | {f"topics.{name}": topic for name, topic in names.items()}
        return status(Clients(load(flags, environ={})), topics.group, now=time.time() + later, stop=Stop())

    return query


def _transaction(bootstrap: str, topics: Topics, topic: str, *values: bytes, abort: bool = False) -> None:
    """Write a transaction to partition 0; its marker takes one more offset."""
    producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": topics.transactional_id})
    producer.init_transactions(15)
    producer.begin_transaction()
    for value in values:
        producer.produce(topic, value, partition=0)
        producer.poll(0)
    assert producer.flush(60) == 0
    (producer.abort_transaction if abort else producer.commit_transaction)(15)


def _commit(bootstrap: str, topics: Topics, *offsets: int) -> None:
    """Commit one offset per partition of the raw topic, from partition 0 on."""
    client = Consumer({"bootstrap.servers": bootstrap, "group.id": topics.group})
    positions = [TopicPartition(topics.raw, number, offset) for number, offset in enumerate(offsets)]
    client.commit(offsets=positions, asynchronous=False)
    client.close()


def _values(count: int) -> list[tuple[None, bytes, list[tuple[str, bytes]]]]:
    return [(None, b"{}", [])] * count


def test_status_is_empty_when_topics_and_group_are_new(query: Query, topics: Topics) -> None:
    result = query()
    assert (result.lag, result.dead_letters, result.newest_prediction_age_seconds) == (0, 0, None)
    assert (result.group, result.state, result.members) == (topics.group, "dead", 0)
    assert [(topic.topic, topic.partitions) for topic in result.topics] == list(topics.partitions().items())
    assert [(lag.partition, lag.committed, lag.end, lag.lag) for lag in result.partitions] == [
        (0, None, 0, 0),
        (1, None, 0, 0),
        (2, None, 0, 0),
    ]


def test_status_has_the_lag_of_each_partition_and_in_total(query: Query, kafka: str, topics: Topics) -> None:
    """The lag of a partition without a commit is all its records."""
    for partition, count in enumerate([5, 3, 4]):
        send(kafka, topics.raw, _values(count), partition)
    _commit(kafka, topics, 2, 3)
    result = query()
    assert [(lag.committed, lag.end, lag.lag) for lag in result.partitions] == [(2, 5, 3), (3, 3, 0), (None, 4, 4)]
    assert result.lag == 7
    assert result.topics[0].end_offsets == {0: 5, 1: 3, 2: 4}
    assert result.state == "empty"


def test_status_lag_excludes_markers_and_aborted_records(query: Query, kafka: str, topics: Topics) -> None:
    """Nothing is left to answer, although a marker and an aborted record follow the committed offset."""
    _transaction(kafka, topics, topics.raw, b"a", b"b")
    _transaction(kafka, topics, topics.raw, b"gone", abort=True)
    _commit(kafka, topics, 1)
    assert query().lag == 1
    _commit(kafka, topics, 2)
    assert query().lag == 0
    assert query().topics[0].end_offsets[0] == 5


def test_status_lag_excludes_deleted_inputs(query: Query, kafka: str, topics: Topics) -> None:
    send(kafka, topics.raw, _values(6), 0)
    _commit(kafka, topics, 1)
    admin = AdminClient({"bootstrap.servers": kafka})
    for done in admin.delete_records([TopicPartition(topics.raw, 0, 4)]).values():
        done.result(20)
    assert query().lag == 2
    assert query().topics[0].start_offsets[0] == 4
    assert query().expired_unanswered == 3, "no consumer has noticed it yet"


def test_status_keeps_what_expired_when_the_group_moved_on(query: Query, kafka: str, topics: Topics) -> None:
    send(kafka, topics.raw, _values(6), 0)
    metadata = encode_commit_metadata(CommitMetadata(expired_unanswered=40))
    client = Consumer({"bootstrap.servers": kafka, "group.id": topics.group})
    client.commit(offsets=[TopicPartition(topics.raw, 0, 5, metadata)], asynchronous=False)
    client.close()
    result = query()
    assert (result.expired_unanswered, result.partitions[0].expired_unanswered, result.lag) == (40, 40, 1)


def test_status_ignores_a_commit_of_an_earlier_topic(query: Query, kafka: str, topics: Topics) -> None:
    send(kafka, topics.raw, _values(6), 0)
    metadata = encode_commit_metadata(CommitMetadata(topic_id="J8qXRwI-Q3SPDXpBcbgeBg", expired_unanswered=40))
    client = Consumer({"bootstrap.servers": kafka, "group.id": topics.group})
    client.commit(offsets=[TopicPartition(topics.raw, 0, 5, metadata)], asynchronous=False)
    client.close()
    result = query()
    assert (result.expired_unanswered, result.partitions[0].committed, result.lag) == (0, None, 6)


def test_status_lag_counts_offsets_when_it_is_large(query: Query, kafka: str, topics: Topics) -> None:
    """Above 10,000, a marker more doesn't matter."""
    _transaction(kafka, topics, topics.raw, *[b"{}"] * 10_000)
    assert query().lag == 10_001


def test_status_counts_dead_letters_without_markers(query: Query, kafka: str, topics: Topics) -> None:
    _transaction(kafka, topics, topics.deadletter, b"a")
    _transaction(kafka, topics, topics.deadletter, b"b", b"c")
    _transaction(kafka, topics, topics.deadletter, b"gone", abort=True)
    assert query().dead_letters == 3


def test_status_finds_the_newest_prediction_below_aborted_ones(query: Query, kafka: str, topics: Topics) -> None:
    """There are more aborted ones than the first search reads."""
    before = time.time()
    _transaction(kafka, topics, topics.predictions, b"{}")
    after = time.time()
    _transaction(kafka, topics, topics.predictions, *[b"gone"] * 1_500, abort=True)
    queried_at = time.time()
    age = query().newest_prediction_age_seconds
    assert age is not None
    assert queried_at - after - 0.01 <= age <= queried_at - before + 0.5
    assert query(later=100).newest_prediction_age_seconds == pytest.approx(100 + time.time() - after, abs=10)


def test_status_age_is_0_when_a_prediction_is_in_the_future(query: Query, kafka: str, topics: Topics) -> None:
    send(kafka, topics.predictions, _values(1), 0)
    assert query(later=-100).newest_prediction_age_seconds == 0


def test_status_age_is_none_when_all_predictions_are_aborted(query: Query, kafka: str, topics: Topics) -> None:
    _transaction(kafka, topics, topics.predictions, b"gone", abort=True)
    assert query().newest_prediction_age_seconds is None


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_status_does_not_rebalance_a_running_group(query: Query, kafka: str, topics: Topics, protocol: str) -> None:
    send(kafka, topics.raw, _values(1), 0)
    rebalances: list[int] = []
    properties = {"bootstrap.servers": kafka, "group.id": topics.group, "group.protocol": protocol}
    member = Consumer(properties | {"auto.offset.reset": "earliest", "enable.auto.commit": False})
    member.subscribe([topics.raw], on_assign=lambda _, partitions: rebalances.append(len(partitions)))
    assert member.poll(20) is not None
    result = query()
    member.poll(0.2)
    member.close()
    assert (result.state, result.members, rebalances) == ("stable", 1, [3])


def test_exceeded_describes_each_exceeded_limit() -> None:
    result = partial(StatusResult, "g", "stable", 1, expired_unanswered=0, dead_letters=0, topics=[], partitions=[])
    healthy = result(lag=10, newest_prediction_age_seconds=5.0)
    assert exceeded(healthy) == []
    assert exceeded(healthy, max_lag=10, max_age=5) == []
    assert exceeded(healthy, max_lag=9, max_age=4.5) == [
        "the lag of group g is 10, above 9",
        "the newest prediction is 5.0 s old, above 4.5 s",
    ]
    assert exceeded(result(lag=0, newest_prediction_age_seconds=None), max_lag=0, max_age=9) == [
        "there are no predictions"
    ]
