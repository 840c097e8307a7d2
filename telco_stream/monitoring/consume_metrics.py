"""Metrics of `consume`: counted per committed batch, or read when Prometheus scrapes."""

import time
from bisect import bisect_left
from collections import Counter as Count
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry

from telco_stream.contract.events import Event
from telco_stream.errors import ErrorType
from telco_stream.model.scorer import Scorer
from telco_stream.model.serving import Models
from telco_stream.monitoring.health import StallDetector
from telco_stream.monitoring.model_metrics import ModelMetrics
from telco_stream.monitoring.protocols import BatchTimings, PartitionView, ViewPartitions, sample_batch
from telco_stream.scoring import Outcome

_BATCH_SIZES = (1, 10, 100, 500, 1_000, 2_500, 5_000, 10_000, 20_000)
_SHORT_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_LONG_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3_600)
_PROBABILITIES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1)


class ConsumeMetrics(Collector):
    """Metrics of `consume`."""

    def __init__(self, registry: CollectorRegistry, models: Models) -> None:
        self._label = label = models.serving.scorer.codec.contract.label
        self._models = ModelMetrics(registry, models)
        #: The partitions and their stall detector, as soon as they exist.
        self.view: ViewPartitions = PartitionView
        self.stall_detector: StallDetector | None = None
        prefix = "telco_stream_"
        self._consumed = Counter(f"{prefix}records_consumed", "Records answered and committed", registry=registry)
        self._predictions = Counter(f"{prefix}predictions", "Predictions committed", ["prediction"], registry=registry)
        self._letters = Counter(f"{prefix}dead_letters", "Dead letters committed", ["error_type"], registry=registry)
        self._last = Gauge(f"{prefix}last_commit_timestamp_seconds", "Time of the last commit", registry=registry)
        for prediction in (label.positive, label.negative):
            self._predictions.labels(prediction)
        for error_type in ErrorType:
            self._letters.labels(error_type)
        name, description = f"{prefix}batch_size_records", "Records in a micro-batch"
        self._sizes = Histogram(name, description, buckets=_BATCH_SIZES, registry=registry)
        self._processing = _seconds("processing", "Decoding, checking, scoring and encoding a micro-batch", registry)
        self._scoring = _seconds("scoring", "The model's call for a micro-batch", registry)
        self._commit = _seconds("commit", "Sending a micro-batch's answers and committing them", registry)
        name, description = f"{prefix}end_to_end_seconds", "From a record's timestamp to its commit"
        self._ages = SampledHistogram([name], description, _LONG_SECONDS, registry)
        name, description = f"{prefix}probability", "Probability of the positive label"
        # Earlier versions had the second name only; it will be dropped in the next one.
        names = (name, f"{prefix}churn_probability")
        self._probability = SampledHistogram(names, description, _PROBABILITIES, registry)
        registry.register(self)

    def timed(self, scorer: Scorer) -> Scorer:
        """Wrap the scorer so that its calls are timed."""
        return _TimedScorer(scorer, self._scoring)

    def on_committed(self, outcome: Outcome, timings: BatchTimings) -> None:
        """Count a committed batch."""
        self._consumed.inc(outcome.consumed)
        flagged = outcome.flagged
        self._predictions.labels(self._label.positive).inc(flagged)
        self._predictions.labels(self._label.negative).inc(len(outcome.predictions) - flagged)
        for error_type, number in Count(rejection.error_type for rejection in outcome.rejected).items():
            self._letters.labels(error_type).inc(number)
        self._sizes.observe(outcome.consumed)
        self._processing.observe(timings.processing)
        self._commit.observe(timings.delivery)
        self._ages.add(timings.ages, outcome.consumed)
        probabilities = [prediction.probability for prediction in sample_batch(outcome.predictions)]
        self._probability.add(probabilities, len(outcome.predictions))
        self._last.set_to_current_time()
        self._models.on_committed(outcome, timings)

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics of the partitions with their current values."""
        prefix, view, detector = "telco_stream_", self.view(), self.stall_detector
        description = "Partitions assigned to this member"
        yield GaugeMetricFamily(f"{prefix}partitions_assigned", description, value=len(view.assigned))
        yield CounterMetricFamily(f"{prefix}rebalances", "Assignments and revocations", value=view.rebalances)
        description = "Records that retention deleted before they were answered"
        yield CounterMetricFamily(f"{prefix}records_expired_unanswered", description, value=view.expired_unanswered)
        progress = detector.progress if detector else {}
        lag = {partition: entry.lag for partition, entry in progress.items() if entry.lag is not None}
        description = "Offsets between a partition's end and the last answer"
        yield _gauge_by_partition(f"{prefix}lag_records", description, lag)
        description = "Seconds for which a partition has not advanced although it should"
        stalled_for = detector.stalled_for() if detector else {}
        yield _gauge_by_partition(f"{prefix}partition_stalled_seconds", description, stalled_for)


class SampledHistogram(Collector):
    """Histogram of evenly spaced samples of batches, weighted so that its count is the number of records.

    It is exported under each of its names.
    """

    def __init__(
        self, names: Sequence[str], description: str, bounds: Sequence[float], registry: CollectorRegistry
    ) -> None:
        self._names = names
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
        bounds = [*map(str, map(float, self._bounds)), "+Inf"]
        buckets = list(zip(bounds, accumulate(self._counts), strict=True))
        for name in self._names:
            yield HistogramMetricFamily(name, self._description, buckets=buckets, sum_value=self._sum)


class _TimedScorer:
    """Scorer whose calls are timed."""

    def __init__(self, scorer: Scorer, seconds: Histogram) -> None:
        self._scorer = scorer
        self._seconds = seconds
        self.version = scorer.version
        self.threshold = scorer.threshold
        self.engine = scorer.engine
        self.codec = scorer.codec
        self.explainer = scorer.explainer

    def score(self, events: Sequence[Event]) -> list[float]:
        """Return the wrapped scorer's probabilities."""
        started = time.perf_counter()
        probabilities = self._scorer.score(events)
        self._seconds.observe(time.perf_counter() - started)
        return probabilities


def _seconds(name: str, description: str, registry: CollectorRegistry) -> Histogram:
    return Histogram(f"telco_stream_{name}_seconds", description, buckets=_SHORT_SECONDS, registry=registry)


def _gauge_by_partition(name: str, description: str, values: Mapping[int, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, description, labels=["partition"])
    for partition, value in sorted(values.items()):
        family.add_metric([str(partition)], value)
    return family
