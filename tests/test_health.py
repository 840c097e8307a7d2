"""Alive, ready, stalled: what a supervisor asks, and what it gets."""

import logging
import signal
import socket
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from http.client import HTTPConnection

import pytest
from prometheus_client import CollectorRegistry

from telco_stream.errors import UsageError
from telco_stream.monitoring import MonitoringOptions
from telco_stream.monitoring.health import Heartbeat, PartitionProgress, StallDetector, stall_reason
from telco_stream.monitoring.server import Pages, serving
from telco_stream.runtime.signals import Stopped
from tests.support.cli import RunningCli, run_cli
from tests.support.mock_cluster import MockCluster
from tests.support.scraping import Port, free_port
from tests.support.topics import Topics, fresh_topics, send
from tests.support.waiting import wait_until


@dataclass
class Member:
    """A consumer as the watchman sees it, and the topic's ends as the broker tells them."""

    assigned: frozenset[int] = frozenset({0, 1})
    joined: bool = True
    refusal: str | None = None
    answered: Mapping[int, int] = field(default_factory=dict)
    cached_end_offsets: Mapping[int, int] = field(default_factory=dict)
    rebalances: int = 1
    expired_unanswered: int = 0
    all_ends: dict[int, int] = field(default_factory=dict)
    readable: dict[int, int] = field(default_factory=dict)

    def ends(self, partitions: Collection[int], committed_only: bool) -> Mapping[int, int]:
        ends = self.readable if committed_only else self.all_ends
        return {one: ends[one] for one in partitions if one in ends}


def test_a_loop_that_comes_round_in_time_is_alive() -> None:
    clock = iter([0.0, 3.0, 4.0, 9.0]).__next__
    pulse = Heartbeat(5.0, clock)
    pulse.tick()
    assert pulse.problems() == []
    assert pulse.problems() == ["The loop has not completed an iteration for 6 s"]


def test_a_member_without_partitions_is_not_ready() -> None:
    stall_detector = watching(Member(frozenset()))
    stall_detector.update()
    assert stall_detector.problems() == ["No partition of raw is assigned to this member"]


def test_watchman_reports_a_stall_when_the_group_refuses_the_member() -> None:
    stalls = list[str]()
    stall_detector = watching(Member(frozenset(), joined=False, refusal="too many members"), stalls.append)
    stall_detector.update()
    stall_detector.update()
    expected = "No partition of raw is assigned to this member: too many members"
    assert stall_detector.problems() == [expected]
    assert [stall.startswith(expected) for stall in stalls] == [True], "it is reported once"


@pytest.mark.parametrize(("joined", "expects"), [(True, True), (False, False)])
def test_watchman_reports_no_stall_when_a_member_is_spare(joined: bool, expects: bool) -> None:
    """With `group.protocol=consumer` the client reports no assignment to a member that gets no partition."""
    member, stalls = Member(frozenset(), joined=joined), list[str]()
    stall_detector = StallDetector("raw", member, member.ends, 0.0, stalls.append, expects_assignment=expects)
    stall_detector.update()
    stall_detector.update()
    assert stalls == []


def test_a_partition_that_stands_still_is_named_and_only_that_one(caplog: pytest.LogCaptureFixture) -> None:
    member, stalls = Member(answered={0: 10, 1: 4}, all_ends={0: 10, 1: 10}), list[str]()
    stall_detector = watching(member, stalls.append)
    stall_detector.update()
    assert stall_detector.problems() == []
    stall_detector.update()
    stall_detector.update()
    assert stall_detector.problems() == ["Partition 1 of raw has not moved for 0 s: 6 offsets behind"]
    assert stalls == stall_detector.problems()[:1], "it is told once"
    assert stall_detector.stalled_for()[0] == 0.0
    assert stall_detector.stalled_for()[1] > 0.0
    assert [one.event for one in caplog.records if one.levelno == logging.WARNING] == ["stalled"]  # type: ignore[attr-defined]


def test_a_partition_that_moves_again_is_ready_again(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "telco_stream")
    member = Member(frozenset({1}), answered={1: 4}, all_ends={1: 10})
    stall_detector = watching(member)
    stall_detector.update()
    stall_detector.update()
    member.answered = {1: 10}
    stall_detector.update()
    assert stall_detector.problems() == []
    assert caplog.messages[-1] == "partition 1 of raw moves again"


def test_a_watchman_whose_question_is_cut_off_by_the_end_of_the_run_says_nothing() -> None:
    def ends(_partitions: Collection[int], _committed_only: bool) -> Mapping[int, int]:
        raise Stopped

    with StallDetector("raw", Member(), ends, 0.0, no_stall):
        pass


