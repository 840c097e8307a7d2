"""End-to-end latency: from sending a customer until a `read_committed` reader has the prediction."""

import sys
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from confluent_kafka import Consumer, TopicPartition

from benchmarks.broker import PARTITIONS
from benchmarks.figures import Figures, figure
from benchmarks.processes import FailedError, Process, cli, running
from benchmarks.session import BenchSession

RATES = (10, 1_000, 10_000)
SUBJECTS = ("copy in transactions", "telco-stream", "copy", "telco-stream alo")
#: Seconds at the start of a run that are not measured.
WARM_UP = 1.0
#: Time limit for the first answer of a subject, in seconds.
FIRST_ANSWER_TIMEOUT = 30.0
_FIELD = b'"event_ts":"'


def measure(session: BenchSession, is_selected: Callable[[str], bool]) -> Figures:
    """Measure each subject at each rate, several times."""
    cases = [(rate, name) for rate in RATES for name in SUBJECTS if is_selected(f"latency {name}")]
    runs: dict[str, list[list[float]]] = {}
    for number in range(session.counts.runs):
        for rate, name in cases:
            try:
                ages = sorted(_run_once(session, name, rate))
            except FailedError as error:
                print(f"  latency {name} at {rate}: {error}", file=sys.stderr)
                continue
            runs.setdefault(f"latency {name} at {rate}", []).append([_percentile(ages, part) for part in PARTS])
            shown = ", ".join(f"{age:.1f}" for age in runs[f"latency {name} at {rate}"][-1])
            print(f"  latency {name} at {rate}/s, run {number + 1}: p50, p95, p99 {shown} ms", file=sys.stderr)
    return {
        name: dict(zip(NAMES, map(figure, map(list, zip(*percentiles, strict=True))), strict=True))
        for name, percentiles in runs.items()
    }


PARTS = (0.5, 0.95, 0.99)
NAMES = ("p50_ms", "p95_ms", "p99_ms")


def _percentile(ages: Sequence[float], part: float) -> float:
    return ages[min(len(ages) - 1, int(len(ages) * part))]


def _run_once(session: BenchSession, name: str, rate: int) -> list[float]:
    """Return the latencies of the records sent after the warm-up, in milliseconds."""
    with session.topics.temporary_topics("raw", "out", "letters") as (raw, out, letters):
        reader = _reader(session, out)
        command, env = _command(session, name, raw, out, letters)
        with running(command, env, session.folder) as subject:
            _warm_up(session, raw, reader, subject)
            arrived = _measure(session, raw, rate, reader)
            subject.stop()
            subject.end()
        reader.close()
    return arrived


def _command(session: BenchSession, name: str, raw: str, out: str, letters: str) -> tuple[list[str], dict[str, str]]:
    if name.startswith("telco-stream"):
        delivery = "at-least-once" if name.endswith("alo") else "exactly-once"
        command = cli("consume", "--delivery", delivery, "--quiet", "--output", "json")
        return command, session.env(raw, out, letters, session.topics.unique_name("group"))
    return session.loop("loops.copy", out, 0, raw=raw, trickle=True, transactional="transactions" in name), {}


def _reader(session: BenchSession, topic: str) -> Consumer:
    reader = Consumer(session.properties(session.topics.unique_name("reader"))["consumer"])
    reader.assign([TopicPartition(topic, number, 0) for number in range(PARTITIONS)])
    return reader


def _warm_up(session: BenchSession, raw: str, reader: Consumer, subject: Process) -> None:
    """Send records until the first answer, so that joining the group and imports are not measured."""
    deadline = time.monotonic() + FIRST_ANSWER_TIMEOUT
    while subject.is_alive() and time.monotonic() < deadline:
        with running(_sender(session, raw, 10, 3), {}, session.folder) as sender:
            sender.end()
        if reader.poll(1.0) is not None:
            return
    raise FailedError("no answer to the first records")


def _measure(session: BenchSession, raw: str, rate: int, reader: Consumer) -> list[float]:
    seconds = max(session.counts.seconds, 30 / rate)
    count, arrived = int(rate * (seconds + WARM_UP)), list[tuple[float, bytes]]()
    first = time.time()
    with running(_sender(session, raw, rate, count), {}, session.folder) as sender:
        quiet_since = time.monotonic()
        while sender.is_alive() or time.monotonic() - quiet_since < 1.0:
            if message := reader.poll(0.1):
                messages = [message, *reader.consume(10_000, 0)]
                now = time.time()
                arrived += [(now, message.value() or b"") for message in messages if message.error() is None]
                quiet_since = time.monotonic()
        sender.end()
    stamps = [(now, _sent_at(value)) for now, value in arrived]
    begins = min((sent for _, sent in stamps if sent > first), default=0.0) + WARM_UP
    if ages := [(now - sent) * 1_000 for now, sent in stamps if sent > begins]:
        return ages
    raise FailedError("no prediction arrived")


def _sender(session: BenchSession, raw: str, rate: int, count: int) -> list[str]:
    properties: dict[str, Any] = session.properties("none", linger_ms="1")
    return session.loop("loops.paced", "", count, raw=raw, size=rate, properties=properties)


def _sent_at(value: bytes) -> float:
    """Return the time at which the customer was sent."""
    start = value.index(_FIELD) + len(_FIELD)
    return datetime.fromisoformat(value[start : value.index(b'"', start)].decode()).timestamp()
