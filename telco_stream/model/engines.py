"""Engines of a model folder: what each loads, how fast it is, and which of several equal ones serves."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import compress, cycle, islice
from textwrap import shorten

import numpy as np

from telco_stream.contract.events import Event
from telco_stream.model.compilation import NOT_CONVERTIBLE, compare
from telco_stream.model.evaluation import Floats
from telco_stream.model.manifest import EngineReport
from telco_stream.model.scorer import Scorer, ScoringError

#: Sizes of the batches that are timed, and the least time for each in seconds.
_SIZES = (1, 50, 5_000)
_SECONDS = 0.2
_MIN_RUNS = 3


@dataclass(frozen=True, slots=True)
class EngineFile:
    """Scorer, and the file of the model folder that it is loaded from."""

    scorer: Scorer
    artifact: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Candidate:
    """Engine that may run a model; `build` raises one of `NOT_CONVERTIBLE` with the reason if it cannot."""

    name: str
    build: Callable[[], EngineFile]


@dataclass(frozen=True, slots=True)
class Original:
    """Model as its own library runs it, and the engine that does so; `is_code` if its file can run any code."""

    name: str
    file: EngineFile
    is_code: bool = False


@dataclass(frozen=True, slots=True)
class Judgement:
    """Report of each engine, and the engine that serves."""

    reports: tuple[EngineReport, ...]
    serving: EngineFile
    #: Probabilities of the original on the events that were compared.
    expected: Floats


def judge(  # noqa: PLR0913 - what is compared, and how
    original: Original,
    candidates: Iterable[Candidate],
    events: Sequence[Event],
    *,
    rows: int,
    threshold: float,
    progress: Callable[[str], None],
) -> Judgement:
    """Compare engines with the original on these events, the first `rows` of which are those of the data; time them.

    The fastest equal one serves, at batches of 5,000 and 50 together. The original competes unless it is code.
    """
    scorer = original.file.scorer
    events, expected = _answered(events, np.array(scorer.score(events)))
    timed_events = events[:rows]
    reports, files = [], []
    for candidate in candidates:
        progress(candidate.name)
        report, file = _judge_one(candidate, scorer, expected, events, rows, threshold)
        if file is not None:
            report = _with_times(report, file.scorer, timed_events)
            files.append((report, file))
        reports.append(report)
    progress(original.name)
    own = _with_times(EngineReport(original.name, 0.0, 0), scorer, timed_events)
    if not original.is_code or not files:
        files.append((own, original.file))
    report, file = min(files, key=lambda entry: _cost(entry[0]))
    reports.append(own)
    return Judgement(tuple(replace(each, serves=each is report) for each in reports), file, expected)


def _answered(events: Sequence[Event], expected: Floats) -> tuple[list[Event], Floats]:
    """Return the events for which the original has a probability, and their probabilities."""
    answered = np.isfinite(expected)
    return list(compress(events, answered)), expected[answered]


def _judge_one(  # noqa: PLR0913, PLR0917 - what is compared
    candidate: Candidate, original: Scorer, expected: Floats, events: Sequence[Event], rows: int, threshold: float
) -> tuple[EngineReport, EngineFile | None]:
    """Return the report of one engine, and its file if it is equal."""
    try:
        file = candidate.build()
        compared = compare(original, file.scorer, events, rows, file.content, expected=expected)
    except (*NOT_CONVERTIBLE, ScoringError) as error:
        first_line = str(error).partition("\n")[0]  # a converter may append a whole tree
        return EngineReport(candidate.name, rejected=shorten(first_line or type(error).__name__, 200)), None
    parity = compared.parity(threshold)
    report = EngineReport(candidate.name, parity.max_difference, parity.decisions_differing, rejected=compared.refused)
    return report, None if compared.refused else file


def _with_times(report: EngineReport, scorer: Scorer, events: Sequence[Event]) -> EngineReport:
    one, fifty, five_thousand = (_microseconds(scorer, events, size) for size in _SIZES)
    return replace(report, us_1=one, us_50=fifty, us_5000=five_thousand)


def _microseconds(scorer: Scorer, events: Sequence[Event], size: int) -> float:
    """Return the shortest time of a batch of this size, per event."""
    batch, best, runs = list(islice(cycle(events), size)), float("inf"), 0
    started = time.perf_counter()
    while runs < _MIN_RUNS or time.perf_counter() - started < _SECONDS:
        before = time.perf_counter()
        scorer.score(batch)
        best, runs = min(best, time.perf_counter() - before), runs + 1
    return round(best / size * 1e6, 3)


def _cost(report: EngineReport) -> float:
    return (report.us_5000 or 0.0) + (report.us_50 or 0.0)
