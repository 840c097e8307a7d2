"""Health checks: heartbeat, stall detection, /healthz and /readyz."""

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

from telco_stream.consume.run import ConsumeOptions
from telco_stream.errors import UsageError
from telco_stream.monitoring import MonitoringOptions
from telco_stream.monitoring.health import Heartbeat, PartitionProgress, StallDetector, stall_reason
from telco_stream.monitoring.protocols import PartitionView
from telco_stream.monitoring.server import Pages, serving
from telco_stream.runtime.signals import Stopped
from tests.support.cli import RunningCli
from tests.support.consumer_harness import RunningConsumer, settings_of
from tests.support.in_process import run_in_process
from tests.support.mock_cluster import MockCluster
from tests.support.scraping import Port, free_port
from tests.support.topics import Topics, fresh_topics, send
from tests.support.waiting import wait_until


@dataclass
class FakePartitions:
    """Partitions of a consumer, and their end offsets."""

    assigned: frozenset[int] = frozenset({0, 1})
    joined: bool = True
    refusal: str | None = None
    answered: Mapping[int, int] = field(default_factory=dict)
    high_watermarks: dict[int, int] = field(default_factory=dict)
    last_stable_offsets: dict[int, int] = field(default_factory=dict)

    def view(self) -> PartitionView:
        return PartitionView(self.answered, {}, self.assigned, self.joined, self.refusal)

    def ends(self, partitions: Collection[int], committed_only: bool) -> Mapping[int, int]:
        ends = self.last_stable_offsets if committed_only else self.high_watermarks
        return {partition: ends[partition] for partition in partitions if partition in ends}


def test_heartbeat_reports_a_problem_when_the_limit_is_over() -> None:
    clock = iter([0.0, 3.0, 4.0, 9.0]).__next__
    heartbeat = Heartbeat(5.0, clock)
    heartbeat.tick()
    assert heartbeat.problems() == []
    assert heartbeat.problems() == ["The loop has not completed an iteration for 6 s"]


def test_stall_detector_reports_a_member_without_partitions() -> None:
    detector = impatient_detector(FakePartitions(frozenset()))
    detector.update()
    assert detector.problems() == ["No partition of raw is assigned to this member"]


def test_stall_detector_reports_once_when_the_group_refuses() -> None:
    stalls = list[str]()
    detector = impatient_detector(FakePartitions(frozenset(), joined=False, refusal="too many members"), stalls.append)
    detector.update()
    detector.update()
    expected = "No partition of raw is assigned to this member: too many members"
    assert detector.problems() == [expected]
    assert [stall.startswith(expected) for stall in stalls] == [True], "it is reported once"


@pytest.mark.parametrize(("joined", "expects"), [(True, True), (False, False)])
def test_stall_detector_reports_nothing_when_a_member_is_spare(joined: bool, expects: bool) -> None:
    """With `group.protocol=consumer` the client reports no assignment to a member that gets no partition."""
    partitions, stalls = FakePartitions(frozenset(), joined=joined), list[str]()
    detector = StallDetector(
        "raw",
        partitions.view,
        partitions.ends,
        limit=0.0,
        on_stall=stalls.append,
        expects_assignment=expects,
    )
    detector.update()
    detector.update()
    assert stalls == []


def test_stall_detector_names_only_the_stalled_partition(caplog: pytest.LogCaptureFixture) -> None:
    partitions, stalls = FakePartitions(answered={0: 10, 1: 4}, high_watermarks={0: 10, 1: 10}), list[str]()
    detector = impatient_detector(partitions, stalls.append)
    detector.update()
    assert detector.problems() == []
    detector.update()
    detector.update()
    assert detector.problems() == ["Partition 1 of raw has not moved for 0 s: 6 offsets behind"]
    assert stalls == detector.problems()[:1], "it is reported once"
    assert detector.stalled_for()[0] == 0.0
    assert detector.stalled_for()[1] > 0.0
    assert [record.event for record in caplog.records if record.levelno == logging.WARNING] == ["stalled"]  # type: ignore[attr-defined]


def test_stall_detector_is_ready_when_a_partition_moves_again(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "telco_stream")
    partitions = FakePartitions(frozenset({1}), answered={1: 4}, high_watermarks={1: 10})
    detector = impatient_detector(partitions)
    detector.update()
    detector.update()
    partitions.answered = {1: 10}
    detector.update()
    assert detector.problems() == []
    assert caplog.messages[-1] == "partition 1 of raw moves again"


def test_stall_detector_ends_when_the_run_is_stopped() -> None:
    def ends(_partitions: Collection[int], _committed_only: bool) -> Mapping[int, int]:
        raise Stopped

    with StallDetector("raw", FakePartitions().view, ends, limit=0.0, on_stall=no_stall):
        pass


