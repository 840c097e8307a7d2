"""Hostile records on a real Kafka: they must not end a command or use too much memory."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeAlias

import pytest
from confluent_kafka import Producer

from telco_stream.messages.headers import DROPPED
from tests.support.in_process import run_in_process
from tests.support.raw_headers import send_with_header
from tests.support.records import good
from tests.support.topics import Topics, read_topic, send

#: Memory limit of a consumer in Compose, in kB.
MEMORY_LIMIT = 384 * 1024
#: Values and headers.
Records: TypeAlias = Iterable[tuple[bytes, list[tuple[str, bytes]]]]
MANY_HEADERS = [(f"h{number % 10}", b"") for number in range(99_000)]


@pytest.mark.parametrize("name", [b"pr\xe9nom", b"\xff", b"\xed\xa0\x80trace"], ids=["Latin-1", "byte", "surrogate"])
def test_consume_scores_a_record_when_a_header_name_is_not_utf_8(kafka: str, topics: Topics, name: bytes) -> None:
    send(kafka, topics.raw, [("k", good(), [("trace", b"1")])] * 100)
    send_with_header(kafka, topics.raw, good(), name)
    send_with_header(kafka, topics.raw, b"no customer", name)
    run = run_in_process("consume", "--mode", "batch", "--output", "json", "-q", env=topics.env(kafka))
    assert run.code == 0, run.err
    answers = [*read_topic(kafka, topics.predictions), *read_topic(kafka, topics.deadletter)]
    assert Counter(answer.header(DROPPED) for answer in answers) == {None: 100, "unreadable": 2}


def test_commands_read_topics_when_a_header_name_is_not_utf_8(kafka: str, topics: Topics) -> None:
    """After many other records: once Python has specialized a call, it ignores the client's exception."""
    send(kafka, topics.raw, [*[("a", good(), [("trace", b"1")])] * 100, ("b", b"no customer", [])])
    env = topics.env(kafka)
    assert run_in_process("consume", "--mode", "batch", "-q", env=env).code == 0
    letter = read_topic(kafka, topics.deadletter)[0]
    send_with_header(kafka, topics.deadletter, letter.value or b"", b"pr\xe9nom")
    send_with_header(kafka, topics.predictions, b"no prediction", b"pr\xe9nom")
    send_with_header(kafka, topics.raw, good(), b"pr\xe9nom")
    commands = {
        "report": 0,
        "verify": 5,  # the two answers name no input
        "status": 0,
        "dlq list": 0,
        f"dlq show 0:{letter.offset + 2}": 0,  # between them is a transaction's marker
        "dlq replay --execute": 0,
    }
    runs = {command: run_in_process(*command.split(), "--output", "json", env=env) for command in commands}
    assert {command: run.code for command, run in runs.items()} == commands, runs
    assert json.loads(runs["dlq replay --execute"].out)["replayed"] == 2


@pytest.mark.parametrize("name", ["日" * 800_000, "🙂" * 600_000, "x" * 2_400_000], ids=["three bytes", "four", "one"])
def test_consume_answers_a_record_when_a_header_name_is_long(kafka: str, topics: Topics, name: str) -> None:
    send_compressed(kafka, topics.raw, [(good(), [(name, b"x")]), (b"no customer", [(name, b"x")])])
    run = run_in_process("consume", "--mode", "batch", "-q", env=topics.env(kafka))
    assert run.code == 0, run.err
    assert len(read_topic(kafka, topics.predictions)) == len(read_topic(kafka, topics.deadletter)) == 1


def one_of_nuls() -> Records:
    yield from [(good(), []), (b"\0" * 60_000_000, []), (good(), [])]


def many_headers() -> Records:
    yield from [(good(), MANY_HEADERS)] * 40


def large_records() -> Records:
    yield from [(good(more="x" * 900_000), []), (b"x" * 900_000, [])] * 150


def one_long_id() -> Records:
    yield from [(good(), []), (good(customerID="🙂" + "x" * 60_000_000), []), (good(), [])]


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
@pytest.mark.parametrize("records", [one_of_nuls, many_headers, large_records, one_long_id])
def test_consume_stays_within_memory_when_records_are_large(
    kafka: str, topics: Topics, tmp_path: Path, records: Callable[[], Records]
) -> None:
    count = send_compressed(kafka, topics.raw, records())
    for command in ("consume --mode batch", "verify"):
        code, kilobytes = peak_of(tmp_path, *command.split(), env=topics.env(kafka))
        assert (code, kilobytes < MEMORY_LIMIT) == (0, True), f"{command} ended with {code}, {kilobytes} kB"
    answers = [*read_topic(kafka, topics.predictions), *read_topic(kafka, topics.deadletter)]
    assert len(answers) == count


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_dlq_list_stays_within_memory_when_keys_are_long(kafka: str, topics: Topics, tmp_path: Path) -> None:
    letter = {"original_message": "", "error_type": "json", "error_message": "", "timestamp": "", "retry_count": 0}
    send(kafka, topics.deadletter, [(b"\xff" * 1_000_000, json.dumps(letter).encode(), [])] * 150)
    code, kilobytes = peak_of(tmp_path, "dlq", "list", env=topics.env(kafka))
    assert (code, kilobytes < MEMORY_LIMIT) == (0, True), f"ended with {code}, {kilobytes} kB"


def send_compressed(bootstrap: str, topic: str, records: Records) -> int:
    """Send compressed records to one partition, and return their number."""
    own = {"compression.type": "zstd", "message.max.bytes": 100_000_000, "queue.buffering.max.kbytes": 1_000_000}
    producer = Producer({"bootstrap.servers": bootstrap, **own})
    count = 0
    for value, headers in records:
        producer.produce(topic, value, partition=0, headers=headers)  # type: ignore[arg-type]
        count += 1
    assert producer.flush(60) == 0
    return count


def peak_of(folder: Path, *args: str, env: dict[str, str]) -> tuple[int, int]:
    """Run a command; return its exit code and its peak memory in kB.

    It writes that down itself: what `wait4` reports is at least the memory of this process, which it was forked from.
    """
    command = [sys.executable, "-c", _WITH_PEAK, str(folder / "peak"), *args, "-q"]
    run = subprocess.run(command, env={**os.environ, **env}, capture_output=True, timeout=120, check=False)
    return run.returncode, int((folder / "peak").read_text())


_WITH_PEAK = """
import atexit, pathlib, re, runpy, sys
file = pathlib.Path(sys.argv.pop(1))
read_peak = lambda: re.search(r"VmHWM:\\s+(\\d+)", pathlib.Path("/proc/self/status").read_text())[1]
atexit.register(lambda: file.write_text(read_peak()))
runpy.run_module("telco_stream", run_name="__main__", alter_sys=True)
"""