@pytest.mark.parametrize(
    ("standing", "readable", "words"),
    [
        (PartitionProgress(4, None, 0), None, "its leader doesn't answer"),
        (PartitionProgress(None, 10, 0), 10, "no record has been fetched since it was assigned"),
        (PartitionProgress(4, 10, 0), 10, "6 offsets behind"),
        (PartitionProgress(4, 10, 0), 4, "6 offsets behind, all of them held back by a transaction that is still open"),
    ],
)
def test_a_stall_is_told_with_its_reason(standing: PartitionProgress, readable: int | None, words: str) -> None:
    assert stall_reason(standing, readable) == words


def test_each_worker_has_a_port_of_its_own_and_none_where_there_is_to_be_none() -> None:
    assert [MonitoringOptions(9_100).in_slot(slot).port for slot in range(3)] == [9_100, 9_101, 9_102]
    assert MonitoringOptions().in_slot(2).port == 0


@pytest.fixture
def port() -> Port:
    return free_port()


@pytest.mark.parametrize(("problems", "status"), [([], 200), (["Nothing moves"], 503)])
def test_pages_answer_with_what_is_wrong(port: Port, problems: list[str], status: int) -> None:
    with serving(port.number, Pages(CollectorRegistry(), lambda: problems, list)):
        assert port.page("/healthz") == (status, "Nothing moves\n" if problems else "ok\n")
        assert port.page("/readyz?verbose=1") == (200, "ok\n")
        assert port.page("/metrics")[0] == 200
        assert port.page("/") == (404, "Pages: /metrics, /healthz, /readyz\n")


def test_the_port_is_free_again_after_the_run(port: Port) -> None:
    for _ in range(2):
        with serving(port.number, pages()):
            assert port.page("/healthz")[0] == 200
    assert port.page("/healthz")[0] == 0


def test_a_reader_who_never_asks_does_not_hold_up_the_end(port: Port) -> None:
    with serving(port.number, pages()):
        silent = socket.create_connection(("127.0.0.1", port.number))
        assert port.page("/healthz")[0] == 200
        started = time.monotonic()
    assert time.monotonic() - started < 1
    silent.close()


def test_a_port_that_is_taken_is_refused_in_one_line(port: Port) -> None:
    with serving(port.number, pages()), pytest.raises(UsageError, match=f"port {port.number}: Address already in use"):
        serving(port.number, pages()).__enter__()


def healthz(host: str, port: Port) -> int | None:
    """Status that the address answers; None if nobody listens there."""
    connection = HTTPConnection(host, port.number, timeout=5)
    with closing(connection):
        try:
            connection.request("GET", "/healthz")
            return connection.getresponse().status
        except OSError:
            return None


needs_ipv6 = pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")


@needs_ipv6
@pytest.mark.parametrize(
    ("host", "at_ipv4", "at_ipv6", "from_outside"),
    [
        ("localhost", 200, 200, None),
        ("127.0.0.1", 200, None, None),
        ("::1", None, 200, None),
        ("0.0.0.0", 200, None, 200),
        ("*", 200, 200, 200),
    ],
)
def test_serving_listens_at_each_address_of_the_host(
    port: Port, host: str, at_ipv4: int | None, at_ipv6: int | None, from_outside: int | None
) -> None:
    """Every address of 127.0.0.0/8 belongs to this machine, and only 127.0.0.1 is named localhost."""
    with serving(port.number, pages(), host):
        assert (healthz("127.0.0.1", port), healthz("::1", port)) == (at_ipv4, at_ipv6)
        assert healthz("127.0.0.2", port) == from_outside


def test_serving_leaves_out_a_family_when_the_machine_lacks_it(port: Port, monkeypatch: pytest.MonkeyPatch) -> None:
    def addresses(*_: object, **__: object) -> list[tuple[object, ...]]:
        return [
            (socket.AF_INET6, 1, 6, "", ("2001:db8::1", port.number, 0, 0)),
            (socket.AF_INET, 1, 6, "", ("127.0.0.1", port.number)),
        ]

    monkeypatch.setattr(socket, "getaddrinfo", addresses)
    with serving(port.number, pages(), "*"):
        monkeypatch.undo()
        assert healthz("127.0.0.1", port) == 200


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid", "x" * 70])
def test_serving_refuses_when_the_host_is_not_here(port: Port, host: str) -> None:
    with pytest.raises(UsageError, match=f"of {host}: .*; choose another --metrics-host"):
        serving(port.number, pages(), host).__enter__()


