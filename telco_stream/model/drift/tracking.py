"""Drift over several windows: a feature has drifted once it exceeds its limit in two windows in a row."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from telco_stream.contract.events import EventCodec
from telco_stream.errors import ModelError
from telco_stream.model.drift.baseline import (
    Baseline,
    BinCounter,
    BinNames,
    Counts,
    Floats,
    decode_baseline,
    name_bins,
)
from telco_stream.model.drift.comparison import Comparison, compare
from telco_stream.model.drift.results import MIN_RECORDS, FeatureDrift
from telco_stream.model.scorer import Scorer
from telco_stream.runtime.clock import rfc3339
from telco_stream.runtime.humanize import to_datetime

#: Windows in a row that must exceed the limit.
CONSECUTIVE = 2
#: Smallest share in a logarithm.
_TINY = 1e-4
#: Decimals of PSI and shares in results.
_DIGITS = 6


def open_tracker(content: bytes | None, scorer: Scorer) -> "DriftTracker":
    """Return a tracker for the baseline of a model; raise ModelError if it is missing, invalid or too small."""
    codec = scorer.codec.events
    if content is None:
        raise ModelError(
            f"Model {scorer.version} has no baseline.json, with which records could be compared: train or import the"
            " model again with this version of telco-stream"
        )
    tracker = DriftTracker(decode_baseline(content, codec), codec)
    if tracker.largest_window < MIN_RECORDS:
        raise ModelError(
            f"The baseline of model {scorer.version} has {tracker.largest_window:,} rows: {MIN_RECORDS} are needed to"
            " distinguish a change from chance"
        )
    return tracker


class DriftTracker:
    """Compares windows with a baseline, and remembers how many in a row exceeded the limit of each feature."""

    def __init__(self, baseline: Baseline, codec: EventCodec) -> None:
        every = [*baseline.features, baseline.score]
        self.counter = BinCounter(baseline, codec)
        #: Largest number of records of a window: in a larger one, chance in the baseline would look like drift.
        self.largest_window = min(baseline.rows, sum(baseline.score.counts))
        #: Names of the features, and `score`.
        self.names = [bins.name for bins in every]
        #: Descriptions of their bins.
        self.bins = [name_bins(codec, bins) for bins in every]
        self._counts = np.concatenate([np.array(bins.counts, np.int64) for bins in every])
        #: Shares of the bins in the baseline, by feature.
        self.shares = self.split_shares(self._counts)
        #: Number of windows in a row above the limit, and the time of the first one, by feature.
        self._runs = [(0, 0.0) for _ in every]

    def add(self, counts: Counts, started: float) -> "ComparedWindow":
        """Compare the counts of the next window, which began at `started` in seconds since 1970."""
        comparison = compare(self._counts, counts, self.counter.bounds[:-1])
        self._runs = [
            (count + 1, since if count else started) if exceeds else (0, 0.0)
            for (count, since), exceeds in zip(self._runs, comparison.exceeds.tolist(), strict=True)
        ]
        return ComparedWindow(self, counts, comparison, self._runs)

    def split_shares(self, counts: Counts) -> list[Floats]:
        """Return the share of each bin among those of its feature, by feature."""
        bounds = self.counter.bounds
        sizes = np.maximum(1, np.add.reduceat(counts, bounds[:-1]))
        return self.counter.split(counts / np.repeat(sizes, np.diff(bounds)))


@dataclass(frozen=True)
class ComparedWindow:
    """A window, the PSI of its features, and for each the number of windows in a row above the limit since a time."""

    tracker: DriftTracker
    counts: Counts
    comparison: Comparison
    runs: Sequence[tuple[int, float]]

    @property
    def drifted(self) -> dict[str, str]:
        """Names of the features that have drifted, and since when."""
        runs = zip(self.tracker.names, self.runs, strict=True)
        return {name: _time(since) for name, (count, since) in runs if count >= CONSECUTIVE}

    @cached_property
    def features(self) -> list[FeatureDrift]:
        """Change of each feature, computed when it is asked for."""
        shares = zip(self.tracker.shares, self.tracker.split_shares(self.counts), strict=True)
        return [self._describe(index, *each) for index, each in enumerate(shares)]

    def _describe(self, index: int, before: Floats, now: Floats) -> FeatureDrift:
        names, (count, since) = self.tracker.bins[index], self.runs[index]
        position, change = _change(names, before, now) if count else (None, None)
        return FeatureDrift(
            feature=self.tracker.names[index],
            psi=round(float(self.comparison.psi[index]), _DIGITS),
            limit=round(float(self.comparison.limit[index]), _DIGITS),
            change=change,
            bin=None if position is None else names.labels[position],
            share_before=_share_of(before, position),
            share_now=_share_of(now, position),
            null_share=_share_of(now, names.null) or 0.0,
            unknown_share=_share_of(now, names.unknown) or 0.0,
            windows=count,
            since=_time(since) if count else None,
            drifted=count >= CONSECUTIVE,
        )


def _change(names: BinNames, before: Floats, now: Floats) -> tuple[int, str]:
    """Return the bin that adds most to the PSI, and the change in words."""
    difference = now - before
    position = int((difference * np.log(np.maximum(now, _TINY) / np.maximum(before, _TINY))).argmax())
    if not names.is_ordered or position == names.null:
        return position, f"{'more' if difference[position] >= 0 else 'less'} {names.labels[position]}"
    if names.null is not None:
        difference[names.null] = 0.0
    return position, "higher" if np.arange(len(now)) @ difference >= 0 else "lower"


def _share_of(shares: Floats, position: int | None) -> float | None:
    return None if position is None else round(float(shares[position]), _DIGITS)


def _time(seconds: float) -> str:
    return rfc3339(to_datetime(seconds))
