"""`dlq` against brokers: reading on both kinds, replays on a real Kafka."""

import random
from dataclasses import replace
from typing import Any

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from telco_stream.consume.run import ConsumeOptions
from telco_stream.dlq.letters import LetterFilter, Letters
from telco_stream.dlq.listing import ListedLetter, list_letters, summarize
from telco_stream.dlq.replay import ReplayResult
from telco_stream.dlq.run import StateOptions, run_list, run_replay, run_show
from telco_stream.dlq.states import LetterStates
from telco_stream.dlq.topics import ReplayWriter
from telco_stream.errors import DataError, ErrorType, FencedError, KafkaError
from telco_stream.kafka.clients import Clients
from telco_stream.messages.dead_letter import decode_dead_letter
from telco_stream.runtime.signals import Stop
from telco_stream.scoring import Limits, process
from telco_stream.settings import load
from tests.conftest import Broker
from tests.support.consumer_harness import RunningConsumer, customers, settings_of
from tests.support.in_process import run_in_process
from tests.support.letters import NOW, letter, write_letters
from tests.support.mock_cluster import MockCluster
from tests.support.records import FakeRecord, RuleScorer, good, refuse
from tests.support.topics import StoredRecord, Topics, configure_topic, read_topic, recreate_topic, send, topic_id


def test_run_list_and_run_show_return_letters(broker: Broker) -> None:
    clients = clients_of(broker.bootstrap, broker.topics)
    write_letters(
        broker.bootstrap, broker.topics, [letter(b"\xff"), letter(good(tenure="x"), error_type=ErrorType.VALIDATION)]
    )
    send(broker.bootstrap, broker.topics.deadletter, [(None, b"foreign", [])])
    lines = listed(clients)
    assert [(line.partition, line.offset, line.error_type) for line in lines] == [(0, 0, "json"), (0, 1, "validation")]
    summary = summarize(*select(clients, partition=0))
    assert (summary.total, summary.unreadable) == (2, 1)
    shown = run_show(clients, (0, 1), stop=Stop())
    assert shown.original_message == good(tenure="x").decode()
    assert shown.source == f"{broker.topics.raw}/2/41"


def test_run_list_returns_nothing_when_the_topic_is_empty(broker: Broker) -> None:
    clients = clients_of(broker.bootstrap, broker.topics)
    assert listed(clients) == []


@pytest.mark.parametrize(
    ("position", "reason"),
    [
        ((0, 1), "is beyond the end: partition 0 ends before offset 1"),
        ((0, 2**62), "is beyond the end"),
        ((7, 0), "doesn't exist: the topic's partitions are 0 to 0"),
    ],
)
def test_run_show_explains_when_there_is_no_letter(broker: Broker, position: tuple[int, int], reason: str) -> None:
    write_letters(broker.bootstrap, broker.topics, [letter()])
    with pytest.raises(DataError, match=f"{position[0]}:{position[1]} {reason}"):
        run_show(clients_of(broker.bootstrap, broker.topics), position, stop=Stop())


def test_run_show_explains_when_it_is_a_transaction_marker(kafka: str, topics: Topics) -> None:
    producer = Producer({"bootstrap.servers": kafka, "transactional.id": topics.transactional_id})
    producer.init_transactions(15)
    for _ in range(2):
        producer.begin_transaction()
        producer.produce(topics.deadletter, letter().value(), b"k")
        producer.commit_transaction(15)
    clients = clients_of(kafka, topics)
    with pytest.raises(DataError, match="0:1 is a transaction marker, not a record"):
        run_show(clients, (0, 1), stop=Stop())
    assert [line.offset for line in listed(clients)] == [0, 2]


def test_run_show_explains_when_retention_deleted_the_letter(kafka: str, topics: Topics) -> None:
    write_letters(kafka, topics, [letter(), letter(), letter()])
    admin = AdminClient({"bootstrap.servers": kafka})
    for deleted in admin.delete_records([TopicPartition(topics.deadletter, 0, 2)]).values():
        deleted.result(15)
    with pytest.raises(DataError, match="0:1 has been deleted: the oldest offset of partition 0 is 2"):
        run_show(clients_of(kafka, topics), (0, 1), stop=Stop())


