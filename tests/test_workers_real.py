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
    """Send customers with `count` numbers from `first` on to the raw topic."""
    keys = [f"{number:05d}" for number in range(first, first + count)]
    send(kafka, topics.raw, [(key, good(customerID=key), []) for key in keys])


def answered(kafka: str, topics: Topics) -> list[str]:
    """Return the sorted IDs of the customers that have a prediction."""
    return sorted((kept.key or b"").decode() for kept in read_topic(kafka, topics.predictions))


def members_with_partitions(kafka: str, topics: Topics) -> int:
    """Return the number of members that have partitions."""
    admin = AdminClient({"bootstrap.servers": kafka})
    group = admin.describe_consumer_groups([topics.group])[topics.group].result(10)
    return sum(bool(member.assignment.topic_partitions) for member in group.members)


def numbers(count: int) -> list[str]:
    return [f"{number:05d}" for number in range(count)]


@pytest.fixture
def workers(start_cli: StartCli, kafka: str, topics: Topics) -> RunningCli:
    """Start two workers, and wait until they have answered 100 customers."""
    send_customers(kafka, topics, 0, 100)
    running = start_cli("consume", "--workers", "2", "--output", "json", env=topics.env(kafka))
    wait_until(lambda: running.process.poll() is not None or len(answered(kafka, topics)) == 100, 60, "100 answers")
    return running


def children(cli: RunningCli) -> list[int]:
    """Return the process IDs of the workers, without the resource tracker of multiprocessing."""
    listed = subprocess.run(
        ["ps", "-ww", "-o", "pid=,args=", "--ppid", str(cli.process.pid)], capture_output=True, text=True, check=False
    )
    return [int(line.split()[0]) for line in listed.stdout.splitlines() if "spawn_main" in line]


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@contextmanager
def killed_at_the_end(pids: list[int]) -> Iterator[None]:
    """Kill these processes after the block if they are still alive."""
    try:
        yield
    finally:
        for pid in filter(is_alive, pids):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_workers_end_with_one_summary_when_signalled(
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


def test_workers_lose_nothing_when_one_is_killed(workers: RunningCli, kafka: str, topics: Topics) -> None:
    """The new worker takes over the transactional ID, so that readers don't wait for a timeout."""
    victim, _ = children(workers)
    os.kill(victim, signal.SIGKILL)
    workers.wait_for_stderr("has crashed (exit -9); a new one starts in 1 s")
    send_customers(kafka, topics, 100, 100)
    wait_until(lambda: len(answered(kafka, topics)) == 200, 60, "200 answers")
    workers.signal(signal.SIGTERM)
    assert workers.wait() == 0
    assert answered(kafka, topics) == numbers(200)


def test_workers_end_when_their_parent_is_killed(workers: RunningCli) -> None:
    pids = children(workers)
    with killed_at_the_end(pids):
        workers.signal(signal.SIGKILL)
        wait_until(lambda: not any(map(is_alive, pids)), 30, "the end of the workers")
    assert "Traceback" not in workers.stderr()


def test_workers_exit_3_when_a_topic_is_missing(start_cli: StartCli, kafka: str, topics: Topics) -> None:
    env = topics.env(kafka) | {"TELCO_STREAM_TOPICS__DEADLETTER": f"{topics.deadletter}.gone"}
    running = start_cli("consume", "--workers", "2", env=env)
    assert running.wait(60) == 3
    assert f"Topic {topics.deadletter}.gone" in running.stderr()
    assert "Traceback" not in running.stderr()


@pytest.mark.parametrize("slot", [0, 1])
def test_workers_append_their_slot_to_a_fixed_id(start_cli: StartCli, kafka: str, topics: Topics, slot: int) -> None:
    """A producer that takes over one of the IDs fences its worker."""
    env = topics.env(kafka) | {"TELCO_STREAM_CONSUMER__TRANSACTIONAL_ID": topics.transactional_id}
    running = start_cli("consume", "--workers", "2", env=env)
    for first in (0, 100):  # a worker that has answered has initialized its ID
        send_customers(kafka, topics, first, 100)
        wait_until(lambda count=first + 100: len(answered(kafka, topics)) == count, 60, "all answers")  # type: ignore[misc]
        wait_until(lambda: members_with_partitions(kafka, topics) == 2, 60, "partitions for both workers")
    other = Producer({"bootstrap.servers": kafka, "transactional.id": f"{topics.transactional_id}-{slot}"})
    other.init_transactions(15)
    send_customers(kafka, topics, 200, 100)
    assert running.wait(60) == 6, running.stderr()


def test_two_consumers_of_a_group_share_the_partitions(start_cli: StartCli, kafka: str, topics: Topics) -> None:
    """Neither fences the other, because each has its own transactional ID."""
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
