"""`status` on a real Kafka, with transaction markers and aborted records."""

import json
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from telco_stream.checks.rates import Rates
from telco_stream.checks.results import PartitionLag, StatusResult, TopicStatus, exceeded
from telco_stream.checks.status import status
from telco_stream.errors import KafkaError
from telco_stream.kafka.clients import Clients
from telco_stream.kafka.offsets import CommitMetadata, encode_commit_metadata
from telco_stream.runtime.signals import Stop
from telco_stream.settings import load
from tests.support.captured_screen import CapturedScreen
from tests.support.cli import RunningCli
from tests.support.in_process import run_in_process
from tests.support.topics import Outgoing, Topics, send
from tests.support.waiting import wait_until

Query = Callable[..., StatusResult]
GROWS = {"lag": 9, "catch_up_seconds": None, "arriving_per_second": 7.5}


@pytest.fixture
def query(kafka: str, topics: Topics) -> Query:
    """Query the status, with a clock that is `later` seconds ahead or shows `now`; the group need not exist."""

    def query(
        later: float = 0, group: str = topics.group, *, is_unknown_allowed: bool = True, now: float | None = None
    ) -> StatusResult:
        names = {"raw": topics.raw, "predictions": topics.predictions, "deadletter": topics.deadletter}
        flags = {"bootstrap_servers": kafka} | {f"topics.{name}": topic for name, topic in names.items()}
        clients, now = Clients(load(flags, environ={})), now or time.time() + later
        return status(clients, group, now=now, stop=Stop(), is_unknown_allowed=is_unknown_allowed)

    return query


def _transaction(
    bootstrap: str, topics: Topics, topic: str, *values: bytes, abort: bool = False, at: float | None = None
) -> None:
    """Write a transaction to partition 0; its marker takes one more offset. `at` is the time of the records."""
    producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": topics.transactional_id})
    producer.init_transactions(15)
    producer.begin_transaction()
    for value in values:
        producer.produce(topic, value, partition=0, timestamp=round(at * 1_000) if at else 0)
        producer.poll(0)
    assert producer.flush(60) == 0
    (producer.abort_transaction if abort else producer.commit_transaction)(15)


def _commit(bootstrap: str, topics: Topics, *offsets: int, metadata: str = "") -> None:
    """Commit one offset per partition of the raw topic, from partition 0 on, all with the same metadata."""
    client = Consumer({"bootstrap.servers": bootstrap, "group.id": topics.group})
    positions = [TopicPartition(topics.raw, number, offset, metadata) for number, offset in enumerate(offsets)]
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
    _commit(kafka, topics, 5, metadata=metadata)
    result = query()
    assert (result.expired_unanswered, result.partitions[0].expired_unanswered, result.lag) == (40, 40, 1)


def test_status_ignores_a_commit_of_an_earlier_topic(query: Query, kafka: str, topics: Topics) -> None:
    send(kafka, topics.raw, _values(6), 0)
    metadata = encode_commit_metadata(CommitMetadata(topic_id="J8qXRwI-Q3SPDXpBcbgeBg", expired_unanswered=40))
    _commit(kafka, topics, 5, metadata=metadata)
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


def test_status_names_the_versions_of_the_newest_predictions(query: Query, kafka: str, topics: Topics) -> None:
    older: list[Outgoing] = [("k", '{"model_version":"v1"}', [])]
    newer: list[Outgoing] = [("k", '{"model_version":"v2"}', [])]
    send(kafka, topics.predictions, [*older, *newer], 0)
    send(kafka, topics.predictions, [*newer, *older], 1)
    send(kafka, topics.predictions, [*older, ("k", '{"model_version":3}', [])], 2)
    assert query().model_versions == ["v1", "v2"]
    send(kafka, topics.predictions, newer, 1)
    send(kafka, topics.predictions, [("k", "no JSON", [])], 2)
    assert query().model_versions == ["v2"]