def test_run_list_names_the_topic_when_it_is_missing(kafka: str, topics: Topics) -> None:
    clients = clients_of(kafka, topics, deadletter=f"{topics.deadletter}-not")
    with pytest.raises(KafkaError, match=f"{topics.deadletter}-not"):
        select(clients)


def test_replay_sends_once_in_several_runs(kafka: str, topics: Topics) -> None:
    """As after a kill: letters that were replayed are skipped, the others are sent."""
    originals = [good(customerID=str(n)) for n in range(28)] + [None, b"", b"\xff", None]
    headers = [("traceparent", b"00-1")]
    write_letters(
        kafka, topics, [letter(value, n, key=str(n).encode(), headers=headers) for n, value in enumerate(originals)]
    )
    assert run(kafka, topics, execute=False) == ReplayResult(32, 0, {"dry run": 32}, dry_run=True)
    assert run(kafka, topics, limit=12) == ReplayResult(12, 12, {})
    assert run(kafka, topics) == ReplayResult(32, 20, {"already replayed": 12})
    assert run(kafka, topics) == ReplayResult(32, 0, {"already replayed": 32})
    back = sorted(read_topic(kafka, topics.raw), key=lambda stored: int(stored.key or b""))
    assert [stored.value for stored in back] == originals
    topic, identity = topics.deadletter, topic_id(kafka, topics.deadletter).encode()
    own = [("telco.dlq.retry_count", b"1"), ("telco.dlq.replay_of.topic.id", identity)]
    assert [stored.headers for stored in back] == [
        [*headers, own[0], ("telco.dlq.replay_of", f"{topic}/0/{n}".encode()), own[1]] for n in range(32)
    ]


def test_replay_sends_batches_that_the_topic_accepts_when_they_hardly_compress(kafka: str, topics: Topics) -> None:
    configure_topic(kafka, topics.raw, "max.message.bytes", "20000")
    originals = [random.Random(n).randbytes(1_000) for n in range(300)]
    write_letters(kafka, topics, [letter(value, n, key=b"0") for n, value in enumerate(originals)])
    assert run(kafka, topics) == ReplayResult(300, 300, {})


def test_replay_aborts_the_transaction_when_one_was_killed(kafka: str, topics: Topics) -> None:
    write_letters(kafka, topics, [letter(b"a"), letter(b"b", 1)])
    killed = Producer({"bootstrap.servers": kafka, "transactional.id": f"telco-stream-replay-{topics.deadletter}"})
    killed.init_transactions(15)
    killed.begin_transaction()
    killed.produce(topics.raw, b"a", b"k", headers=[("telco.dlq.replay_of", b"0/0")])
    assert killed.flush(15) == 0
    assert run(kafka, topics) == ReplayResult(2, 2, {})
    assert sorted(stored.value or b"" for stored in read_topic(kafka, topics.raw)) == [b"a", b"b"]


def test_replay_is_fenced_when_another_starts(kafka: str, topics: Topics) -> None:
    write_letters(kafka, topics, [letter(b"a")])
    clients = clients_of(kafka, topics)
    first = ReplayWriter(clients, Stop())
    assert run(kafka, topics) == ReplayResult(1, 1, {})
    with pytest.raises(FencedError, match="a second dlq replay has started"):
        first.send({(topics.raw, None): [(b"k", b"a", [("telco.dlq.replay_of", b"0/0")])]})
    assert [stored.value for stored in read_topic(kafka, topics.raw)] == [b"a"]


