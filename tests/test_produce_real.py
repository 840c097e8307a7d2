"""`produce` on a real Kafka: resumed and retried; as a process, killed and stopped."""

import json
import os
import random
import signal
import string
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
from tests.support.cli import RunningCli
from tests.support.csv_files import customer, write_table
from tests.support.in_process import run_in_process
from tests.support.produce_harness import customer_ids, write_customers
from tests.support.topics import Topics, configure_topic, read_topic
from tests.support.waiting import wait_until

ROWS = 100_000
CHECKPOINT = Path("checkpoints/producer.json")
Start = Callable[..., RunningCli]


@pytest.fixture
def env(kafka: str, topics: Topics) -> dict[str, str]:
    return topics.env(kafka)


def run_produce(env: dict[str, str], path: Path, *options: str, code: int = 0) -> dict[str, Any]:
    done = run_in_process(*command(path, *options), env=env)
    assert done.code == code, done.err
    result: dict[str, Any] = json.loads(done.out) if code == 0 else {"error": done.err}
    return result


def command(path: Path, *options: str) -> tuple[str, ...]:
    return ("produce", "--mode", "batch", "--data-path", str(path), "--output", "json", *options)


def keys(env: dict[str, str], isolation: str = "read_committed") -> Counter[str]:
    records = read_topic(env["TELCO_STREAM_BOOTSTRAP_SERVERS"], env["TELCO_STREAM_TOPICS__RAW"], isolation)
    return Counter((record.key or b"").decode() for record in records)


def each_once(count: int) -> Counter[str]:
    return Counter(customer_ids((0, count)))


@pytest.mark.parametrize("delivery", ["exactly-once", "at-least-once"])
def test_produce_sends_batches_that_the_topic_accepts_when_they_hardly_compress(
    env: dict[str, str], tmp_path: Path, delivery: str
) -> None:
    configure_topic(
        env["TELCO_STREAM_BOOTSTRAP_SERVERS"], env["TELCO_STREAM_TOPICS__RAW"], "max.message.bytes", "20000"
    )
    draw = random.Random(0)
    names = ["".join(draw.choices(string.ascii_letters + string.digits, k=1_000)) for _ in range(300)]
    path = write_table(tmp_path, *(customer(customerID=name) for name in names))
    assert run_produce(env, path, "--delivery", delivery)["sent"] == 300


@pytest.mark.parametrize("name", ["顧客.csv", os.fsdecode(b"K\xfcndigungen \n.csv")])
def test_produce_sends_a_file_with_any_name(env: dict[str, str], tmp_path: Path, name: str) -> None:
    """The progress is stored under it, in a group: of whose name the client takes ASCII only."""
    path = write_customers(tmp_path, 30).rename(tmp_path / name)
    assert run_produce(env, path, "--run-id", "é", "--limit", "10")["sent"] == 10
    assert run_produce(env, path, "--run-id", "é")["resumed_from"] == 10
    assert run_produce(env, path, "--run-id", "é")["sent"] == 0
    assert keys(env) == each_once(30)


