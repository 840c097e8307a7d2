"""Gate of a candidate: reasons to reject a model that differs too much from the one that serves.

The checksum of the archive, its files, the examples and the golden rows have been checked when it was loaded.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice

from telco_stream.contract.events import Event
from telco_stream.model.scorer import Scorer, score_each

#: Events scored by one call: short, so that the thread of the loop is not delayed.
_BLOCK = 500
#: Calls whose time is measured, of which the fastest counts: the machine has other work.
_TIMED_CALLS = 3
_MICROSECONDS = 1_000_000


@dataclass(frozen=True, slots=True)
class GateLimits:
    """Largest differences between a candidate and the serving model on the same events."""

    #: Share of the events on which the candidate fails although the serving model does not.
    failures: float = 0.01
    #: Share of the decisions that differ.
    changed_decisions: float = 0.2
    #: Difference of the mean probabilities.
    shift: float = 0.1
    #: Microseconds per event of the candidate.
    microseconds: float = 200.0


@dataclass(frozen=True, slots=True)
class Scores:
    """Probabilities of a model, NaN where it failed, and which of them are decisions for the positive label."""

    probabilities: Sequence[float]
    threshold: float


def compare(current: Scorer, candidate: Scorer, events: Sequence[Event], limits: GateLimits) -> str | None:
    """Score the same events with both models; return why the candidate is rejected, or None."""
    scores: list[float] = []
    for block in _blocks(events):
        scores += _valid(score_each(candidate, block))
        failed = sum(map(math.isnan, scores))
        if failed > max(limits.failures, 0.5) * len(events):  # scoring each of them alone takes long
            return f"it fails on {failed} of the first {len(scores)} events"
    expected = [score for block in _blocks(events) for score in _valid(score_each(current, block))]
    return judge(Scores(expected, current.threshold), Scores(scores, candidate.threshold), limits)


def judge(current: Scores, candidate: Scores, limits: GateLimits) -> str | None:
    """Return why the scores of the candidate are rejected, or None."""
    pairs = [
        (before, after)
        for before, after in zip(current.probabilities, candidate.probabilities, strict=True)
        if not math.isnan(before)
    ]
    both = [(before, after) for before, after in pairs if not math.isnan(after)]
    if (failed := len(pairs) - len(both)) > limits.failures * len(pairs):
        return f"it fails on {failed} of {len(pairs)} events, more than {limits.failures:.1%}"
    if not both:
        return None
    changed = sum((before >= current.threshold) != (after >= candidate.threshold) for before, after in both)
    if changed > limits.changed_decisions * len(both):
        return f"it changes {changed} of {len(both)} decisions, more than {limits.changed_decisions:.1%}"
    shift = sum(after - before for before, after in both) / len(both)
    if abs(shift) > limits.shift:
        return f"its mean probability differs by {shift:+.3f}, more than {limits.shift:g}"
    return None


def measure(candidate: Scorer, events: Sequence[Event], clock: Callable[[], float], limits: GateLimits) -> str | None:
    """Time the candidate in blocks of events, repeated if they are few; return why it is rejected, or None."""
    block, best = list(islice(cycle(events), _BLOCK)), math.inf
    for _ in range(_TIMED_CALLS):
        started = clock()
        score_each(candidate, block)
        best = min(best, (clock() - started) / len(block) * _MICROSECONDS)
    if best > limits.microseconds:
        return f"it takes {best:,.0f} µs per event in blocks of {len(block)}, more than {limits.microseconds:g}"
    return None


def _blocks(events: Sequence[Event]) -> Iterator[Sequence[Event]]:
    for start in range(0, len(events), _BLOCK):
        yield events[start : start + _BLOCK]


def _valid(probabilities: Sequence[float]) -> Iterator[float]:
    """Yield the probabilities, NaN for what is not one."""
    for probability in probabilities:
        yield probability if 0.0 <= probability <= 1.0 else math.nan