def test_replay_waits_when_an_open_transaction_hides_markers(kafka: str, topics: Topics) -> None:
    """Until that transaction ends, readers don't see the replayed letters, so a second replay must wait for it."""
    write_letters(kafka, topics, [letter(b"a", key=None)])
    other = Producer({"bootstrap.servers": kafka, "transactional.id": topics.transactional_id})
    other.init_transactions(15)
    other.begin_transaction()
    for partition in range(3):
        other.produce(topics.raw, b"other", partition=partition)
    assert other.flush(15) == 0
    marked = (None, b"a", [("telco.dlq.replay_of", b"0/0")])
    assert ReplayWriter(clients_of(kafka, topics), Stop()).send({(topics.raw, None): [marked]})

    class EndedByWaiting(Stop):
        def wait(self, seconds: float) -> bool:
            if not waits:
                other.abort_transaction(15)
            waits.append(seconds)
            return super().wait(seconds)

    waits: list[float] = []
    assert run(kafka, topics, stop=EndedByWaiting()) == ReplayResult(1, 0, {"already replayed": 1})
    assert waits
    assert [stored.value for stored in read_topic(kafka, topics.raw)] == [b"a"]


def test_replay_raises_the_retry_count_when_it_fails_again(kafka: str, topics: Topics) -> None:
    write_letters(kafka, topics, [letter(b"hopeless", headers=[("telco.dlq.retry_count", b"1")])])
    run(kafka, topics)
    again = process(
        [fake_record(stored) for stored in read_topic(kafka, topics.raw)],
        RuleScorer(),
        processed_at=NOW,
        limits=Limits(),
    )
    assert [decode_dead_letter(body).retry_count for _, body, _ in again.dead_letter_messages] == [2]
    assert dict(again.dead_letter_messages[0][2])["source"].startswith(topics.raw.encode())


def test_replay_skips_letters_when_they_still_fail(kafka: str, topics: Topics) -> None:
    write_letters(kafka, topics, [letter(good(customerID="a")), letter(good(customerID="b")), letter(b"hello")])
    assert run(kafka, topics, scorer=RuleScorer(refuse("b"))) == ReplayResult(3, 1, {"still failing": 2})
    assert [stored.value for stored in read_topic(kafka, topics.raw)] == [good(customerID="a")]


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
    """The consumer that wrote the letters has another clock than the replay."""
    write_dead_letters(kafka, topics)
    producer = Producer({"bootstrap.servers": kafka})
    copies = replace(topics, deadletter=topics.predictions, predictions=topics.deadletter)
    for stored in read_topic(kafka, topics.deadletter):
        at = stored.timestamp + skew
        producer.produce(copies.deadletter, stored.value, stored.key, 0, headers=list(stored.headers), timestamp=at)
    assert producer.flush(15) == 0
    assert run(kafka, copies) == ReplayResult(len(BAD), len(BAD), {})
    assert run(kafka, copies) == ReplayResult(len(BAD), 0, {"already replayed": len(BAD)})
    assert len(read_topic(kafka, topics.raw)) == 2 * len(BAD)


def test_replay_sends_once_when_the_raw_topic_was_recreated(kafka: str, topics: Topics) -> None:
    """The originals are gone, and the markers can be anywhere in the new topic."""
    write_dead_letters(kafka, topics)
    recreate_topic(kafka, topics.raw)
    assert run(kafka, topics) == ReplayResult(len(BAD), len(BAD), {})
    send(kafka, topics.raw, customers(range(9)))
    assert run(kafka, topics) == ReplayResult(len(BAD), 0, {"already replayed": len(BAD)})


def test_replay_sends_when_a_letter_of_another_topic_was(kafka: str, topics: Topics) -> None:
    """Two groups answer one raw topic into different topics: letter 0:0 of one topic isn't letter 0:0 of the other."""
    write_dead_letters(kafka, topics)
    green = replace(topics, deadletter=topics.predictions, predictions=topics.deadletter)
    letters = [(stored.key, stored.value, stored.headers) for stored in read_topic(kafka, topics.deadletter)]
    send(kafka, green.deadletter, letters, 0)
    assert run(kafka, topics).replayed == len(BAD)
    assert run(kafka, green) == ReplayResult(len(BAD), len(BAD), {})
    assert run(kafka, green).skipped == run(kafka, topics).skipped == {"already replayed": len(BAD)}


