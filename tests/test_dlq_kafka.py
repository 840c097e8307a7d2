"""`dlq` against brokers: reading on both kinds, the way back on a real Kafka."""

from dataclasses import replace
from typing import Any

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from telco_stream.batch import Limits, process
from telco_stream.contracts.deadletter import decode_dead_letter
from telco_stream.dlq.letters import Wanted
from telco_stream.dlq.listing import list_letters, summarize
from telco_stream.dlq.replay import ReplayResult
from telco_stream.dlq.runs import run_list, run_replay, run_show
from telco_stream.errors import DataError, FencedError, KafkaError
from telco_stream.kafka.clients import Clients
from telco_stream.kafka.deadletters import ReplayOutlet
from telco_stream.settings import load
from telco_stream.stop import Stop
from tests.conftest import Broker
from tests.support.letters import NOW, letter
from tests.support.records import Fake, RuleScorer, good, refuse
from tests.support.topics import Kept, Topics, read_topic, send


def test_letters_are_listed_and_shown(broker: Broker) -> None:
    clients = clients_of(broker.bootstrap, broker.topics)
    write(broker.bootstrap, broker.topics, [letter(b"\xff"), letter(good(tenure="x"), error_type="validation")])
    send(broker.bootstrap, broker.topics.deadletter, [(None, b"foreign", [])])
    lines = list(list_letters(run_list(clients, Wanted(), stop=Stop())))
    assert [(line.partition, line.offset, line.error_type) for line in lines] == [(0, 0, "json"), (0, 1, "validation")]
    told = summarize(run_list(clients, Wanted(partition=0), stop=Stop()))
    assert (told.total, told.unreadable) == (2, 1)
    shown = run_show(clients, (0, 1), stop=Stop())
    assert shown.original_message == good(tenure="x").decode()
    assert shown.source == "raw/2/41"


def test_an_empty_topic_is_listed_as_nothing(broker: Broker) -> None:
    clients = clients_of(broker.bootstrap, broker.topics)
    assert list(run_list(clients, Wanted(), stop=Stop())) == []


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ((0, 1), "is beyond the end: partition 0 ends before offset 1"),
        ((0, 2**62), "is beyond the end"),
        ((7, 0), "is nowhere: the topic's partitions are 0 to 0"),
    ],
)
def test_a_place_without_a_letter_is_said_to_be_so(broker: Broker, place: tuple[int, int], reason: str) -> None:
    write(broker.bootstrap, broker.topics, [letter()])
    with pytest.raises(DataError, match=f"{place[0]}:{place[1]} {reason}"):
        run_show(clients_of(broker.bootstrap, broker.topics), place, stop=Stop())


def test_the_mark_of_a_transaction_is_no_letter(kafka: str, topics: Topics) -> None:
    producer = Producer({"bootstrap.servers": kafka, "transactional.id": topics.transactional_id})
    producer.init_transactions(15)
    for _ in range(2):
        producer.begin_transaction()
        producer.produce(topics.deadletter, letter().value(), b"k")
        producer.commit_transaction(15)
    clients = clients_of(kafka, topics)
    with pytest.raises(DataError, match="0:1 is no record but the mark of a transaction"):
        run_show(clients, (0, 1), stop=Stop())
    assert [line.offset for line in list_letters(run_list(clients, Wanted(), stop=Stop()))] == [0, 2]


def test_a_letter_that_retention_has_taken_is_said_to_be_gone(kafka: str, topics: Topics) -> None:
    write(kafka, topics, [letter(), letter(), letter()])
    admin = AdminClient({"bootstrap.servers": kafka})
    for gone in admin.delete_records([TopicPartition(topics.deadletter, 0, 2)]).values():
        gone.result(15)
    with pytest.raises(DataError, match="0:1 is no longer kept: the oldest offset of partition 0 is 2"):
        run_show(clients_of(kafka, topics), (0, 1), stop=Stop())


def test_a_missing_topic_is_named(kafka: str, topics: Topics) -> None:
    clients = clients_of(kafka, topics, deadletter=f"{topics.deadletter}-not")
    with pytest.raises(KafkaError, match=f"{topics.deadletter}-not"):
        run_list(clients, Wanted(), stop=Stop())


def test_letters_go_back_once_in_several_runs(kafka: str, topics: Topics) -> None:
    """As after a kill half way: what went stays gone, the rest goes."""
    originals = [good(customerID=str(n)) for n in range(30)] + [None, b"\xff"]
    headers = [("traceparent", b"00-1")]
    write(kafka, topics, [letter(value, n, key=str(n).encode(), headers=headers) for n, value in enumerate(originals)])
    assert go(kafka, topics, execute=False) == ReplayResult(32, 0, {"dry run": 32})
    assert go(kafka, topics, limit=12) == ReplayResult(12, 12, {})
    assert go(kafka, topics) == ReplayResult(32, 20, {"already replayed": 12})
    assert go(kafka, topics) == ReplayResult(32, 0, {"already replayed": 32})
    back = sorted(read_topic(kafka, topics.raw), key=lambda kept: int(kept.key or b""))
    assert [kept.value for kept in back] == originals
    assert [kept.headers for kept in back] == [
        [*headers, ("telco.dlq.retry_count", b"1"), ("telco.dlq.replay_of", f"0/{n}".encode())] for n in range(32)
    ]


