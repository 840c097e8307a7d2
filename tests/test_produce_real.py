"""`produce` as a process of its own on a real Kafka: killed, stopped, resumed, retried."""

import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions

from telco_stream.csv.reader import fingerprint
from telco_stream.produce.progress import PassKey
from telco_stream.produce.writer import group_of
from tests.support.cli import RunningCli, run_cli
from tests.support.csv_files import customer
from tests.support.produce_harness import customer_ids, write_customers
from tests.support.topics import Topics, read_topic
from tests.support.waiting import wait_until

ROWS = 100_000
CHECKPOINT = Path("checkpoints/producer.json")
Start = Callable[..., RunningCli]


@pytest.fixture
def env(kafka: str, topics: Topics) -> dict[str, str]:
    return topics.env(kafka)


def produced(env: dict[str, str], path: Path, *options: str, code: int = 0) -> dict[str, Any]:
    done = run_cli(*command(path, *options), env=env)
    assert done.returncode == code, done.stderr
    result: dict[str, Any] = json.loads(done.stdout) if code == 0 else {"error": done.stderr}
    return result


def command(path: Path, *options: str) -> tuple[str, ...]:
    return ("produce", "--mode", "batch", "--data-path", str(path), "--output", "json", *options)


def keys(env: dict[str, str], isolation: str = "read_committed") -> Counter[str]:
    records = read_topic(env["TELCO_STREAM_BOOTSTRAP_SERVERS"], env["TELCO_STREAM_TOPICS__RAW"], isolation)
    return Counter((record.key or b"").decode() for record in records)


def each_once(count: int) -> Counter[str]:
    return Counter(customer_ids((0, count)))


@pytest.mark.parametrize("name", ["顧客.csv", os.fsdecode(b"K\xfcndigungen \n.csv")])
def test_a_file_may_have_any_name(env: dict[str, str], tmp_path: Path, name: str) -> None:
    """The progress is kept under it, in a group: of whose name the client takes ASCII only."""
    path = write_customers(tmp_path, 30).rename(tmp_path / name)
    assert produced(env, path, "--run-id", "é", "--limit", "10")["sent"] == 10
    assert produced(env, path, "--run-id", "é")["resumed_from"] == 10
    assert produced(env, path, "--run-id", "é")["sent"] == 0
    assert keys(env) == each_once(30)


def test_a_pass_leaves_each_row_once_and_says_where_the_topic_ends(env: dict[str, str], tmp_path: Path) -> None:
    result = produced(env, write_customers(tmp_path, 2_000))
    assert list(result) == [
        *("mode", "topic", "run_id", "sent", "failed", "resumed_from", "end_offsets", "seconds", "rate"),
    ]
    topic = env["TELCO_STREAM_TOPICS__RAW"]
    assert (result["mode"], result["topic"], result["run_id"], result["sent"]) == ("batch", topic, None, 2_000)
    assert (result["failed"], result["resumed_from"]) == (0, None)
    assert sorted(result["end_offsets"]) == ["0", "1", "2"]
    assert 2_000 <= sum(result["end_offsets"].values()) <= 2_003  # with or without the transaction's markers
    assert result["rate"] == pytest.approx(2_000 / result["seconds"], rel=0.01)
    assert keys(env) == each_once(2_000)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder where nobody can make a file")
@pytest.mark.parametrize(
    ("delivery", "code", "complaints"), [("exactly-once", 0, [1, 0]), ("at-least-once", 2, [1, 1])]
)
def test_produce_needs_its_checkpoint_file_only_at_least_once(
    env: dict[str, str], tmp_path: Path, delivery: str, code: int, complaints: list[int]
) -> None:
    options = ("--checkpoint-file", "/proc/producer.json", "--delivery", delivery, "--run-id", "x")
    path = write_customers(tmp_path, 30)
    runs = [run_cli(*command(path, *options), env=env) for _ in complaints]
    assert [done.returncode for done in runs] == [code, code]
    assert [done.stderr.count("Cannot write /proc/producer.json") for done in runs] == complaints
    assert keys(env) == each_once(0 if code else 30)