def test_replay_sends_when_its_topic_was_recreated(kafka: str, topics: Topics) -> None:
    """The letters of the earlier dead-letter topic had the same positions."""
    write_dead_letters(kafka, topics)
    letters = [(stored.key, stored.value, stored.headers) for stored in read_topic(kafka, topics.deadletter)]
    assert run(kafka, topics).replayed == len(BAD)
    recreate_topic(kafka, topics.deadletter, 1)
    send(kafka, topics.deadletter, letters, 0)
    assert run(kafka, topics) == ReplayResult(len(BAD), len(BAD), {})


def test_replay_says_how_to_send_letters_of_another_topic(embedded: MockCluster, embedded_topics: Topics) -> None:
    env = embedded_topics.env(embedded.bootstrap)
    send(embedded.bootstrap, embedded_topics.deadletter, [(b"k", letter().value(), [("source", b"another/0/1")])])
    done = run_in_process("dlq", "replay", env=env)
    assert (done.code, "another topic: 1" in done.out) == (0, True)
    assert f"--source-topic NAME sends those of NAME to {embedded_topics.raw}" in done.err
    done = run_in_process("dlq", "replay", "--source-topic", "another", env=env)
    assert ("Would replay  1" in done.out, "--source-topic" in done.err) == (True, False)


def test_replay_ignores_markers_that_are_forged(kafka: str, topics: Topics) -> None:
    write_dead_letters(kafka, topics)
    identity = ("telco.dlq.replay_of.topic.id", topic_id(kafka, topics.deadletter).encode())
    positions = [f"{prefix}0/{n}".encode() for prefix in ("", f"{topics.deadletter}/") for n in range(len(BAD))]
    forged = [(b"c1", b"harmless", [("telco.dlq.replay_of", position), identity]) for position in positions]
    for partition in range(3):
        send(kafka, topics.raw, forged, partition)
    assert run(kafka, topics) == ReplayResult(len(BAD), len(BAD), {})


@pytest.mark.parametrize("form", ["0/{n}", "{topic}/0/{n}"])
def test_replay_counts_a_marker_without_a_topic_id(kafka: str, topics: Topics, form: str) -> None:
    """Older versions and the embedded broker write markers without an ID."""
    write_letters(kafka, topics, [letter(b"a", key=b"k"), letter(b"b", 1, key=None), letter(b"c", 2)])
    markers = [("telco.dlq.replay_of", form.format(n=n, topic=topics.deadletter).encode()) for n in range(2)]
    send(kafka, topics.raw, [(b"k", b"a", [markers[0]]), (None, b"b", [markers[1]])])
    assert run(kafka, topics) == ReplayResult(3, 1, {"already replayed": 2})


def select(clients: Clients, *, only_open: bool = False, **criteria: Any) -> tuple[Letters, LetterStates]:
    """Select letters as `dlq list` does."""
    return run_list(clients, LetterFilter(**criteria), StateOptions(), only_open=only_open, stop=Stop())


def listed(clients: Clients, *, only_open: bool = False, **criteria: Any) -> list[ListedLetter]:
    """List letters as `dlq list` does."""
    return list(list_letters(*select(clients, only_open=only_open, **criteria)))


def write_dead_letters(kafka: str, topics: Topics) -> None:
    """Write all of `BAD` to the raw topic and dead-letter them with `consume`."""
    send(kafka, topics.raw, [(key, value, []) for key, value in BAD])
    assert RunningConsumer(settings_of(kafka, topics), ConsumeOptions("batch")).result().dead_lettered == len(BAD)


def run(bootstrap: str, topics: Topics, limit: int | None = None, **more: Any) -> ReplayResult:
    """Run a replay as a process would."""
    defaults = {"max_retries": 3, "execute": True, "scorer": None, "stop": Stop()}
    return run_replay(clients_of(bootstrap, topics), LetterFilter(limit=limit), **defaults | more)


def clients_of(bootstrap: str, topics: Topics, deadletter: str | None = None) -> Clients:
    names = topics if deadletter is None else replace(topics, deadletter=deadletter)
    return Clients(load(environ=names.env(bootstrap)))


def fake_record(stored: StoredRecord) -> FakeRecord:
    return FakeRecord(
        stored.value, stored.offset, stored.partition, stored.key, stored.headers, stored.topic, stored.timestamp
    )