def test_what_a_killed_replay_left_open_is_ended_and_sent_again(kafka: str, topics: Topics) -> None:
    write(kafka, topics, [letter(b"a"), letter(b"b", 1)])
    killed = Producer({"bootstrap.servers": kafka, "transactional.id": f"telco-stream-replay-{topics.deadletter}"})
    killed.init_transactions(15)
    killed.begin_transaction()
    killed.produce(topics.raw, b"a", b"k", headers=[("telco.dlq.replay_of", b"0/0")])
    assert killed.flush(15) == 0
    assert go(kafka, topics) == ReplayResult(2, 2, {})
    assert sorted(kept.value or b"" for kept in read_topic(kafka, topics.raw)) == [b"a", b"b"]


def test_of_two_replays_at_the_same_time_the_first_is_fenced(kafka: str, topics: Topics) -> None:
    write(kafka, topics, [letter(b"a")])
    clients = clients_of(kafka, topics)
    first = ReplayOutlet(clients, Stop())
    assert go(kafka, topics) == ReplayResult(1, 1, {})
    with pytest.raises(FencedError):
        first.send([(b"k", b"a", [("telco.dlq.replay_of", b"0/0")])])
    assert [kept.value for kept in read_topic(kafka, topics.raw)] == [b"a"]


def test_a_replay_behind_another_s_open_transaction_is_not_overlooked(kafka: str, topics: Topics) -> None:
    """Until that one ends, no reader sees the letters that have gone back: a second replay must wait for it."""
    write(kafka, topics, [letter(b"a", key=None)])
    other = Producer({"bootstrap.servers": kafka, "transactional.id": topics.transactional_id})
    other.init_transactions(15)
    other.begin_transaction()
    for partition in range(3):
        other.produce(topics.raw, b"other", partition=partition)
    assert other.flush(15) == 0
    assert ReplayOutlet(clients_of(kafka, topics), Stop()).send([(None, b"a", [("telco.dlq.replay_of", b"0/0")])])

    class EndedByWaiting(Stop):
        def wait(self, seconds: float) -> bool:
            if not waits:
                other.abort_transaction(15)
            waits.append(seconds)
            return super().wait(seconds)

    waits: list[float] = []
    assert go(kafka, topics, stop=EndedByWaiting()) == ReplayResult(1, 0, {"already replayed": 1})
    assert waits
    assert [kept.value for kept in read_topic(kafka, topics.raw)] == [b"a"]


def test_a_replayed_record_that_fails_again_shows_its_raised_count(kafka: str, topics: Topics) -> None:
    write(kafka, topics, [letter(b"hopeless", headers=[("telco.dlq.retry_count", b"1")])])
    go(kafka, topics)
    again = process([record_of(kept) for kept in read_topic(kafka, topics.raw)], RuleScorer(), now=NOW, limits=Limits())
    assert [decode_dead_letter(body).retry_count for _, body, _ in again.letters] == [2]
    assert dict(again.letters[0][2])["source"].startswith(topics.raw.encode())


def test_only_what_passes_goes_when_it_is_tried_first(kafka: str, topics: Topics) -> None:
    write(kafka, topics, [letter(good(customerID="a")), letter(good(customerID="b")), letter(b"hello")])
    assert go(kafka, topics, scorer=RuleScorer(refuse("b"))) == ReplayResult(3, 1, {"still failing": 2})
    assert [kept.value for kept in read_topic(kafka, topics.raw)] == [good(customerID="a")]


def go(bootstrap: str, topics: Topics, limit: int | None = None, **more: Any) -> ReplayResult:
    """One run of its own, as a process would make it."""
    usual = {"max_retries": 3, "execute": True, "scorer": None, "stop": Stop()}
    return run_replay(clients_of(bootstrap, topics), Wanted(limit=limit), **usual | more)


def clients_of(bootstrap: str, topics: Topics, deadletter: str | None = None) -> Clients:
    names = topics if deadletter is None else replace(topics, deadletter=deadletter)
    return Clients(load(environ=names.env(bootstrap)))


def write(bootstrap: str, topics: Topics, letters: list[Fake]) -> None:
    """The letters stand in the dead-letter topic, from offset 0 on."""
    send(bootstrap, topics.deadletter, [(one.key(), one.value(), one.headers() or []) for one in letters])


def record_of(kept: Kept) -> Fake:
    return Fake(kept.value, kept.offset, kept.partition, kept.key, kept.headers, kept.topic, kept.timestamp)
