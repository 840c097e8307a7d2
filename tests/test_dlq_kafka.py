"""`dlq` against brokers: reading on both kinds, the way back on a real Kafka."""

from dataclasses import replace
from typing import Any

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from telco_stream.consume.run import ConsumeOptions
from telco_stream.contract.error_type import ErrorType
from telco_stream.dlq.letters import LetterFilter
from telco_stream.dlq.listing import list_letters, summarize
from telco_stream.dlq.replay import ReplayResult
from telco_stream.dlq.run import run_list, run_replay, run_show
from telco_stream.dlq.topic import ReplayWriter
from telco_stream.errors import DataError, FencedError, KafkaError
from telco_stream.kafka.clients import Clients
from telco_stream.messages.dead_letter import decode_dead_letter
from telco_stream.runtime.signals import Stop
from telco_stream.scoring import Limits, process
from telco_stream.settings import load
from tests.conftest import Broker
from tests.support.consumer_harness import RunningConsumer, customers, settings_of
from tests.support.letters import NOW, letter
from tests.support.records import FakeRecord, RuleScorer, good, refuse
from tests.support.topics import StoredRecord, Topics, read_topic, recreate_topic, send, topic_id


def test_letters_are_listed_and_shown(broker: Broker) -> None:
    clients = clients_of(broker.bootstrap, broker.topics)
    write(broker.bootstrap, broker.topics, [letter(b"\xff"), letter(good(tenure="x"), error_type=ErrorType.VALIDATION)])
    send(broker.bootstrap, broker.topics.deadletter, [(None, b"foreign", [])])
    lines = list(list_letters(run_list(clients, LetterFilter(), stop=Stop())))
    assert [(line.partition, line.offset, line.error_type) for line in lines] == [(0, 0, "json"), (0, 1, "validation")]
    told = summarize(run_list(clients, LetterFilter(partition=0), stop=Stop()))
    assert (told.total, told.unreadable) == (2, 1)
    shown = run_show(clients, (0, 1), stop=Stop())
    assert shown.original_message == good(tenure="x").decode()
    assert shown.source == "raw/2/41"


def test_an_empty_topic_is_listed_as_nothing(broker: Broker) -> None:
    clients = clients_of(broker.bootstrap, broker.topics)
    assert list(run_list(clients, LetterFilter(), stop=Stop())) == []


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
    assert [line.offset for line in list_letters(run_list(clients, LetterFilter(), stop=Stop()))] == [0, 2]


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
        run_list(clients, LetterFilter(), stop=Stop())