def test_produce_names_each_end_when_partitions_are_added(
    env: dict[str, str], start_cli: Start, tmp_path: Path
) -> None:
    path, topic = write_customers(tmp_path, 10 * ROWS), env["TELCO_STREAM_TOPICS__RAW"]
    running = start_cli(*command(path), env=env, cwd=tmp_path)
    wait_until(lambda: CHECKPOINT.exists() and '"last_processed_index":-1' not in CHECKPOINT.read_text(), 30, "rows")
    admin = AdminClient({"bootstrap.servers": env["TELCO_STREAM_BOOTSTRAP_SERVERS"]})
    admin.create_partitions([NewPartitions(topic, 5)])[topic].result(15)
    wait_until(lambda: len(admin.list_topics(topic, timeout=5).topics[topic].partitions) == 5, 30, "five partitions")
    running.signal(signal.SIGTERM)
    assert running.wait() == 0
    assert sorted(json.loads(running.stdout())["end_offsets"]) == ["0", "1", "2", "3", "4"]


@pytest.mark.parametrize("seed", [1, 2])
def test_a_run_killed_at_random_moments_and_resumed_leaves_each_row_once(
    env: dict[str, str], start_cli: Start, tmp_path: Path, seed: int
) -> None:
    """Kills until half of the runs have sent something, then one to the end, and one more that sends nothing."""
    path, chance = write_customers(tmp_path, ROWS), random.Random(seed)
    for number in range(6):
        running = start_cli(*command(path, "--batch-size", "300", "--run-id", "x"), env=env, cwd=tmp_path)
        time.sleep(chance.uniform(0.5, 1.6))  # any moment between start and end is what the test is about
        running.signal(signal.SIGKILL)
        running.process.wait()
        if number % 2:
            CHECKPOINT.unlink(missing_ok=True)  # Kafka knows
    last = produced(env, path, "--run-id", "x")
    assert keys(env) == each_once(ROWS)
    assert produced(env, path, "--run-id", "x")["sent"] == 0
    assert (last["resumed_from"] or 0) + last["sent"] in {ROWS, 0}


def test_a_pass_killed_with_an_open_transaction_is_resumed_at_once_and_the_leftover_is_aborted(
    env: dict[str, str], start_cli: Start, tmp_path: Path
) -> None:
    """Readers see no row of it: the restart's transactional id is the pass's, so that it ends what it finds open."""
    path = write_customers(tmp_path, ROWS)
    running = start_cli(*command(path), env=env, cwd=tmp_path)
    wait_until(lambda: sum(keys(env, "read_uncommitted").values()) > 0, 30, "a row in the topic")
    running.signal(signal.SIGKILL)
    running.process.wait()
    started = time.monotonic()
    result = produced(env, path, "--limit", str(ROWS))
    assert time.monotonic() - started < 20  # the broker would wait for 30 s
    assert keys(env) == each_once(ROWS), result


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_pass_within_two_seconds_and_the_next_run_goes_on(
    env: dict[str, str], start_cli: Start, tmp_path: Path, number: signal.Signals
) -> None:
    path = write_customers(tmp_path, 10 * ROWS)
    running = start_cli(*command(path), env=env, cwd=tmp_path)
    wait_until(lambda: CHECKPOINT.exists() and '"last_processed_index":-1' not in CHECKPOINT.read_text(), 30, "rows")
    running.signal(number)
    asked = time.monotonic()
    assert running.wait() == 0
    assert time.monotonic() - asked < 2
    result, kept = json.loads(running.stdout()), json.loads(CHECKPOINT.read_text())
    assert 0 < result["sent"] == kept["total_sent"] == kept["last_processed_index"] + 1 < 10 * ROWS
    assert keys(env) == each_once(result["sent"])
    assert produced(env, path, "--limit", "5")["resumed_from"] == result["sent"]
    assert keys(env) == each_once(result["sent"] + 5)


@pytest.mark.parametrize("delivery", ["exactly-once", "at-least-once"])
def test_limits_add_up_and_the_end_of_the_file_ends_the_pass(
    env: dict[str, str], tmp_path: Path, delivery: str
) -> None:
    path = write_customers(tmp_path, 25)
    runs = [produced(env, path, "--delivery", delivery, "--limit", limit) for limit in ("10", "15", "5")]
    assert [(run["sent"], run["resumed_from"]) for run in runs] == [(10, None), (15, 10), (5, None)]
    assert keys(env) == Counter(customer_ids((0, 25), (0, 5)))