@needs_ipv6
def test_serving_refuses_when_one_family_is_taken(port: Port) -> None:
    with serving(port.number, pages(), "::1"):
        with pytest.raises(UsageError, match=f"port {port.number}: Address already in use"):
            serving(port.number, pages(), "*").__enter__()
        assert healthz("127.0.0.1", port) is None


@pytest.mark.parametrize("command", [("consume",), ("produce", "--mode", "streaming")])
def test_a_command_whose_port_is_taken_exits_2(port: Port, command: tuple[str, ...]) -> None:
    with serving(port.number, pages()):
        done = run_cli(*command, "--metrics-port", str(port.number))
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        f"Error: Metrics can't be served at port {port.number}: Address already in use; choose another --metrics-port"
    ]


# The real thing, on an embedded broker of two nodes, of which one leads a partition and dies.


@pytest.fixture
def pair() -> Iterator[MockCluster]:
    cluster = MockCluster(brokers=2)
    yield cluster
    cluster.close()


@pytest.fixture
def names(pair: MockCluster) -> Topics:
    names = fresh_topics()
    for name, partitions in names.partitions().items():
        pair.create_topic(name, partitions)
        for partition in range(partitions):
            pair.move_leader(name, partition, 1)
    pair.move_coordinator("group", names.group, 1)
    return names


@pytest.fixture
def consumer(
    pair: MockCluster, names: Topics, port: Port, start_cli: Callable[..., RunningCli]
) -> Callable[..., RunningCli]:
    def start(*more: str) -> RunningCli:
        for partition in range(3):
            send(pair.bootstrap, names.raw, [(b"a", b"no JSON", [])], partition)
        options = ("--delivery", "at-least-once", "--metrics-port", str(port.number))
        env = names.env(pair.bootstrap) | {"TELCO_STREAM_CONSUMER__STALL_SECONDS": "2"}
        running = start_cli("consume", *options, *more, env=env)
        wait_until(lambda: port.page("/readyz") == (200, "ok\n"), 30, "readiness")
        wait_until(lambda: port.metrics()["telco_stream_records_consumed_total"] == 3, 30, "the first records")
        return running

    return start


@pytest.mark.slow
def test_a_partition_whose_leader_has_gone_makes_the_consumer_unready_until_it_is_back(
    pair: MockCluster, names: Topics, port: Port, consumer: Callable[..., RunningCli]
) -> None:
    running = consumer()
    pair.move_leader(names.raw, 1, 2)
    pair.take_down(2)
    wait_until(lambda: port.page("/readyz")[0] == 503, 30, "a stall")
    assert port.page("/readyz")[1].startswith(f"Partition 1 of {names.raw} has not moved for ")
    assert port.page("/healthz") == (200, "ok\n"), "the loop goes on for the other partitions"
    assert port.metrics()['telco_stream_partition_stalled_seconds{partition="1"}'] > 2
    pair.move_leader(names.raw, 1, 1)
    wait_until(lambda: port.page("/readyz")[0] == 200, 30, "readiness")
    running.signal(signal.SIGTERM)
    assert running.wait(5) == 0


@pytest.mark.slow
def test_a_stall_ends_the_consumer_where_that_was_asked_for(
    pair: MockCluster, names: Topics, consumer: Callable[..., RunningCli]
) -> None:
    running = consumer("--exit-on-stall")
    pair.move_leader(names.raw, 1, 2)
    pair.take_down(2)
    assert running.wait(30) == 3
    last = running.stderr().splitlines()[-1]
    assert last.startswith(f"Error: Partition 1 of {names.raw} has not moved for ")
    assert last.endswith("(--exit-on-stall)")


@pytest.mark.slow
def test_idle_partitions_are_no_stall(port: Port, consumer: Callable[..., RunningCli]) -> None:
    running = consumer("--exit-on-stall")
    before = port.metrics()["telco_stream_loop_last_turn_timestamp_seconds"]
    wait_until(lambda: port.metrics()["telco_stream_loop_last_turn_timestamp_seconds"] > before + 4, 30, "four seconds")
    assert port.page("/readyz") == (200, "ok\n")
    assert running.process.poll() is None


def watching(member: Member, on_stall: Callable[[str], None] | None = None) -> StallDetector:
    """A watchman without patience, who looks when the test says so."""
    return StallDetector("raw", member, member.ends, 0.0, on_stall or no_stall)


def no_stall(which: str) -> None:
    """Nobody listens."""


def pages() -> Pages:
    return Pages(CollectorRegistry(), list, list)