def test_letters_go_back_once_in_several_runs(kafka: str, topics: Topics) -> None:
    """As after a kill half way: what went stays gone, the rest goes."""
    originals = [good(customerID=str(n)) for n in range(28)] + [None, b"", b"\xff", None]
    headers = [("traceparent", b"00-1")]
    write(kafka, topics, [letter(value, n, key=str(n).encode(), headers=headers) for n, value in enumerate(originals)])
    assert go(kafka, topics, execute=False) == ReplayResult(32, 0, {"dry run": 32})
    assert go(kafka, topics, limit=12) == ReplayResult(12, 12, {})
    assert go(kafka, topics) == ReplayResult(32, 20, {"already replayed": 12})
    assert go(kafka, topics) == ReplayResult(32, 0, {"already replayed": 32})
    back = sorted(read_topic(kafka, topics.raw), key=lambda kept: int(kept.key or b""))
    assert [kept.value for kept in back] == originals
    topic, identity = topics.deadletter, topic_id(kafka, topics.deadletter).encode()
    own = [("telco.dlq.retry_count", b"1"), ("telco.dlq.replay_of.topic.id", identity)]
    assert [kept.headers for kept in back] == [
        [*headers, own[0], ("telco.dlq.replay_of", f"{topic}/0/{n}".encode()), own[1]] for n in range(32)
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
    first = ReplayWriter(clients, Stop())
    assert go(kafka, topics) == ReplayResult(1, 1, {})
    with pytest.raises(FencedError):
        first.send({None: [(b"k", b"a", [("telco.dlq.replay_of", b"0/0")])]})
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
    marked = (None, b"a", [("telco.dlq.replay_of", b"0/0")])
    assert ReplayWriter(clients_of(kafka, topics), Stop()).send({None: [marked]})

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
    assert [decode_dead_letter(body).retry_count for _, body, _ in again.dead_letter_messages] == [2]
    assert dict(again.dead_letter_messages[0][2])["source"].startswith(topics.raw.encode())


def test_only_what_passes_goes_when_it_is_tried_first(kafka: str, topics: Topics) -> None:
    write(kafka, topics, [letter(good(customerID="a")), letter(good(customerID="b")), letter(b"hello")])
    assert go(kafka, topics, scorer=RuleScorer(refuse("b"))) == ReplayResult(3, 1, {"still failing": 2})
    assert [kept.value for kept in read_topic(kafka, topics.raw)] == [good(customerID="a")]


#: Key and value of records that can't be scored.
BAD: list[tuple[bytes | None, bytes | None]] = [
    (b"c1", b"bad"),
    (None, b"\xff"),
    (b"", b""),
    (None, None),
    (b"c2", b"bad"),
    (b"c2", b"bad"),
]


@pytest.mark.parametrize("skew", [-300_000, 300_000, -(10**9)], ids=["behind", "ahead", "11 days behind"])
def test_replay_sends_once_when_clocks_differ(kafka: str, topics: Topics, skew: int) -> None:
    """Letters written by a consumer whose clock differs from that of whoever replays them."""
    record_crash(kafka, topics)
    producer = Producer({"bootstrap.servers": kafka})
    copies = replace(topics, deadletter=topics.predictions, predictions=topics.deadletter)
    for kept in read_topic(kafka, topics.deadletter):
        at = kept.timestamp + skew
        producer.produce(copies.deadletter, kept.value, kept.key, 0, headers=list(kept.headers), timestamp=at)
    assert producer.flush(15) == 0
    assert go(kafka, copies) == ReplayResult(len(BAD), len(BAD), {})
    assert go(kafka, copies) == ReplayResult(len(BAD), 0, {"already replayed": len(BAD)})
    assert len(read_topic(kafka, topics.raw)) == 2 * len(BAD)


def test_replay_sends_once_when_the_raw_topic_was_recreated(kafka: str, topics: Topics) -> None:
    """The originals are gone, and the markers may be anywhere in the new topic."""
    record_crash(kafka, topics)
    recreate_topic(kafka, topics.raw)
    assert go(kafka, topics) == ReplayResult(len(BAD), len(BAD), {})
    send(kafka, topics.raw, customers(range(9)))
    assert go(kafka, topics) == ReplayResult(len(BAD), 0, {"already replayed": len(BAD)})


def test_replay_sends_when_a_letter_of_another_topic_was(kafka: str, topics: Topics) -> None:
    """Two groups answer one raw topic into topics of their own: letter 0:0 of the one isn't that of the other."""
    record_crash(kafka, topics)
    green = replace(topics, deadletter=topics.predictions, predictions=topics.deadletter)
    letters = [(kept.key, kept.value, kept.headers) for kept in read_topic(kafka, topics.deadletter)]
    send(kafka, green.deadletter, letters, 0)
    assert go(kafka, topics).replayed == len(BAD)
    assert go(kafka, green) == ReplayResult(len(BAD), len(BAD), {})
    assert go(kafka, green).skipped == go(kafka, topics).skipped == {"already replayed": len(BAD)}


def test_replay_sends_when_its_topic_was_recreated(kafka: str, topics: Topics) -> None:
    """The letters of the earlier dead-letter topic had the same positions."""
    record_crash(kafka, topics)
    letters = [(kept.key, kept.value, kept.headers) for kept in read_topic(kafka, topics.deadletter)]
    assert go(kafka, topics).replayed == len(BAD)
    recreate_topic(kafka, topics.deadletter, 1)
    send(kafka, topics.deadletter, letters, 0)
    assert go(kafka, topics) == ReplayResult(len(BAD), len(BAD), {})


def test_replay_ignores_markers_that_are_forged(kafka: str, topics: Topics) -> None:
    record_crash(kafka, topics)
    identity = ("telco.dlq.replay_of.topic.id", topic_id(kafka, topics.deadletter).encode())
    positions = [f"{prefix}0/{n}".encode() for prefix in ("", f"{topics.deadletter}/") for n in range(len(BAD))]
    forged = [(b"c1", b"harmless", [("telco.dlq.replay_of", position), identity]) for position in positions]
    for partition in range(3):
        send(kafka, topics.raw, forged, partition)
    assert go(kafka, topics) == ReplayResult(len(BAD), len(BAD), {})


@pytest.mark.parametrize("form", ["0/{n}", "{topic}/0/{n}"])
def test_replay_counts_a_marker_without_a_topic_id(kafka: str, topics: Topics, form: str) -> None:
    """As older versions and the embedded broker write it."""
    write(kafka, topics, [letter(b"a", key=b"k"), letter(b"b", 1, key=None), letter(b"c", 2)])
    markers = [("telco.dlq.replay_of", form.format(n=n, topic=topics.deadletter).encode()) for n in range(2)]
    send(kafka, topics.raw, [(b"k", b"a", [markers[0]]), (None, b"b", [markers[1]])])
    assert go(kafka, topics) == ReplayResult(3, 1, {"already replayed": 2})


def record_crash(kafka: str, topics: Topics) -> None:
    """All of `BAD` are in the raw topic, and dead letters of `consume`."""
    send(kafka, topics.raw, [(key, value, []) for key, value in BAD])
    assert RunningConsumer(settings_of(kafka, topics), ConsumeOptions("batch")).result().dead_lettered == len(BAD)


def go(bootstrap: str, topics: Topics, limit: int | None = None, **more: Any) -> ReplayResult:
    """One run of its own, as a process would make it."""
    usual = {"max_retries": 3, "execute": True, "scorer": None, "stop": Stop()}
    return run_replay(clients_of(bootstrap, topics), LetterFilter(limit=limit), **usual | more)


def clients_of(bootstrap: str, topics: Topics, deadletter: str | None = None) -> Clients:
    names = topics if deadletter is None else replace(topics, deadletter=deadletter)
    return Clients(load(environ=names.env(bootstrap)))


def write(bootstrap: str, topics: Topics, letters: list[FakeRecord]) -> None:
    """The letters stand in the dead-letter topic, from offset 0 on."""
    send(bootstrap, topics.deadletter, [(one.key(), one.value(), one.headers() or []) for one in letters])


def record_of(kept: StoredRecord) -> FakeRecord:
    return FakeRecord(kept.value, kept.offset, kept.partition, kept.key, kept.headers, kept.topic, kept.timestamp)
