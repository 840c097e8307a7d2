"""Histograms of what every record has, at the price of a few: a batch's samples stand for the whole of it."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate

from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry


class SampledHistogram(Collector):
    """A histogram that is told of batches: evenly spaced values of each, and of how many they are a sample."""

    def __init__(self, name: str, meaning: str, bounds: Sequence[float], registry: CollectorRegistry) -> None:
        self._name = name
        self._meaning = meaning
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(self._bounds) + 1)
        self._sum = 0.0
        registry.register(self)

    def add(self, samples: Sequence[float], population: int) -> None:
        """Each sample stands for as many as the others, or for one more, so that all are counted."""
        if not samples:
            return
        share, rest = divmod(population, len(samples))
        for position, value in enumerate(samples):
            weight = share + (position < rest)
            self._counts[bisect_left(self._bounds, value)] += weight
            self._sum += value * weight

    def collect(self) -> Iterator[Metric]:
        """The histogram as it stands."""
        names = [*map(str, map(float, self._bounds)), "+Inf"]
        buckets = list(zip(names, accumulate(self._counts), strict=True))
        yield HistogramMetricFamily(self._name, self._meaning, buckets=buckets, sum_value=self._sum)