@pytest.mark.parametrize(
    ("progress", "last_stable_offset", "expected"),
    [
        (PartitionProgress(4, None, 0), None, "its leader doesn't answer"),
        (PartitionProgress(None, 10, 0), 10, "no record has been fetched since it was assigned"),
        (PartitionProgress(4, 10, 0), 10, "6 offsets behind"),
        (PartitionProgress(4, 10, 0), 4, "6 offsets behind, all of them held back by a transaction that is still open"),
    ],
)
def test_stall_reason_describes_the_cause(
    progress: PartitionProgress, last_stable_offset: int | None, expected: str
) -> None:
    assert stall_reason(progress, last_stable_offset) == expected


def test_in_slot_adds_the_slot_to_the_port_unless_0() -> None:
    assert [MonitoringOptions(9_100).in_slot(slot).port for slot in range(3)] == [9_100, 9_101, 9_102]
    assert MonitoringOptions().in_slot(2).port == 0


@pytest.fixture
def port() -> Port:
    return free_port()


@pytest.mark.parametrize(("problems", "status"), [([], 200), (["Nothing moves"], 503)])
def test_serving_answers_503_when_there_are_problems(port: Port, problems: list[str], status: int) -> None:
    with serving(port.number, Pages(CollectorRegistry(), lambda: problems, list)):
        assert port.page("/healthz") == (status, "Nothing moves\n" if problems else "ok\n")
        assert port.page("/readyz?verbose=1") == (200, "ok\n")
        assert port.page("/metrics")[0] == 200
        assert port.page("/") == (404, "Pages: /metrics, /healthz, /readyz\n")


def test_serving_frees_the_port_when_it_ends(port: Port) -> None:
    for _ in range(2):
        with serving(port.number, pages()):
            assert port.page("/healthz")[0] == 200
    assert port.page("/healthz")[0] == 0


def test_serving_ends_when_a_client_is_silent(port: Port) -> None:
    with serving(port.number, pages()):
        silent = socket.create_connection(("127.0.0.1", port.number))
        assert port.page("/healthz")[0] == 200
        started = time.monotonic()
    assert time.monotonic() - started < 1
    silent.close()


def test_serving_raises_when_the_port_is_taken(port: Port) -> None:
    with serving(port.number, pages()), pytest.raises(UsageError, match=f"port {port.number}: Address already in use"):
        serving(port.number, pages()).__enter__()


def healthz(host: str, port: Port) -> int | None:
    """Return the status of /healthz at the address, or None if nothing listens there."""
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
def test_command_exits_2_when_its_port_is_taken(port: Port, command: tuple[str, ...]) -> None:
    with serving(port.number, pages()):
        done = run_in_process(*command, "--metrics-port", str(port.number))
    assert done.code == 2
    assert done.err.splitlines() == [
        f"Error: Metrics can't be served at port {port.number}: Address already in use; choose another --metrics-port"
    ]


# Runs of the command on an embedded broker of two nodes, of which one leads a partition and fails.


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
def test_consumer_is_not_ready_when_a_leader_is_gone(
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
def test_consumer_exits_3_when_a_partition_stalls(
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
def test_observers_finish_before_partitions_are_revoked(embedded: MockCluster, embedded_topics: Topics) -> None:
    """So the end of the stall detection is not taken for a partition that moves again."""
    consumer = RunningConsumer(settings_of(embedded.bootstrap, embedded_topics), ConsumeOptions())
    consumer.wait_for_start(0, 1, 2)
    consumer.end()
    assert consumer.assigned_at_finish == frozenset({0, 1, 2})


def test_consumer_is_ready_when_partitions_are_idle(port: Port, consumer: Callable[..., RunningCli]) -> None:
    running = consumer("--exit-on-stall")
    before = port.metrics()["telco_stream_loop_last_turn_timestamp_seconds"]
    wait_until(lambda: port.metrics()["telco_stream_loop_last_turn_timestamp_seconds"] > before + 4, 30, "four seconds")
    assert port.page("/readyz") == (200, "ok\n")
    assert running.process.poll() is None


def impatient_detector(partitions: FakePartitions, on_stall: Callable[[str], None] | None = None) -> StallDetector:
    """Return a stall detector with a limit of 0 s that checks when the test calls it."""
    return StallDetector("raw", partitions.view, partitions.ends, limit=0.0, on_stall=on_stall or no_stall)


def no_stall(description: str) -> None:
    """Ignore a stall."""


def pages() -> Pages:
    return Pages(CollectorRegistry(), list, list)
