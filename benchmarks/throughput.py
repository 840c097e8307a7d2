"""Records a second, CPU a record and memory, of everything that moves records."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from benchmarks.bench import PEERS, Bench, home
from benchmarks.measured import Figure, Figures, figure
from benchmarks.processes import FailedError, Run

AT_LEAST_ONCE = ("--delivery", "at-least-once")
METRICS_PORT = "19187"


@dataclass(frozen=True, slots=True)
class Subject:
    """Something that moves records, and what it promises meanwhile."""

    name: str
    promise: str
    checks: str
    letters: str
    run: Callable[[Bench, int], Run]
    count: Callable[[Bench], int] = lambda bench: bench.counts.records
    #: Whether a run of one record tells what its start costs, which is then no part of the CPU a record.
    starts_alone: bool = True


def _peer(name: str) -> Callable[[Bench, int], Run]:
    return lambda bench, count: bench.copy(f"peers.{PEERS[name]}", count, python=home(name))


def _copy(name: str, *, transactional: bool = False) -> Callable[[Bench, int], Run]:
    return lambda bench, count: bench.copy(f"loops.{name}", count, transactional=transactional)


def _consume(*options: str) -> Callable[[Bench, int], Run]:
    return lambda bench, count: bench.consume(count, *options)


def _watched(*options: str) -> Callable[[Bench, int], Run]:
    return lambda bench, count: bench.consume_watched(count, *options)


def _produce(*options: str) -> Callable[[Bench, int], Run]:
    return lambda bench, count: bench.produce(count, *options)


EO, ALO, TIMER = "exactly once", "at least once", "on a timer"
SUBJECTS: Sequence[Subject] = (
    Subject("raw copy", TIMER, "-", "-", _copy("copy")),
    Subject("raw copy in transactions", EO, "-", "-", _copy("copy", transactional=True)),
    Subject("telco-stream onnx", EO, "yes", "yes", _consume()),
    Subject("telco-stream onnx alo", ALO, "yes", "yes", _consume(*AT_LEAST_ONCE)),
    Subject("telco-stream onnx metrics", EO, "yes", "yes", _consume("--metrics-port", METRICS_PORT)),
    Subject("telco-stream onnx drawn", EO, "yes", "yes", _watched()),
    Subject("telco-stream onnx --no-live", EO, "yes", "yes", _watched("--no-live")),
    Subject("telco-stream sklearn", EO, "yes", "yes", _consume("--engine", "sklearn")),
    Subject("telco-stream sklearn alo", ALO, "yes", "yes", _consume("--engine", "sklearn", *AT_LEAST_ONCE)),
    Subject("naive micro-batch pandas", ALO, "-", "-", _copy("naive")),
    Subject("row by row", TIMER, "-", "-", _copy("rowwise"), lambda bench: bench.counts.rows),
    Subject("faststream", ALO, "yes", "-", _peer("faststream"), lambda bench: bench.counts.slow),
    Subject("quix streams", ALO, "yes", "-", _peer("quixstreams"), lambda bench: bench.counts.slow),
    Subject("prepared payloads", ALO, "-", "-", _copy("prepared")),
    Subject("prepared in transactions", EO, "-", "-", _copy("prepared", transactional=True)),
    Subject("produce batch", EO, "yes", "-", _produce()),
    Subject("produce batch alo", ALO, "yes", "-", _produce(*AT_LEAST_ONCE)),
    Subject("consume 100,000", EO, "yes", "yes", _consume(), lambda bench: bench.counts.many // 20),
    Subject("consume 2,000,000", EO, "yes", "yes", _consume(), lambda bench: bench.counts.many),
    Subject(
        "1 worker", EO, "yes", "yes", lambda bench, _: bench.consume_with_workers(1), lambda bench: bench.counts.many
    ),
    Subject(
        "2 workers",
        EO,
        "yes",
        "yes",
        lambda bench, _: bench.consume_with_workers(2),
        lambda bench: bench.counts.many,
        starts_alone=False,
    ),
)


def measure(bench: Bench, wanted: Callable[[str], bool]) -> Figures:
    """All subjects one after the other, and again, so that noise hits them alike."""
    subjects, runs = [one for one in SUBJECTS if wanted(one.name)], dict[str, list[Run]]()
    alone = {one.name: _try(partial(one.run, bench, 1), f"{one.name}, start") for one in subjects if _starts(one)}
    for number in range(bench.counts.runs):
        for one in subjects:
            done = _try(partial(one.run, bench, one.count(bench)), f"{one.name}, run {number + 1}")
            runs.setdefault(one.name, []).extend([done] if done else [])
    return {name: _figures(some, alone.get(name)) for name, some in runs.items() if some}


def _starts(subject: Subject) -> bool:
    return subject.starts_alone and "worker" not in subject.name


def _try(run: Callable[[], Run], what: str) -> Run | None:
    try:
        done = run()
    except FailedError as error:
        print(f"  {what}: {error}", file=sys.stderr)
        return None
    print(f"  {what}: {done.rate:,.0f}/s, {done.cpu:.1f} s CPU, {done.rss:.0f} MB", file=sys.stderr)
    return done


def _figures(runs: list[Run], alone: Run | None) -> dict[str, Figure]:
    start = alone.cpu if alone else 0.0
    return {
        "rate": figure([one.rate for one in runs], 0),
        "cpu_us": figure([max(0.0, one.cpu - start) / one.records * 1e6 for one in runs if one.records], 2),
        "rss_mb": figure([one.rss for one in runs]),
    }
