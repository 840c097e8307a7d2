"""End to end: from the moment a customer leaves to the moment a `read_committed` reader has the prediction."""

import sys
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from confluent_kafka import Consumer, TopicPartition

from benchmarks.bench import Bench
from benchmarks.broker import PARTITIONS
from benchmarks.measured import Figures, figure
from benchmarks.processes import FailedError, Process, cli, running

RATES = (10, 1_000, 10_000)
SUBJECTS = ("copy in transactions", "telco-stream", "copy", "telco-stream alo")
#: Seconds at the start of each run that are not counted.
WARM_UP = 1.0
#: Seconds that a subject may take to answer its first record.
PATIENCE = 30.0
_FIELD = b'"event_ts":"'


def measure(bench: Bench, wanted: Callable[[str], bool]) -> Figures:
    """Each subject at each rate, several times over."""
    asked = [(rate, name) for rate in RATES for name in SUBJECTS if wanted(f"latency {name}")]
    runs: dict[str, list[list[float]]] = {}
    for number in range(bench.counts.runs):
        for rate, name in asked:
            try:
                ages = sorted(_one_run(bench, name, rate))
            except FailedError as error:
                print(f"  latency {name} at {rate}: {error}", file=sys.stderr)
                continue
            runs.setdefault(f"latency {name} at {rate}", []).append([_percentile(ages, part) for part in PARTS])
            shown = ", ".join(f"{age:.1f}" for age in runs[f"latency {name} at {rate}"][-1])
            print(f"  latency {name} at {rate}/s, run {number + 1}: p50, p95, p99 {shown} ms", file=sys.stderr)
    return {
        name: dict(zip(NAMES, map(figure, map(list, zip(*some, strict=True))), strict=True))
        for name, some in runs.items()
    }


PARTS = (0.5, 0.95, 0.99)
NAMES = ("p50_ms", "p95_ms", "p99_ms")


def _percentile(ages: Sequence[float], part: float) -> float:
    return ages[min(len(ages) - 1, int(len(ages) * part))]


def _one_run(bench: Bench, name: str, rate: int) -> list[float]:
    """Milliseconds of each record sent after the warm-up."""
    with bench.topics.standing("raw", "out", "letters") as (raw, out, letters):
        reader = _reader(bench, out)
        command, env = _command(bench, name, raw, out, letters)
        with running(command, env, bench.folder) as subject:
            _wake(bench, raw, reader, subject)
            arrived = _measure(bench, raw, rate, reader)
            subject.stop()
            subject.end()
        reader.close()
    return arrived


def _command(bench: Bench, name: str, raw: str, out: str, letters: str) -> tuple[list[str], dict[str, str]]:
    if name.startswith("telco-stream"):
        promise = "at-least-once" if name.endswith("alo") else "exactly-once"
        command = cli("consume", "--delivery", promise, "--quiet", "--output", "json")
        return command, bench.env(raw, out, letters, bench.topics.fresh("group"))
    return bench.loop("loops.copy", out, 0, raw=raw, trickle=True, transactional="transactions" in name), {}


def _reader(bench: Bench, topic: str) -> Consumer:
    reader = Consumer(bench.properties(bench.topics.fresh("reader"))["consumer"])
    reader.assign([TopicPartition(topic, number, 0) for number in range(PARTITIONS)])
    return reader


def _wake(bench: Bench, raw: str, reader: Consumer, subject: Process) -> None:
    """Send until an answer comes: the group has been joined then, and everything has been imported."""
    deadline = time.monotonic() + PATIENCE
    while subject.is_alive() and time.monotonic() < deadline:
        with running(_sender(bench, raw, 10, 3), {}, bench.folder) as sender:
            sender.end()
        if reader.poll(1.0) is not None:
            return
    raise FailedError("no answer at all")


def _measure(bench: Bench, raw: str, rate: int, reader: Consumer) -> list[float]:
    seconds = max(bench.counts.seconds, 30 / rate)
    count, arrived = int(rate * (seconds + WARM_UP)), list[tuple[float, bytes]]()
    first = time.time()
    with running(_sender(bench, raw, rate, count), {}, bench.folder) as sender:
        quiet_since = time.monotonic()
        while sender.is_alive() or time.monotonic() - quiet_since < 1.0:
            if message := reader.poll(0.1):
                more = [message, *reader.consume(10_000, 0)]
                now = time.time()
                arrived += [(now, one.value() or b"") for one in more if one.error() is None]
                quiet_since = time.monotonic()
        sender.end()
    stamps = [(now, _left(value)) for now, value in arrived]
    begins = min((left for _, left in stamps if left > first), default=0.0) + WARM_UP
    if ages := [(now - left) * 1_000 for now, left in stamps if left > begins]:
        return ages
    raise FailedError("nothing arrived")


def _sender(bench: Bench, raw: str, rate: int, count: int) -> list[str]:
    properties: dict[str, Any] = bench.properties("none", linger_ms="1")
    return bench.loop("loops.paced", "", count, raw=raw, size=rate, properties=properties)


def _left(value: bytes) -> float:
    """When the customer left."""
    start = value.index(_FIELD) + len(_FIELD)
    return datetime.fromisoformat(value[start : value.index(b'"', start)].decode()).timestamp()
