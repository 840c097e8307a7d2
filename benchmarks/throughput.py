"""Records per second, CPU time per record and memory of each subject."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from benchmarks.figures import Figure, Figures, figure
from benchmarks.processes import FailedError, Run
from benchmarks.session import PEERS, BenchSession, peer_python

AT_LEAST_ONCE = ("--delivery", "at-least-once")
METRICS_PORT = "19187"


@dataclass(frozen=True, slots=True)
class Subject:
    """A program that moves records, with its delivery guarantee."""

    name: str
    delivery: str
    checks: str
    letters: str
    run: Callable[[BenchSession, int], Run]
    count: Callable[[BenchSession], int] = lambda session: session.counts.records
    #: Whether to measure a run of one record and subtract its CPU time as the cost of starting.
    subtract_start: bool = True


def _peer(name: str) -> Callable[[BenchSession, int], Run]:
    return lambda session, count: session.copy(f"peers.{PEERS[name]}", count, python=peer_python(name))


def _copy(name: str, *, transactional: bool = False) -> Callable[[BenchSession, int], Run]:
    return lambda session, count: session.copy(f"loops.{name}", count, transactional=transactional)


def _consume(*options: str, **variables: str) -> Callable[[BenchSession, int], Run]:
    return lambda session, count: session.consume(count, *options, **variables)


def _consume_on_terminal(*options: str) -> Callable[[BenchSession, int], Run]:
    return lambda session, count: session.consume_on_terminal(count, *options)


def _produce(*options: str) -> Callable[[BenchSession, int], Run]:
    return lambda session, count: session.produce(count, *options)


EO, ALO, TIMER = "exactly once", "at least once", "on a timer"
SUBJECTS: Sequence[Subject] = (
    Subject("raw copy", TIMER, "-", "-", _copy("copy")),
    Subject("raw copy in transactions", EO, "-", "-", _copy("copy", transactional=True)),
    Subject("telco-stream onnx", EO, "yes", "yes", _consume()),
    Subject("telco-stream onnx alo", ALO, "yes", "yes", _consume(*AT_LEAST_ONCE)),
    Subject("telco-stream onnx metrics", EO, "yes", "yes", _consume("--metrics-port", METRICS_PORT)),
    *(
        Subject(f"telco-stream onnx reasons {number}", EO, "yes", "yes", _consume("--reasons", number))
        for number in ("1", "2", "3")
    ),
    Subject("telco-stream onnx no drift", EO, "yes", "yes", _consume(TELCO_STREAM_DRIFT__WINDOW_RECORDS="0")),
    Subject("telco-stream onnx drawn", EO, "yes", "yes", _consume_on_terminal()),
    Subject("telco-stream onnx --no-live", EO, "yes", "yes", _consume_on_terminal("--no-live")),
    Subject("telco-stream sklearn", EO, "yes", "yes", _consume("--engine", "sklearn")),
    Subject("telco-stream sklearn alo", ALO, "yes", "yes", _consume("--engine", "sklearn", *AT_LEAST_ONCE)),
    Subject("naive micro-batch pandas", ALO, "-", "-", _copy("naive")),
    Subject("row by row", TIMER, "-", "-", _copy("rowwise"), lambda session: session.counts.rows),
    Subject("faststream", ALO, "yes", "-", _peer("faststream"), lambda session: session.counts.slow),
    Subject("quix streams", ALO, "yes", "-", _peer("quixstreams"), lambda session: session.counts.slow),
    Subject("prepared payloads", ALO, "-", "-", _copy("prepared")),
    Subject("prepared in transactions", EO, "-", "-", _copy("prepared", transactional=True)),
    Subject("produce batch", EO, "yes", "-", _produce()),
    Subject("produce batch alo", ALO, "yes", "-", _produce(*AT_LEAST_ONCE)),
    Subject("consume 100,000", EO, "yes", "yes", _consume(), lambda session: session.counts.many // 20),
    Subject("consume 2,000,000", EO, "yes", "yes", _consume(), lambda session: session.counts.many),
    Subject(
        "1 worker",
        EO,
        "yes",
        "yes",
        lambda session, _: session.consume_with_workers(1),
        lambda session: session.counts.many,
    ),
    Subject(
        "2 workers",
        EO,
        "yes",
        "yes",
        lambda session, _: session.consume_with_workers(2),
        lambda session: session.counts.many,
        subtract_start=False,
    ),
)


def measure(session: BenchSession, is_selected: Callable[[str], bool]) -> Figures:
    """Measure all subjects in turn, several times, so that noise affects all of them."""
    subjects, runs = [subject for subject in SUBJECTS if is_selected(subject.name)], dict[str, list[Run]]()
    starts = {
        subject.name: _try(partial(subject.run, session, 1), f"{subject.name}, start")
        for subject in subjects
        if _subtracts_start(subject)
    }
    for number in range(session.counts.runs):
        for subject in subjects:
            run = _try(partial(subject.run, session, subject.count(session)), f"{subject.name}, run {number + 1}")
            runs.setdefault(subject.name, []).extend([run] if run else [])
    return {name: _figures(of_subject, starts.get(name)) for name, of_subject in runs.items() if of_subject}


def _subtracts_start(subject: Subject) -> bool:
    return subject.subtract_start and "worker" not in subject.name


def _try(run: Callable[[], Run], name: str) -> Run | None:
    try:
        result = run()
    except FailedError as error:
        print(f"  {name}: {error}", file=sys.stderr)
        return None
    print(f"  {name}: {result.rate:,.0f}/s, {result.cpu:.1f} s CPU, {result.rss:.0f} MB", file=sys.stderr)
    return result


def _figures(runs: list[Run], start: Run | None) -> dict[str, Figure]:
    start_cpu = start.cpu if start else 0.0
    return {
        "rate": figure([run.rate for run in runs], 0),
        "cpu_us": figure([max(0.0, run.cpu - start_cpu) / run.records * 1e6 for run in runs if run.records], 2),
        "rss_mb": figure([run.rss for run in runs]),
    }
