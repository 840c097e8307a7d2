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
    """PSI of each feature of a window, and its limit."""

    psi: Floats
    limit: Floats

    @property
    def exceeds(self) -> NDArray[np.bool_]:
        """Whether the PSI of each feature is above its limit."""
        above: NDArray[np.bool_] = self.psi > self.limit
        return above


def compare(baseline: Counts, window: Counts, starts: NDArray[np.intp]) -> Comparison:
    """Compare the counts by bin of all features, of which each begins at one of the `starts`."""
    psis, degrees, scales = _measure_all(baseline, window, starts)
    spreads, left = list(zip(degrees.tolist(), scales.tolist(), strict=True)), len(psis)
    limits = np.array([_limit(left, *spread) for spread in spreads])
    if (psis > limits).any():  # Holm: after each that chance does not explain, the others share what is left
        chances = list(map(_chance, psis.tolist(), spreads))
        for position in np.argsort(chances, kind="stable").tolist():
            limits[position] = _limit(left, *spreads[position])
            left = max(1, left - (chances[position] < ALPHA / left))
    return Comparison(psis, np.maximum(limits, MIN_PSI))


def _chance(value: float, spread: tuple[int, float]) -> float:
    """Return the probability of a PSI as large as this one if nothing has changed; 1 if it is above `ALPHA`."""
    degrees, scale = spread
    return tail(value / scale, degrees) if value > _limit(1, degrees, scale) else 1.0


def _limit(count: int, degrees: int, scale: float) -> float:
    """Return the PSI that any of `count` equal features exceeds with the probability `ALPHA` if nothing has changed."""
    return quantile(ALPHA / count, degrees) * scale if degrees else 0.0


def _measure_all(
    baseline: Counts, window: Counts, starts: NDArray[np.intp]
) -> tuple[Floats, NDArray[np.int64], Floats]:
    """Return PSI, degrees of freedom, and mean PSI by degree of each feature if nothing has changed.

    Only features of which bins must be merged are measured one by one. A feature without records has no degrees.
    """
    lengths = np.diff(starts, append=len(baseline))
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
    is_empty = (sizes[0] == 0) | (sizes[1] == 0)
    for index in np.flatnonzero(has_rare & ~is_empty).tolist():
        bins = slice(starts[index], starts[index] + lengths[index])
        merged = _merge_rare_bins(baseline[bins], window[bins], expected[bins])
        psis[index], degrees[index] = psi(*merged), len(merged[0]) - 1
    psis[is_empty], degrees[is_empty] = 0.0, 0
    return psis, degrees, 1 / np.maximum(1, sizes[0]) + 1 / np.maximum(1, sizes[1])


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