@pytest.mark.parametrize("delivery", ["exactly-once", "at-least-once"])
def test_a_retried_task_sends_nothing_twice_and_other_ids_are_their_own(
    env: dict[str, str], tmp_path: Path, delivery: str
) -> None:
    path, options = write_customers(tmp_path, 10), ("--delivery", delivery, "--run-id")
    sent = [produced(env, path, *options, name)["sent"] for name in ("mon", "mon", "tue", "mon", "tue")]
    assert sent == [10, 0, 10, 0, 0]
    assert keys(env) == Counter(customer_ids((0, 10), (0, 10)))


def test_kafka_s_progress_wins_over_the_file_and_says_so(env: dict[str, str], tmp_path: Path) -> None:
    path = write_customers(tmp_path, 25)
    produced(env, path, "--limit", "10")
    older = CHECKPOINT.read_text()
    produced(env, path, "--limit", "10")
    CHECKPOINT.write_text(older)
    done = run_cli(*command(path), env=env)
    assert json.loads(done.stdout)["resumed_from"] == 20
    assert "the checkpoint file says row 10, Kafka says row 20: Kafka is right" in done.stderr
    assert keys(env) == each_once(25)


def test_a_restart_sends_everything_again(env: dict[str, str], tmp_path: Path) -> None:
    path = write_customers(tmp_path, 10)
    produced(env, path, "--limit", "4")
    assert produced(env, path, "--restart")["sent"] == 10
    assert keys(env) == Counter(customer_ids((0, 4), (0, 10)))


def test_a_bad_row_is_exit_5_with_its_line_and_rows_before_its_chunk_are_there(
    env: dict[str, str], tmp_path: Path
) -> None:
    path = write_customers(tmp_path, 25, customer(customerID="bad", tenure="many"))
    error = produced(env, path, "--batch-size", "10", "--quiet", code=5)["error"]
    assert error.count("\n") == 1
    assert "line 27: tenure is not a number" in error
    assert keys(env) == each_once(20)
    assert json.loads(CHECKPOINT.read_text())["total_sent"] == 20


def test_an_offset_set_by_hand_is_an_error_not_a_guess(env: dict[str, str], tmp_path: Path) -> None:
    path, topic = write_customers(tmp_path, 10), env["TELCO_STREAM_TOPICS__RAW"]
    group = group_of(PassKey(str(path), fingerprint(path), topic))
    consumer = Consumer({"bootstrap.servers": env["TELCO_STREAM_BOOTSTRAP_SERVERS"], "group.id": group})
    consumer.commit(offsets=[TopicPartition(topic, 0, 5)], asynchronous=False)
    consumer.close()
    assert f"group {group} holds no progress" in produced(env, path, code=5)["error"]
    assert produced(env, path, "--restart")["sent"] == 10


def test_two_producers_of_one_pass_are_never_both_heard(env: dict[str, str], start_cli: Start, tmp_path: Path) -> None:
    """The one that started first is fenced: exit 6, and each row is there once."""
    path = write_customers(tmp_path, 5 * ROWS)
    first = start_cli(*command(path, "--run-id", "x"), env=env, cwd=tmp_path)
    wait_until(lambda: CHECKPOINT.exists() and '"last_processed_index":-1' not in CHECKPOINT.read_text(), 30, "rows")
    produced(env, path, "--run-id", "x", "--checkpoint-file", "other.json")
    assert first.wait() == 6, first.stderr()
    assert first.stderr().splitlines()[-1].startswith("Error: Another instance has taken over")
    assert keys(env) == each_once(5 * ROWS)


def test_a_stream_meets_its_rate_and_stops_within_two_seconds(
    env: dict[str, str], start_cli: Start, tmp_path: Path
) -> None:
    options = ("--mode", "streaming", "--events-per-sec", "200", "--output", "json")
    running = start_cli("produce", *options, env=env, cwd=tmp_path)
    wait_until(lambda: CHECKPOINT.exists() and json.loads(CHECKPOINT.read_text())["total_sent"] > 300, 30, "events")
    running.signal(signal.SIGTERM)
    asked = time.monotonic()
    assert running.wait() == 0
    assert time.monotonic() - asked < 2
    result = json.loads(running.stdout())
    assert result["rate"] == pytest.approx(200, rel=0.1)
    records = read_topic(env["TELCO_STREAM_BOOTSTRAP_SERVERS"], env["TELCO_STREAM_TOPICS__RAW"])
    assert len(records) == result["sent"] == json.loads(CHECKPOINT.read_text())["total_sent"]
    late = [record.timestamp - _milliseconds(record.json()["event_ts"]) for record in records]
    assert max(late) < 1_000  # event_ts is the time of sending


def _milliseconds(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1_000)
