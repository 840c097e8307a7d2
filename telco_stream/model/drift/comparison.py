"""Comparison of a window of records with the baseline: the PSI of each feature, and a limit calculated for it.

If nothing has changed, PSI divided by (1/window + 1/baseline) follows a chi-square distribution with one degree of
freedom less than there are bins. The limit is its quantile, corrected for the number of features by Holm's method: one
window in a thousand has any feature above its limit although nothing has changed.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

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


def compare(baseline: Sequence[Counts], window: Sequence[Counts]) -> list[Comparison]:
    """Compare the counts by bin of each feature."""
    measured = [_measure(*pair) for pair in zip(baseline, window, strict=True)]
    by_chance = sorted(range(len(measured)), key=lambda index: measured[index].chance)
    limits = [0.0] * len(measured)
    remaining = len(measured)
    for index in by_chance:
        limits[index] = max(MIN_PSI, measured[index].limit(ALPHA / remaining))
        if measured[index].chance < ALPHA / remaining:  # Holm: the others share what is left
            remaining = max(1, remaining - 1)
    return [Comparison(each.psi, limit) for each, limit in zip(measured, limits, strict=True)]


def psi(baseline: Floats, window: Floats) -> float:
    """Return the population stability index of two arrays of counts by bin."""
    expected, actual = (np.maximum(counts, _EMPTY) / counts.sum() for counts in (baseline, window))
    return float(((actual - expected) * np.log(actual / expected)).sum())


@dataclass(frozen=True, slots=True)
class _Measured:
    psi: float
    #: Mean of PSI per degree of freedom if nothing has changed.
    scale: float
    degrees: int

    @property
    def chance(self) -> float:
        """Probability of a PSI as large as this one if nothing has changed."""
        return tail(self.psi / self.scale, self.degrees) if self.degrees else 1.0

    def limit(self, probability: float) -> float:
        """Return the PSI that is exceeded with this probability if nothing has changed."""
        return quantile(probability, self.degrees) * self.scale if self.degrees else 0.0


def _measure(baseline: Counts, window: Counts) -> _Measured:
    sizes = baseline.sum(), window.sum()
    if not all(sizes):
        return _Measured(0.0, 1.0, 0)
    before, after = _merge_rare_bins(baseline, window)
    return _Measured(psi(before, after), 1 / sizes[0] + 1 / sizes[1], len(before) - 1)


def _merge_rare_bins(baseline: Counts, window: Counts) -> tuple[Floats, Floats]:
    """Merge the bins in which the smaller one of two equal samples would have too few records."""
    pooled = baseline + window
    expected = pooled * (min(baseline.sum(), window.sum()) / pooled.sum())
    is_rare = (expected < _MIN_EXPECTED) & (expected > 0)
    if is_rare.any() and expected[is_rare].sum() < _MIN_EXPECTED and (~is_rare & (expected > 0)).any():
        is_rare[np.where(is_rare | (expected == 0), math.inf, expected).argmin()] = True
    kept = ~is_rare & (expected > 0)
    merged = [np.append(counts[kept], counts[is_rare].sum()) for counts in (baseline, window)]
    if not is_rare.any():
        merged = [counts[:-1] for counts in merged]
    return merged[0].astype(float), merged[1].astype(float)
