"""Comparison of a window of records with the baseline: the PSI of each feature, and a limit calculated for it.

If nothing has changed, PSI divided by (1/window + 1/baseline) follows a chi-square distribution with one degree of
freedom less than there are bins. The limit is its quantile, corrected for the number of features by Holm's method: one
window in a thousand has any feature above its limit although nothing has changed.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from telco_stream.model.drift.baseline import Counts, Floats
from telco_stream.model.drift.chi_square import quantile, tail

#: Probability that a window in which nothing has changed has a feature above its limit.
ALPHA = 0.001
#: A smaller PSI is not reported, even where chance can't explain it.
MIN_PSI = 0.01
#: Smallest number of records that a bin should have; smaller ones are merged, as usual for the chi-square test.
_MIN_EXPECTED = 5
#: Count of an empty bin in the logarithm of PSI.
_EMPTY = 0.5


@dataclass(frozen=True, slots=True)
class Comparison:
    """PSI of one feature of a window, and its limit."""

    psi: float
    limit: float

    @property
    def exceeds(self) -> bool:
        """Whether the PSI is above the limit."""
        return self.psi > self.limit


def compare(baseline: Counts, window: Counts, starts: NDArray[np.intp]) -> list[Comparison]:
    """Compare the counts by bin of all features, of which each begins at one of the `starts`."""
    measured = _measure_all(baseline, window, starts)
    by_chance = sorted(range(len(measured)), key=lambda index: measured[index].chance)
    limits = [0.0] * len(measured)
    remaining = len(measured)
    for index in by_chance:
        limits[index] = max(MIN_PSI, measured[index].limit(ALPHA / remaining))
        if measured[index].chance < ALPHA / remaining:  # Holm: the others share what is left
            remaining = max(1, remaining - 1)
    return [Comparison(each.psi, limit) for each, limit in zip(measured, limits, strict=True)]


@dataclass(frozen=True, slots=True)
class _Measured:
    psi: float
    #: Mean of PSI per degree of freedom if nothing has changed.
    scale: float
    degrees: int
    #: Probability of a PSI as large as this one if nothing has changed.
    chance: float

    def limit(self, probability: float) -> float:
        """Return the PSI that is exceeded with this probability if nothing has changed."""
        return quantile(probability, self.degrees) * self.scale if self.degrees else 0.0


def _measure_all(baseline: Counts, window: Counts, starts: NDArray[np.intp]) -> list[_Measured]:
    """Measure all features at once, except those of which bins must be merged."""
    lengths = np.diff(np.append(starts, len(baseline)))
    sizes = [np.add.reduceat(counts, starts) for counts in (baseline, window)]
    pooled = baseline + window
    share = np.minimum(*sizes) / np.maximum(1, sizes[0] + sizes[1])
    expected = pooled * np.repeat(share, lengths)
    has_rare = np.add.reduceat((expected > 0) & (expected < _MIN_EXPECTED), starts) > 0
    shares = [
        np.maximum(counts, _EMPTY) / np.repeat(np.maximum(1, size), lengths)
        for counts, size in zip((baseline, window), sizes, strict=True)
    ]
    psis = np.add.reduceat(np.where(pooled > 0, _terms(*shares), 0.0), starts)
    degrees = np.add.reduceat(pooled > 0, starts, dtype=np.int64) - 1
    measured = []
    for index, (start, length) in enumerate(zip(starts.tolist(), lengths.tolist(), strict=True)):
        before, now = int(sizes[0][index]), int(sizes[1][index])
        if not before or not now:
            measured.append(_Measured(0.0, 1.0, 0, 1.0))
        elif has_rare[index]:
            bins = slice(start, start + length)
            merged = _merge_rare_bins(baseline[bins], window[bins], expected[bins])
            measured.append(_measured(psi(*merged), len(merged[0]) - 1, before, now))
        else:
            measured.append(_measured(float(psis[index]), int(degrees[index]), before, now))
    return measured


def _measured(value: float, degrees: int, before: int, now: int) -> _Measured:
    scale = 1 / before + 1 / now
    return _Measured(value, scale, degrees, tail(value / scale, degrees) if degrees else 1.0)


def psi(baseline: Floats, window: Floats) -> float:
    """Return the population stability index of two arrays of counts by bin."""
    return float(_terms(*(np.maximum(counts, _EMPTY) / counts.sum() for counts in (baseline, window))).sum())


def _terms(before: Floats, now: Floats) -> Floats:
    terms: Floats = (now - before) * np.log(now / before)
    return terms


def _merge_rare_bins(baseline: Counts, window: Counts, expected: Floats) -> tuple[Floats, Floats]:
    """Merge the bins in which the smaller one of two equal samples would have too few records."""
    is_rare = (expected < _MIN_EXPECTED) & (expected > 0)
    if is_rare.any() and expected[is_rare].sum() < _MIN_EXPECTED and (~is_rare & (expected > 0)).any():
        is_rare[np.where(is_rare | (expected == 0), np.inf, expected).argmin()] = True
    kept = ~is_rare & (expected > 0)
    merged = [np.append(counts[kept], counts[is_rare].sum()) for counts in (baseline, window)]
    return merged[0].astype(float), merged[1].astype(float)
