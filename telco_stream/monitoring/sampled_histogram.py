"""Histograms that observe a sample of each batch and weight it to the size of the batch."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate

from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry


class SampledHistogram(Collector):
    """Histogram of evenly spaced samples of batches, weighted so that its count is the number of records."""

    def __init__(self, name: str, description: str, bounds: Sequence[float], registry: CollectorRegistry) -> None:
        self._name = name
        self._description = description
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(self._bounds) + 1)
        self._sum = 0.0
        registry.register(self)

    def add(self, samples: Sequence[float], population: int) -> None:
        """Add a batch of `population` records; the weights of its samples differ by at most 1 and sum up to it."""
        if not samples:
            return
        weight, rest = divmod(population, len(samples))
        for index, value in enumerate(samples):
            records = weight + (index < rest)
            self._counts[bisect_left(self._bounds, value)] += records
            self._sum += value * records

    def collect(self) -> Iterator[Metric]:
        """Yield the histogram."""
        names = [*map(str, map(float, self._bounds)), "+Inf"]
        buckets = list(zip(names, accumulate(self._counts), strict=True))
        yield HistogramMetricFamily(self._name, self._description, buckets=buckets, sum_value=self._sum)
