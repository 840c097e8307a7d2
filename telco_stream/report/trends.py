"""Distribution and timeline of predictions, aggregated in constant memory."""

from collections import Counter
from dataclasses import dataclass

from telco_stream.messages.prediction import Prediction

#: Number of bins of the distribution from 0 to 1; the thresholds that `train` chooses are edges of bins.
BINS = 100
#: Maximum number of steps of a timeline; a longer timeline has longer steps.
MAX_STEPS = 120
#: Lengths of a step in seconds, each a multiple of the previous one. Longer steps are doubled.
_STEPS = [1, 5, 10, 30, 60, 300, 900, 3_600, 10_800, 21_600, 43_200, 86_400, 604_800]
#: Number of names that are certainly counted apart; any program can write any number of names to the topic.
_MAX_NAMES = 1_000
#: Maximum length of a name in characters; longer names are cut.
_MAX_NAME = 200


@dataclass(frozen=True, slots=True)
class Count:
    """Number of predictions, and of positive ones, in one bin."""

    total: int = 0
    churners: int = 0


@dataclass(frozen=True, slots=True)
class Step:
    """Number of predictions, and of positive ones, in a step from `start`, in seconds since 1970."""

    start: int
    total: int
    churners: int


class Distribution:
    """Histogram of probabilities."""

    def __init__(self) -> None:
        self._totals = [0] * BINS
        self._churners = [0] * BINS

    def add(self, probability: float, *, flags: bool) -> None:
        """Count a probability from 0 to 1."""
        index = min(int(probability * BINS), BINS - 1)
        self._totals[index] += 1
        self._churners[index] += flags

    def bins(self, number: int) -> list[Count]:
        """Return the counts in `number` bins, a divisor of `BINS`; a bin includes its lower edge."""
        width = BINS // number
        return [
            Count(sum(self._totals[first : first + width]), sum(self._churners[first : first + width]))
            for first in range(0, BINS, width)
        ]


class Timeline:
    """Predictions over time, in steps that become longer as the timeline grows."""

    def __init__(self) -> None:
        #: Length of a step in seconds.
        self.width = _STEPS[0]
        self._counts: dict[int, list[int]] = {}
        self._first = self._last = 0

    def add(self, time: float, *, flags: bool) -> None:
        """Count a prediction made at `time`, in seconds since 1970."""
        index = int(time // self.width)
        count = self._counts.get(index)
        if count is None:
            count = self._add_step(time)
        count[0] += 1
        count[1] += flags

    def steps(self) -> list[Step]:
        """Return all steps from the first to the last with a prediction, including empty ones between them."""
        if not self._counts:
            return []
        empty = (0, 0)
        return [
            Step(index * self.width, *self._counts.get(index, empty)) for index in range(self._first, self._last + 1)
        ]

    def _add_step(self, time: float) -> list[int]:
        """Return the counts of a new step; first make all steps longer if there would be too many."""
        index = int(time // self.width)
        first, last = (min(self._first, index), max(self._last, index)) if self._counts else (index, index)
        while last - first >= MAX_STEPS:
            first, last = self._lengthen_steps(first, last)
        self._first, self._last = first, last
        return self._counts.setdefault(int(time // self.width), [0, 0])

    def _lengthen_steps(self, first: int, last: int) -> tuple[int, int]:
        width = next_width(self.width)
        factor = width // self.width
        counts, self._counts, self.width = self._counts, {}, width
        for index, (total, churners) in counts.items():
            merged = self._counts.setdefault(index // factor, [0, 0])
            merged[0] += total
            merged[1] += churners
        return first // factor, last // factor


class Trends:
    """Distribution, timeline and predictions per model version; `positive` is the label that flags."""

    def __init__(self, positive: str) -> None:
        self._positive = positive
        self.distribution = Distribution()
        self.timeline = Timeline()
        self.versions = TopCounter()

    def add(self, prediction: Prediction, time: float) -> None:
        """Count a prediction made at `time`, in seconds since 1970."""
        flags = prediction.prediction == self._positive
        self.distribution.add(prediction.probability, flags=flags)
        self.timeline.add(time, flags=flags)
        self.versions.add(prediction.model_version)


class TopCounter:
    """Counter of names that drops the rarest when there are too many."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def add(self, name: str) -> None:
        """Count a name."""
        self._counts[name[:_MAX_NAME]] += 1
        if len(self._counts) > 2 * _MAX_NAMES:
            self._counts = Counter(dict(self._counts.most_common(_MAX_NAMES)))

    def most_common(self, number: int | None = None) -> list[tuple[str, int]]:
        """Return names and counts, the most frequent first."""
        return self._counts.most_common(number)


def next_width(width: int) -> int:
    """Return the next longer step in seconds, a multiple of `width`."""
    return next((step for step in _STEPS if step > width), 2 * width)
