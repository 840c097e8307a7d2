"""Drift over several windows: a feature has drifted once it exceeds its limit in two windows in a row."""

import numpy as np

from telco_stream.contract.events import EventCodec
from telco_stream.model.drift.baseline import Baseline, BinCounter, BinNames, Counts, Floats, name_bins
from telco_stream.model.drift.comparison import Comparison, compare
from telco_stream.model.drift.results import MIN_RECORDS, FeatureDrift
from telco_stream.runtime.clock import rfc3339
from telco_stream.runtime.humanize import to_datetime

#: Windows in a row that must exceed the limit.
CONSECUTIVE = 2
#: Smallest share in a logarithm.
_TINY = 1e-4
#: Decimals of PSI and shares in results.
_DIGITS = 6


class DriftTracker:
    """Compares windows with a baseline, and remembers how many in a row exceeded the limit of each feature."""

    def __init__(self, baseline: Baseline, codec: EventCodec) -> None:
        every = [*baseline.features, baseline.score]
        self.counter = BinCounter(baseline, codec)
        #: Largest number of records of a window: in a larger one, chance in the baseline would look like drift.
        self.largest_window = min(baseline.rows, sum(baseline.score.counts))
        self._names = [bins.name for bins in every]
        self._bins = [name_bins(codec, bins) for bins in every]
        self._counts = [np.array(bins.counts, np.int64) for bins in every]
        #: Number of windows in a row above the limit, and the time of the first one, by feature.
        self._runs = [(0, 0.0) for _ in every]

    @property
    def is_possible(self) -> bool:
        """Whether the baseline is large enough."""
        return self.largest_window >= MIN_RECORDS

    def add(self, counts: Counts, started: float) -> list[FeatureDrift]:
        """Compare the counts of the next window, which began at `started` in seconds since 1970."""
        window = self.counter.split(counts)
        compared = compare(self._counts, window)
        self._runs = [
            (count + 1, since if count else started) if comparison.exceeds else (0, 0.0)
            for (count, since), comparison in zip(self._runs, compared, strict=True)
        ]
        return [self._describe(index, each, window[index]) for index, each in enumerate(compared)]

    def _describe(self, index: int, comparison: Comparison, window: Counts) -> FeatureDrift:
        names, (count, since) = self._bins[index], self._runs[index]
        before, now = _shares(self._counts[index]), _shares(window)
        position, change = _change(names, before, now)
        return FeatureDrift(
            feature=self._names[index],
            psi=round(comparison.psi, _DIGITS),
            limit=round(comparison.limit, _DIGITS),
            change=change,
            bin=names.labels[position],
            share_before=round(float(before[position]), _DIGITS),
            share_now=round(float(now[position]), _DIGITS),
            null_share=_share_of(now, names.null),
            unknown_share=_share_of(now, names.unknown),
            windows=count,
            since=rfc3339(to_datetime(since)) if count else None,
            drifted=count >= CONSECUTIVE,
        )


def _change(names: BinNames, before: Floats, now: Floats) -> tuple[int, str]:
    """Return the bin that adds most to the PSI, and the change in words."""
    terms = (now - before) * np.log(np.maximum(now, _TINY) / np.maximum(before, _TINY))
    position = int(np.argmax(terms))
    if not names.is_ordered or position == names.null:
        return position, f"{'more' if now[position] >= before[position] else 'less'} {names.labels[position]}"
    difference = now - before
    if names.null is not None:
        difference[names.null] = 0.0
    return position, "higher" if (np.arange(len(now)) * difference).sum() >= 0 else "lower"


def _shares(counts: Counts) -> Floats:
    shares: Floats = counts / max(1, counts.sum())
    return shares


def _share_of(shares: Floats, position: int | None) -> float:
    return 0.0 if position is None else round(float(shares[position]), _DIGITS)
