"""`consume --workers`, and several `consume` side by side, on a real Kafka."""

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from tests.support.cli import RunningCli
from tests.support.records import good
from tests.support.topics import Topics, read_topic, send
from tests.support.waiting import wait_until

StartCli = Callable[..., RunningCli]


def send_customers(kafka: str, topics: Topics, first: int, count: int) -> None:
    """Customers of these numbers, in the raw topic."""
    keys = [f"{number:05d}" for number in range(first, first + count)]
    send(kafka, topics.raw, [(key, good(customerID=key), []) for key in keys])


def answered(kafka: str, topics: Topics) -> list[str]:
    """The customers that have a prediction, in order."""
    return sorted((kept.key or b"").decode() for kept in read_topic(kafka, topics.predictions))


def sharing(kafka: str, topics: Topics) -> int:
    """Members of the group that have partitions."""
    admin = AdminClient({"bootstrap.servers": kafka})
    group = admin.describe_consumer_groups([topics.group])[topics.group].result(10)
    return sum(bool(one.assignment.topic_partitions) for one in group.members)


def numbers(count: int) -> list[str]:
    return [f"{number:05d}" for number in range(count)]


@pytest.fixture
def workers(start_cli: StartCli, kafka: str, topics: Topics) -> RunningCli:
    """Two workers that have answered 100 customers."""
    send_customers(kafka, topics, 0, 100)
    running = start_cli("consume", "--workers", "2", "--output", "json", env=topics.env(kafka))
    wait_until(lambda: running.process.poll() is not None or len(answered(kafka, topics)) == 100, 60, "100 answers")
    return running


def children(of: RunningCli) -> list[int]:
    """The processes that it has started to consume; not Python's own that tidies up after them."""
    listed = subprocess.run(
        ["ps", "-ww", "-o", "pid=,args=", "--ppid", str(of.process.pid)], capture_output=True, text=True, check=False
    )
    return [int(line.split()[0]) for line in listed.stdout.splitlines() if "spawn_main" in line]


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@contextmanager
def none_left(pids: list[int]) -> Iterator[None]:
    """Whatever happens inside, these are gone afterwards."""
    try:
        yield
    finally:
        for pid in filter(is_alive, pids):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_all_workers_with_one_summary(
    workers: RunningCli, kafka: str, topics: Topics, number: signal.Signals
) -> None:
    pids = children(workers)
    assert len(pids) == 2
    workers.signal(number)
    assert workers.wait() == 0
    summary = json.loads(workers.stdout())
    assert (summary["consumed"], summary["predicted"], summary["stopped_by"]) == (100, 100, "signal")
    assert not any(map(is_alive, pids))
    assert answered(kafka, topics) == numbers(100)


def test_a_worker_that_is_killed_is_replaced_and_nothing_is_lost(
    workers: RunningCli, kafka: str, topics: Topics
) -> None:
    """Its replacement takes over its transactional id, so that readers wait for no time-out."""
    victim, _ = children(workers)
    os.kill(victim, signal.SIGKILL)
    workers.wait_for_stderr("has crashed (exit -9); a new one starts in 1 s")
    send_customers(kafka, topics, 100, 100)
    wait_until(lambda: len(answered(kafka, topics)) == 200, 60, "200 answers")
    workers.signal(signal.SIGTERM)
    assert workers.wait() == 0
    assert answered(kafka, topics) == numbers(200)


def test_workers_end_with_a_parent_that_is_killed(workers: RunningCli) -> None:
    pids = children(workers)
    with none_left(pids):
        workers.signal(signal.SIGKILL)
        wait_until(lambda: not any(map(is_alive, pids)), 30, "the end of the workers")
    assert "Traceback" not in workers.stderr()


def test_a_missing_topic_ends_all_with_its_exit_code(start_cli: StartCli, kafka: str, topics: Topics) -> None:
    env = topics.env(kafka) | {"TELCO_STREAM_TOPICS__DEADLETTER": f"{topics.deadletter}.gone"}
    running = start_cli("consume", "--workers", "2", env=env)
    assert running.wait(60) == 3
    assert f"Topic {topics.deadletter}.gone" in running.stderr()
    assert "Traceback" not in running.stderr()


@pytest.mark.parametrize("slot", [0, 1])
def test_a_fixed_transactional_id_is_one_for_each_worker(
    start_cli: StartCli, kafka: str, topics: Topics, slot: int
) -> None:
    """The id with -0, -1 and so on behind it; whoever takes over one of them fences its worker."""
    env = topics.env(kafka) | {"TELCO_STREAM_CONSUMER__TRANSACTIONAL_ID": topics.transactional_id}
    running = start_cli("consume", "--workers", "2", env=env)
    for first in (0, 100):  # a worker that has answered has its id
        send_customers(kafka, topics, first, 100)
        wait_until(lambda count=first + 100: len(answered(kafka, topics)) == count, 60, "all answers")  # type: ignore[misc]
        wait_until(lambda: sharing(kafka, topics) == 2, 60, "partitions for both workers")
    stranger = Producer({"bootstrap.servers": kafka, "transactional.id": f"{topics.transactional_id}-{slot}"})
    stranger.init_transactions(15)
    send_customers(kafka, topics, 200, 100)
    assert running.wait(60) == 6, running.stderr()


def test_two_consumers_of_one_group_on_one_host_simply_work(start_cli: StartCli, kafka: str, topics: Topics) -> None:
    """Neither fences the other: each has a transactional id of its own."""
    pair = [start_cli("consume", "--output", "json", env=topics.env(kafka)) for _ in range(2)]
    for running in pair:
        running.wait_for_stderr("assigned partitions", 60)
    send_customers(kafka, topics, 0, 300)
    wait_until(lambda: len(answered(kafka, topics)) == 300, 60, "300 answers")
    for running in pair:
        running.signal(signal.SIGTERM)
    assert [running.wait() for running in pair] == [0, 0]
    shares = [json.loads(running.stdout())["predicted"] for running in pair]
    assert sum(shares) == 300
    assert all(shares)