def test_produce_returns_the_result_of_the_interface(env: dict[str, str], tmp_path: Path) -> None:
    result = run_produce(env, write_customers(tmp_path, 2_000))
    assert list(result) == [
        *("mode", "topic", "run_id", "sent", "failed", "resumed_from", "end_offsets", "seconds", "rate"),
        *("stopped_by", "bad_rows", "rows_done", "rows_total", "sent_again"),
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
    runs = [run_in_process(*command(path, *options), env=env) for _ in complaints]
    assert [done.code for done in runs] == [code, code]
    assert [done.err.count("Cannot write /proc/producer.json") for done in runs] == complaints
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
def test_produce_sends_each_row_once_when_killed_at_random(
    env: dict[str, str], start_cli: Start, tmp_path: Path, seed: int
) -> None:
    """Kill six runs at random moments, let one finish, and check that another one sends nothing."""
    path, chance = write_customers(tmp_path, ROWS), random.Random(seed)
    for number in range(6):
        running = start_cli(*command(path, "--batch-size", "300", "--run-id", "x"), env=env, cwd=tmp_path)
        time.sleep(chance.uniform(0.5, 1.6))  # any moment between start and end
        running.signal(signal.SIGKILL)
        running.process.wait()
        if number % 2:
            CHECKPOINT.unlink(missing_ok=True)  # the progress is in Kafka
    last = run_produce(env, path, "--run-id", "x")
    assert keys(env) == each_once(ROWS)
    assert run_produce(env, path, "--run-id", "x")["sent"] == 0
    assert (last["resumed_from"] or 0) + last["sent"] in {ROWS, 0}


def test_produce_skips_each_bad_row_once_when_killed(env: dict[str, str], start_cli: Start, tmp_path: Path) -> None:
    """Every 700th row is bad. Good rows are in the topic once, and bad rows in their file once."""
    good, chance = [number for number in range(ROWS) if number % 700], random.Random(3)
    fields = [{"tenure": "1" if number % 700 else "x"} for number in range(ROWS)]
    lines = [customer(customerID=str(number), **tenure) for number, tenure in enumerate(fields)]
    path, options = write_table(tmp_path, *lines), ("--batch-size", "300", "--bad-rows", "bad.csv", "--run-id", "x")
    for _ in range(4):
        running = start_cli(*command(path, *options), env=env, cwd=tmp_path)
        time.sleep(chance.uniform(0.5, 1.6))  # any moment between start and end
        running.signal(signal.SIGKILL)
        running.process.wait()
    assert run_produce(env, path, *options)["stopped_by"] in {"end", "already-complete"}
    assert keys(env) == Counter(map(str, good))
    lines = Path("bad.csv").read_text().splitlines()[1:]
    assert [line.split(",")[:3] for line in lines] == [
        [str(number + 2), "tenure is not a number", str(number)] for number in range(0, ROWS, 700)
    ]


def test_produce_aborts_the_transaction_of_a_killed_process(
    env: dict[str, str], start_cli: Start, tmp_path: Path
) -> None:
    """The restart has the same transactional ID, so it aborts the open transaction."""
    path = write_customers(tmp_path, ROWS)
    running = start_cli(*command(path), env=env, cwd=tmp_path)
    wait_until(lambda: sum(keys(env, "read_uncommitted").values()) > 0, 30, "a row in the topic")
    running.signal(signal.SIGKILL)
    running.process.wait()
    started = time.monotonic()
    result = run_produce(env, path, "--limit", str(ROWS))
    assert time.monotonic() - started < 20  # the broker would abort it after 30 s
    assert keys(env) == each_once(ROWS), result


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_produce_ends_in_two_seconds_when_signalled(
    env: dict[str, str], start_cli: Start, tmp_path: Path, number: signal.Signals
) -> None:
    path = write_customers(tmp_path, 10 * ROWS)
    running = start_cli(*command(path), env=env, cwd=tmp_path)
    wait_until(lambda: CHECKPOINT.exists() and '"last_processed_index":-1' not in CHECKPOINT.read_text(), 30, "rows")
    running.signal(number)
    requested_at = time.monotonic()
    assert running.wait() == 0
    assert time.monotonic() - requested_at < 2
    result, stored = json.loads(running.stdout()), json.loads(CHECKPOINT.read_text())
    assert (result["stopped_by"], result["rows_done"], result["rows_total"]) == ("signal", result["sent"], 10 * ROWS)
    assert f"Interrupted at row {result['sent']:,} of 1,000,000. Run the same command to continue." in running.stderr()
    assert 0 < result["sent"] == stored["total_sent"] == stored["last_processed_index"] + 1 < 10 * ROWS
    assert keys(env) == each_once(result["sent"])
    assert run_produce(env, path, "--limit", "5")["resumed_from"] == result["sent"]
    assert keys(env) == each_once(result["sent"] + 5)


@pytest.mark.parametrize("delivery", ["exactly-once", "at-least-once"])
def test_produce_resumes_after_each_limit(env: dict[str, str], tmp_path: Path, delivery: str) -> None:
    path = write_customers(tmp_path, 25)
    runs = [run_produce(env, path, "--delivery", delivery, "--limit", limit) for limit in ("10", "15", "5")]
    assert [(run["sent"], run["resumed_from"]) for run in runs] == [(10, None), (15, 10), (5, None)]
    assert keys(env) == Counter(customer_ids((0, 25), (0, 5)))


@pytest.mark.parametrize("delivery", ["exactly-once", "at-least-once"])
def test_produce_sends_each_run_id_once(env: dict[str, str], tmp_path: Path, delivery: str) -> None:
    path, options = write_customers(tmp_path, 10), ("--delivery", delivery, "--run-id")
    sent = [run_produce(env, path, *options, name)["sent"] for name in ("mon", "mon", "tue", "mon", "tue")]
    assert sent == [10, 0, 10, 0, 0]
    assert keys(env) == Counter(customer_ids((0, 10), (0, 10)))


def test_produce_resumes_from_kafka_when_the_file_is_behind(env: dict[str, str], tmp_path: Path) -> None:
    path = write_customers(tmp_path, 25)
    run_produce(env, path, "--limit", "10")
    older = CHECKPOINT.read_text()
    run_produce(env, path, "--limit", "10")
    CHECKPOINT.write_text(older)
    done = run_in_process(*command(path), env=env)
    assert json.loads(done.out)["resumed_from"] == 20
    assert "the checkpoint file says row 10, Kafka says row 20; continuing from Kafka's row" in done.err
    assert keys(env) == each_once(25)


def test_produce_sends_all_rows_when_restarted(env: dict[str, str], tmp_path: Path) -> None:
    path = write_customers(tmp_path, 10)
    run_produce(env, path, "--limit", "4")
    assert run_produce(env, path, "--restart")["sent"] == 10
    assert keys(env) == Counter(customer_ids((0, 4), (0, 10)))


@pytest.mark.parametrize("run_id", [(), ("--run-id", "x")], ids=["unnamed", "named"])
def test_produce_continues_when_a_bad_row_is_corrected(
    env: dict[str, str], tmp_path: Path, run_id: tuple[str, ...]
) -> None:
    path = write_customers(tmp_path, 25, customer(customerID="bad", tenure="many"))
    error = run_produce(env, path, "--batch-size", "10", "--quiet", *run_id, code=5)["error"]
    assert error.count("\n") == 1
    assert "line 27: tenure is not a number" in error
    assert "20 rows were sent; the same command continues after the correction" in error
    assert keys(env) == each_once(20)
    assert json.loads(CHECKPOINT.read_text())["total_sent"] == 20
    done = run_in_process(*command(write_customers(tmp_path, 26), "--batch-size", "10", *run_id), env=env)
    assert (done.code, json.loads(done.out)["resumed_from"]) == (0, 20)
    assert "6 rows sent, after 20 rows in earlier runs." in done.err
    assert keys(env) == each_once(26)


def test_produce_exits_5_when_a_sent_row_has_changed(env: dict[str, str], tmp_path: Path) -> None:
    path = write_customers(tmp_path, 25)
    run_produce(env, path, "--limit", "10")
    CHECKPOINT.unlink()  # the progress is in Kafka
    content = path.read_text()
    path.write_text(content.replace("Female", "Male", 1))
    assert "first 10 rows" in run_produce(env, path, code=5)["error"]
    path.write_text(content)
    assert run_produce(env, path)["sent"] == 15
    assert keys(env) == each_once(25)


def test_produce_says_when_rows_are_sent_again(env: dict[str, str], tmp_path: Path) -> None:
    path = write_customers(tmp_path, 10)
    first, again, named, done = (
        run_in_process(*command(path, *options), env=env) for options in ((), (), ("--run-id", "x"), ("--run-id", "x"))
    )
    assert [json.loads(run.out)["sent_again"] for run in (first, again, named, done)] == [False, True, False, False]
    assert "--run-id ID sends a file once" in again.err
    warning = again.err.index("WARNING an earlier run has sent customers.csv to ")
    assert again.err.index("started command=produce") < warning < again.err.index("stopped command=produce")
    assert not any("WARNING" in run.err for run in (first, named, done))
    assert "WARNING" not in run_in_process(*command(path, "--restart"), env=env).err
    assert "Run x is complete: 10 rows sent." in named.err
    assert "Run x is complete; nothing was sent." in done.err


def test_produce_exits_5_when_an_offset_was_set_by_hand(env: dict[str, str], tmp_path: Path) -> None:
    path, topic = write_customers(tmp_path, 10), env["TELCO_STREAM_TOPICS__RAW"]
    group = group_of(PassKey(str(path), fingerprint(path), topic))
    consumer = Consumer({"bootstrap.servers": env["TELCO_STREAM_BOOTSTRAP_SERVERS"], "group.id": group})
    consumer.commit(offsets=[TopicPartition(topic, 0, 5)], asynchronous=False)
    consumer.close()
    assert f"group {group} has no progress" in run_produce(env, path, code=5)["error"]
    assert run_produce(env, path, "--restart")["sent"] == 10


def test_produce_exits_6_when_another_starts_the_run(env: dict[str, str], start_cli: Start, tmp_path: Path) -> None:
    """The first process is fenced, and each row is there once; small batches keep it busy until then."""
    path = write_customers(tmp_path, ROWS)
    first = start_cli(*command(path, "--run-id", "x", "--batch-size", "100"), env=env, cwd=tmp_path)
    wait_until(lambda: CHECKPOINT.exists() and '"last_processed_index":-1' not in CHECKPOINT.read_text(), 30, "rows")
    run_produce(env, path, "--run-id", "x", "--checkpoint-file", "other.json")
    assert first.wait() == 6, first.stderr()
    error = first.stderr().splitlines()[-1]
    assert error.startswith("Error: Another instance has taken over this pass")
    assert "transactional" not in error
    assert keys(env) == each_once(ROWS)


def test_stream_meets_its_rate_and_ends_in_two_seconds(env: dict[str, str], start_cli: Start, tmp_path: Path) -> None:
    options = ("--mode", "streaming", "--events-per-sec", "200", "--output", "json")
    running = start_cli("produce", *options, env=env, cwd=tmp_path)
    wait_until(lambda: CHECKPOINT.exists() and json.loads(CHECKPOINT.read_text())["total_sent"] > 300, 30, "events")
    running.signal(signal.SIGTERM)
    requested_at = time.monotonic()
    assert running.wait() == 0
    assert time.monotonic() - requested_at < 2
    result = json.loads(running.stdout())
    assert result["rate"] == pytest.approx(200, rel=0.1)
    records = read_topic(env["TELCO_STREAM_BOOTSTRAP_SERVERS"], env["TELCO_STREAM_TOPICS__RAW"])
    assert len(records) == result["sent"] == json.loads(CHECKPOINT.read_text())["total_sent"]
    late = [record.timestamp - _milliseconds(record.json()["event_ts"]) for record in records]
    assert max(late) < 1_000  # event_ts is the time of sending


def _milliseconds(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1_000)