def test_status_names_the_version_that_answers_each_partition(query: Query, kafka: str, topics: Topics) -> None:
    def answer(version: str, topic: str, partition: int, offset: int) -> list[Outgoing]:
        return [("k", f'{{"model_version":"{version}"}}', [("source", f"{topic}/{partition}/{offset}".encode())])]

    send(kafka, topics.predictions, answer("v1", topics.raw, 0, 7) + answer("v2", topics.raw, 0, 8), 0)
    send(kafka, topics.predictions, answer("v1", topics.raw, 0, 9), 1)
    send(kafka, topics.predictions, answer("v3", "another", 2, 1), 2)
    assert [partition.model_version for partition in query().partitions] == ["v1", None, None]
    send(kafka, topics.predictions, answer("v2", topics.raw, 1, 3), 2)
    assert [partition.model_version for partition in query().partitions] == ["v1", "v2", None]
    captured = CapturedScreen()
    captured.screen.show(query())
    rows = [line.split() for line in captured.stdout.splitlines()]
    assert [row[4] for row in rows if row[:1] in (["0"], ["1"], ["2"])] == ["v1", "v2", "-"]


def test_status_raises_when_the_group_is_unknown(query: Query, kafka: str, topics: Topics) -> None:
    """It names a similar group."""
    with pytest.raises(KafkaError, match="Group another does not exist; start a consumer"):
        query(group="another", is_unknown_allowed=False)
    _commit(kafka, topics, 0)
    assert query(is_unknown_allowed=False).state == "empty"
    with pytest.raises(KafkaError, match=f"Group {topics.group}x does not exist; did you mean {topics.group}\\?"):
        query(group=f"{topics.group}x", is_unknown_allowed=False)


def test_status_exits_3_when_the_group_is_unknown(kafka: str, topics: Topics) -> None:
    done = run_in_process("status", "--output", "json", env=topics.env(kafka))
    assert (done.code, done.out) == (3, "")
    done = run_in_process("status", "--ignore-not-found", "--output", "json", env=topics.env(kafka))
    assert (done.code, json.loads(done.out)["state"]) == (0, "dead")


def test_status_rates_exclude_markers(query: Query, kafka: str, topics: Topics) -> None:
    """Each of the transactions takes two offsets. All records have the same time, and `later` is after it."""
    sent_at = round(time.time()) + 600
    for _ in range(10):
        _transaction(kafka, topics, topics.predictions, b"{}", at=sent_at)
    _transaction(kafka, topics, topics.raw, *[b"{}"] * 20, at=sent_at)
    rates = {}
    for later in (0, 5, 50, 70):
        result = query(now=sent_at + later)
        rates[later] = (result.answered_per_second, result.arriving_per_second)
    assert rates == {0: (10.0, 2.0), 5: (2.0, 2.0), 50: (0.2, 0.0), 70: (0.0, 0.0)}


@pytest.mark.parametrize(
    ("lag", "answered", "arriving", "seconds"),
    [
        (0, 0, 0, 0),
        (9_000, 1_000, 100, 10),
        (9_000, 1_000, 1_000, None),
        (9_000, 1_000, 2_000, None),
        (9_000, 0, 0, None),
        (150, 300, 310, 0.5),
    ],
    ids=["no lag", "shrinks", "stays", "grows", "nothing moves", "in flight"],
)
def test_catch_up_seconds_follows_from_lag_and_rates(
    lag: int, answered: float, arriving: float, seconds: float | None
) -> None:
    assert Rates(answered, arriving).catch_up_seconds(lag, has_members=True) == seconds


def test_catch_up_seconds_is_none_without_members() -> None:
    assert Rates(1_000, 0).catch_up_seconds(100, has_members=False) is None


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_status_names_the_owner_of_each_partition(query: Query, kafka: str, topics: Topics, protocol: str) -> None:
    properties = {"bootstrap.servers": kafka, "group.id": topics.group, "group.protocol": protocol, "client.id": "me"}
    assert [partition.owner for partition in query().partitions] == [None, None, None]
    member = Consumer(properties)
    member.subscribe([topics.raw])
    wait_until(lambda: member.poll(0.1) is None and bool(member.assignment()), 20, "an assignment")
    owned = {partition.partition: partition.owner for partition in query().partitions}
    member.close()
    assert all(owner and owner.startswith("me-") for owner in owned.values()), owned


def test_watch_shows_the_status_until_a_signal(
    kafka: str, topics: Topics, start_cli: Callable[..., RunningCli]
) -> None:
    running = start_cli("status", "--watch", "--ignore-not-found", "--output", "json", env=topics.env(kafka))
    wait_until(lambda: running.stdout().count("\n") >= 2, 30, "two results")
    running.signal(signal.SIGINT)
    assert running.wait(10) == 0
    assert {json.loads(line)["group"] for line in running.stdout().splitlines()} == {topics.group}


