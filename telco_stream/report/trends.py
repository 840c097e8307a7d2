"""Predictions to the shapes of their distribution and of their days, as folds in constant memory."""

from collections import Counter
from dataclasses import dataclass

from telco_stream.messages.prediction import CHURN, Prediction

#: Bins of the distribution, from 0 to 1: the thresholds that `train` chooses are their edges.
BINS = 100
#: The most steps of a time line; where there would be more, they become longer.
MOST_STEPS = 120
#: Seconds that a step may have: each is a multiple of the one before it. Beyond them steps double.
_STEPS = [1, 5, 10, 30, 60, 300, 900, 3_600, 10_800, 21_600, 43_200, 86_400, 604_800]
#: The most names that are told apart; a stranger may write any number of them.
_MOST_NAMES = 1_000
#: Characters of a name that are kept.
_MAX_NAME = 200


@dataclass(frozen=True, slots=True)
class Count:
    """Predictions of one bin or step, and how many of them say churn."""

    total: int = 0
    churners: int = 0


@dataclass(frozen=True, slots=True)
class Step:
    """A stretch of time from `start`, in seconds since 1970, and what was predicted in it."""

    start: int
    total: int
    churners: int


class Distribution:
    """How many predictions have which probability."""

    def __init__(self) -> None:
        self._totals = [0] * BINS
        self._churners = [0] * BINS

    def add(self, probability: float, *, churns: bool) -> None:
        """Count a probability from 0 to 1."""
        place = min(int(probability * BINS), BINS - 1)
        self._totals[place] += 1
        self._churners[place] += churns

    def bins(self, number: int) -> list[Count]:
        """The counts in so many bins, a divisor of `BINS`; a bin's lower edge is part of it."""
        each = BINS // number
        return [
            Count(sum(self._totals[first : first + each]), sum(self._churners[first : first + each]))
            for first in range(0, BINS, each)
        ]


class Timeline:
    """How many predictions were made when, in steps that grow with the time that they span."""

    def __init__(self) -> None:
        #: Seconds of a step.
        self.width = _STEPS[0]
        self._counts: dict[int, list[int]] = {}
        self._first = self._last = 0

    def add(self, time: float, *, churns: bool) -> None:
        """Count a prediction made at `time`, in seconds since 1970."""
        place = int(time // self.width)
        count = self._counts.get(place)
        if count is None:
            count = self._new(time)
        count[0] += 1
        count[1] += churns

    def steps(self) -> list[Step]:
        """All steps from the first to the last in which anything was predicted, without a gap."""
        if not self._counts:
            return []
        nothing = (0, 0)
        return [
            Step(place * self.width, *self._counts.get(place, nothing)) for place in range(self._first, self._last + 1)
        ]

    def _new(self, time: float) -> list[int]:
        """The count of a step that had none, after steps have become so long that there are not too many."""
        place = int(time // self.width)
        first, last = (min(self._first, place), max(self._last, place)) if self._counts else (place, place)
        while last - first >= MOST_STEPS:
            first, last = self._coarsen(first, last)
        self._first, self._last = first, last
        return self._counts.setdefault(int(time // self.width), [0, 0])

    def _coarsen(self, first: int, last: int) -> tuple[int, int]:
        wider = longer(self.width)
        factor = wider // self.width
        counts, self._counts, self.width = self._counts, {}, wider
        for place, (total, churners) in counts.items():
            into = self._counts.setdefault(place // factor, [0, 0])
            into[0] += total
            into[1] += churners
        return first // factor, last // factor


class Trends:
    """All shapes together, and how many predictions each model version has made."""

    def __init__(self) -> None:
        self.distribution = Distribution()
        self.timeline = Timeline()
        self.versions = TopCounter()

    def add(self, prediction: Prediction, time: float) -> None:
        """Count a prediction made at `time`, in seconds since 1970."""
        churns = prediction.prediction == CHURN
        self.distribution.add(prediction.churn_probability, churns=churns)
        self.timeline.add(time, churns=churns)
        self.versions.add(prediction.model_version)


class TopCounter:
    """How often each name came, the rarest forgotten where there are more than memory should hold."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def add(self, name: str) -> None:
        """Count a name."""
        self._counts[name[:_MAX_NAME]] += 1
        if len(self._counts) > 2 * _MOST_NAMES:
            self._counts = Counter(dict(self._counts.most_common(_MOST_NAMES)))

    def most_common(self, number: int | None = None) -> list[tuple[str, int]]:
        """Names with their counts, the most frequent first."""
        return self._counts.most_common(number)


def longer(width: int) -> int:
    """The next longer step, in seconds; a multiple of this one."""
    return next((one for one in _STEPS if one > width), 2 * width)
