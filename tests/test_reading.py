"""Bounded reads of a topic: markers and aborted records after the last record must not block the reader."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from confluent_kafka import KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from telco_stream import errors
from telco_stream.kafka.clients import Clients
from telco_stream.kafka.cluster import Cluster
from telco_stream.kafka.reading import ends_after_commit, read, settled_ends
from telco_stream.runtime.signals import Stop, Stopped
from telco_stream.settings import load
from tests.conftest import Broker
from tests.support.mock_cluster import Api, MockCluster
from tests.support.topics import Topics, send
from tests.support.waiting import wait_until


def _cluster(bootstrap: str, timeout: float = 10, stop: Stop | None = None) -> Cluster:
    return Cluster(Clients(load({"bootstrap_servers": bootstrap}, environ={}), timeout), stop)


def _values(bootstrap: str, topic: str, **bounds: dict[int, int]) -> list[bytes | None]:
    """Return the values in order, because partitions are read concurrently."""
    batches = read(_cluster(bootstrap), topic, **bounds)
    return sorted((record.value() for batch in batches for record in batch), key=lambda value: value or b"")


def _fill(bootstrap: str, topic: str, partition: int, *values: bytes) -> None:
    send(bootstrap, topic, [(None, value, []) for value in values], partition=partition)


@contextmanager
def _transactions(bootstrap: str, topics: Topics) -> Iterator[Callable[..., None]]:
    """Yield a function that writes values in a transaction, and commits, aborts or leaves it open."""
    producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": topics.transactional_id})
    producer.init_transactions(15)

    def write(*values: bytes, partition: int = 0, end: str = "commit") -> None:
        producer.begin_transaction()
        for value in values:
            producer.produce(topics.raw, value, partition=partition)
        producer.flush(15)
        if end != "leave open":
            getattr(producer, f"{end}_transaction")(15)

    yield write


def test_read_returns_all_when_some_partitions_are_empty(broker: Broker) -> None:
    _fill(broker.bootstrap, broker.topics.raw, 0, b"a", b"b")
    _fill(broker.bootstrap, broker.topics.raw, 2, b"c")
    assert _values(broker.bootstrap, broker.topics.raw) == [b"a", b"b", b"c"]


def test_ends_after_commit_include_markers_that_come_later(kafka: str, topics: Topics) -> None:
    """The broker may confirm a commit before it has written all markers."""
    producer = Producer({"bootstrap.servers": kafka, "transactional.id": topics.transactional_id})
    producer.init_transactions(15)
    producer.begin_transaction()
    for value in (b"a", b"b"):
        producer.produce(topics.raw, value, partition=0)
    producer.flush(15)
    commit = threading.Timer(0.3, producer.commit_transaction)
    commit.start()
    ends = ends_after_commit(_cluster(kafka), topics.raw)
    commit.join()
    assert ends == {0: 3, 1: 0, 2: 0}


def test_ends_after_commit_does_not_wait_for_open_transactions(kafka: str, topics: Topics) -> None:
    with _transactions(kafka, topics) as write:
        write(b"a", b"b", end="leave open")
        assert ends_after_commit(_cluster(kafka), topics.raw) == {0: 2, 1: 0, 2: 0}


def test_read_yields_nothing_when_the_topic_is_empty(broker: Broker) -> None:
    assert _values(broker.bootstrap, broker.topics.raw) == []


def test_read_stays_within_starts_and_ends(broker: Broker) -> None:
    _fill(broker.bootstrap, broker.topics.raw, 0, b"a", b"b", b"c", b"d")
    _fill(broker.bootstrap, broker.topics.raw, 1, b"e")
    raw = broker.topics.raw
    assert _values(broker.bootstrap, raw, starts={0: 1}) == [b"b", b"c", b"d"]
    assert _values(broker.bootstrap, raw, ends={0: 3}) == [b"a", b"b", b"c"]
    assert _values(broker.bootstrap, raw, starts={0: 1, 1: 0}, ends={0: 2, 1: 99}) == [b"b", b"e"]
    assert _values(broker.bootstrap, raw, starts={0: 2, 1: -1, 7: 0}) == [b"c", b"d"]
    assert _values(broker.bootstrap, raw, starts={0: 4}) == []


def test_read_leaves_out_records_when_they_arrive_later(broker: Broker) -> None:
    """The ends are fixed at the start, or the read of a busy topic would never end."""
    _fill(broker.bootstrap, broker.topics.raw, 0, b"a")
    ends = {0: 1, 1: 0, 2: 0}
    _fill(broker.bootstrap, broker.topics.raw, 0, b"late")
    _fill(broker.bootstrap, broker.topics.raw, 1, b"late")
    assert _values(broker.bootstrap, broker.topics.raw, ends=ends) == [b"a"]


def test_read_ends_when_markers_or_aborted_records_follow(kafka: str, topics: Topics) -> None:
    with _transactions(kafka, topics) as write:
        write(b"a", b"b")
        write(b"gone", end="abort")
        write(b"c")
        write(b"gone", b"gone too", end="abort")
        write(b"gone as well", partition=1, end="abort")
    assert _values(kafka, topics.raw) == [b"a", b"b", b"c"]
    # Offsets: a b marker | gone marker | c marker | gone gone marker
    assert _values(kafka, topics.raw, starts={0: 2}, ends={0: 3}) == []
    assert _values(kafka, topics.raw, starts={0: 3}, ends={0: 6}) == [b"c"]


def test_read_ends_before_an_open_transaction(kafka: str, topics: Topics) -> None:
    """Records after it are not visible yet, so the end is before it."""
    with _transactions(kafka, topics) as write:
        write(b"a")
        write(b"open", end="leave open")
        _fill(kafka, topics.raw, 0, b"hidden")
        assert _values(kafka, topics.raw) == [b"a"]


def test_settled_ends_waits_when_a_transaction_is_open(kafka: str, topics: Topics) -> None:
    cluster = _cluster(kafka)
    with _transactions(kafka, topics) as write:
        write(b"a")
        # The marker may be written a moment after the commit has returned.
        wait_until(lambda: settled_ends(cluster, topics.raw, 3) == {0: 2, 1: 0, 2: 0}, 15, "the settled ends")
        write(b"open", end="leave open")
        cluster.stop.request()
        with pytest.raises(Stopped):
            settled_ends(cluster, topics.raw, 3)


def test_read_starts_at_the_oldest_retained_record(kafka: str, topics: Topics) -> None:
    _fill(kafka, topics.raw, 0, b"a", b"b", b"c")
    _delete(kafka, topics.raw, 0, 2)
    assert _values(kafka, topics.raw) == [b"c"]
    assert _values(kafka, topics.raw, starts={0: 0}) == [b"c"]


def test_read_skips_records_when_retention_overtakes_it(kafka: str, topics: Topics) -> None:
    """Retention can overtake a slow reader."""
    _fill(kafka, topics.raw, 0, *[b"x" * 1000 + b"%06d" % number for number in range(60_000)])
    batches = read(_cluster(kafka), topics.raw)
    first = next(batches)
    _delete(kafka, topics.raw, 0, 59_990)
    rest = [record.offset() for batch in batches for record in batch]
    assert first[0].offset() == 0
    assert rest[-10:] == list(range(59_990, 60_000))
    assert len(first) + len(rest) < 60_000


def test_read_raises_stopped_when_stopped(broker: Broker) -> None:
    _fill(broker.bootstrap, broker.topics.raw, 0, b"a")
    cluster = _cluster(broker.bootstrap)
    batches = read(cluster, broker.topics.raw, ends={0: 1, 1: 1})
    next(batches)
    assert list(batches) == []
    again = read(cluster, broker.topics.raw)
    next(again)
    cluster.stop.request()
    with pytest.raises(Stopped):
        list(read(cluster, broker.topics.raw))


def test_read_raises_when_the_broker_goes_away(embedded: MockCluster, embedded_topics: Topics) -> None:
    _fill(embedded.bootstrap, embedded_topics.raw, 0, *[b"x" * 10_000] * 500)
    batches = read(_cluster(embedded.bootstrap, timeout=1), embedded_topics.raw)
    next(batches)
    embedded.take_down()
    with pytest.raises(errors.KafkaError, match=rf"has sent nothing of topic {embedded_topics.raw} for 1 s"):
        list(batches)


def test_read_retries_when_a_leader_is_moving(embedded: MockCluster, embedded_topics: Topics) -> None:
    """A new partition has no leader for a moment."""
    _fill(embedded.bootstrap, embedded_topics.raw, 0, b"a")
    embedded.push_errors(Api.LIST_OFFSETS, KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE)
    assert _values(embedded.bootstrap, embedded_topics.raw) == [b"a"]


def test_read_works_when_the_group_is_forbidden(embedded: MockCluster, embedded_topics: Topics) -> None:
    """The client looks up its group's coordinator, and may lack the right to do so."""
    _fill(embedded.bootstrap, embedded_topics.raw, 0, b"a")
    embedded.push_errors(Api.FIND_COORDINATOR, *[KafkaError.GROUP_AUTHORIZATION_FAILED] * 20)
    assert _values(embedded.bootstrap, embedded_topics.raw, ends={0: 1}) == [b"a"]


def test_read_raises_when_the_topic_is_forbidden(embedded: MockCluster, embedded_topics: Topics) -> None:
    _fill(embedded.bootstrap, embedded_topics.raw, 0, b"a")
    embedded.push_errors(Api.FETCH, *[KafkaError.TOPIC_AUTHORIZATION_FAILED] * 20)
    with pytest.raises(errors.KafkaError, match=r"authorization failed; docs/security\.md"):
        _values(embedded.bootstrap, embedded_topics.raw)


def test_read_names_the_topic_when_it_is_missing(kafka: str, topics: Topics) -> None:
    with pytest.raises(errors.KafkaError, match=r"Topic no\.such\.topic.*topics init"):
        list(read(_cluster(kafka), "no.such.topic"))
    assert topics


def _delete(bootstrap: str, topic: str, partition: int, before: int) -> None:
    """Delete the records before an offset, as retention does."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for done in admin.delete_records([TopicPartition(topic, partition, before)]).values():
        done.result(20)