def test_watch_exits_5_when_a_limit_is_exceeded(
    kafka: str, topics: Topics, start_cli: Callable[..., RunningCli]
) -> None:
    arguments = ("--watch", "--ignore-not-found", "--max-lag", "0", "--output", "json")
    running = start_cli("status", *arguments, env=topics.env(kafka))
    wait_until(lambda: "\n" in running.stdout(), 30, "a result")
    send(kafka, topics.raw, _values(1), 0)
    assert running.wait(30) == 5
    assert [json.loads(line)["lag"] for line in running.stdout().splitlines()][-1] == 1


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
    healthy = _result(lag=10, newest_prediction_age_seconds=5.0)
    assert exceeded(healthy) == []
    assert exceeded(healthy, max_lag=10, max_age=5) == []
    assert exceeded(healthy, max_lag=9, max_age=4.5) == [
        "the lag of group g is 10, above 9",
        "the newest prediction is 5.0 s old, above 4.5 s",
    ]
    assert exceeded(_result(), max_lag=0, max_age=9) == ["there are no predictions"]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "none, everything is answered"),
        ({"lag": 9, "members": 0}, "unknown, no consumer is running"),
        ({"lag": 9, "catch_up_seconds": None}, "unknown, nothing was answered in the last minute"),
        ({**GROWS, "answered_per_second": 5.0}, "not at these rates (5.0/s answered, 7.5/s new)"),
        ({"lag": 9, "catch_up_seconds": 0.2, "answered_per_second": 10.0}, "less than a second (10.0/s answered, 0/s"),
        ({"lag": 9, "catch_up_seconds": 3_661.0, "answered_per_second": 1.0}, "1:01:01 ("),
    ],
    ids=["no lag", "no members", "no answers", "grows", "in flight", "an hour"],
)
def test_table_shows_the_time_to_catch_up(changes: dict[str, Any], text: str) -> None:
    captured = CapturedScreen()
    captured.screen.show(_result(**changes))
    line = next(line for line in captured.stdout.splitlines() if "catch up" in line)
    assert text in line


@pytest.mark.parametrize(("known", "text"), [(3, "3 open of 1,200"), (0, "0 open of 1,200"), (None, "1,200")])
def test_table_shows_open_dead_letters_when_known(known: int | None, text: str) -> None:
    captured = CapturedScreen()
    captured.screen.show(_result(dead_letters=1_200, open_dead_letters=known))
    line = next(line for line in captured.stdout.splitlines() if "Dead letters" in line)
    assert line.split()[2:] == text.split()


def test_table_fits_when_owners_and_offsets_are_long() -> None:
    owner = "telco-stream-cca8f53d-b3db-4d3e-823f-468532aa0011"
    lags = [PartitionLag(number, 10**6, 10**6, 0, 0, owner, "172.17.0.1") for number in range(3)]
    topic = TopicStatus("telco.raw.customers", 9, dict.fromkeys(range(9), 0), dict.fromkeys(range(9), 10**6))
    for width in (60, 80):
        captured = CapturedScreen(environ={"COLUMNS": str(width)})
        captured.screen.show(_result(partitions=lags, topics=[topic]))
        assert max(map(len, captured.stdout.splitlines())) <= width
        assert "…" not in captured.stdout
    assert captured.stdout.count(" 172.17.0.1 telco-stream-cca8f53d ") == 3


def test_table_is_redrawn_in_place_on_a_terminal_only() -> None:
    for is_terminal, clears in ((True, 2), (False, 0)):
        captured = CapturedScreen(terminal=is_terminal)
        for _ in range(2):
            captured.screen.show(_result(), in_place=True)
        assert captured.stdout.count("\x1b[2J") == clears
        assert captured.stdout.count("Time to catch up") == 2


def _result(**changes: Any) -> StatusResult:
    fields: dict[str, Any] = {
        "time": "2026-11-01T08:00:00.000Z",
        "group": "g",
        "state": "stable",
        "members": 1,
        "lag": 0,
        "catch_up_seconds": 0.0,
        "answered_per_second": 0.0,
        "arriving_per_second": 0.0,
        "expired_unanswered": 0,
        "newest_prediction_age_seconds": None,
        "model_versions": [],
        "dead_letters": 0,
        "open_dead_letters": 0,
        "topics": [],
        "partitions": [],
    }
    return StatusResult(**{**fields, **changes})
