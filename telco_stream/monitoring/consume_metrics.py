"""Metrics of `consume`: counted per committed batch, or read when Prometheus scrapes."""

import time
from bisect import bisect_left
from collections import Counter as Count
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry

from telco_stream.contract.customer import Customer
from telco_stream.errors import ErrorType
from telco_stream.messages.prediction import CHURN, NO_CHURN
from telco_stream.model.scorer import Scorer
from telco_stream.monitoring.health import StallDetector
from telco_stream.monitoring.process_metrics import gauge, gauge_by_partition
from telco_stream.monitoring.protocols import BatchTimings, PartitionView, ViewPartitions
from telco_stream.scoring import Outcome

_BATCH_SIZES = (1, 10, 100, 500, 1_000, 2_500, 5_000, 10_000, 20_000)
_SHORT_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_LONG_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3_600)
_PROBABILITIES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1)
#: Predictions of a batch whose probability is sampled.
_SAMPLES = 64


@dataclass(slots=True)
class PartitionState:
    """The consumer's partitions and their stall detector, as soon as they exist."""

    view: ViewPartitions = PartitionView
    stall_detector: StallDetector | None = None


class ConsumeMetrics:
    """Observer that exports what a run of `consume` does."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.partitions = PartitionState()
        self._consumed = Counter("telco_stream_records_consumed", "Records answered and committed", registry=registry)
        self._predictions = Counter(
            "telco_stream_predictions", "Predictions committed", ["prediction"], registry=registry
        )
        self._letters = Counter(
            "telco_stream_dead_letters", "Dead letters committed", ["error_type"], registry=registry
        )
        self._last = Gauge("telco_stream_last_commit_timestamp_seconds", "Time of the last commit", registry=registry)
        self._batches = _BatchHistograms(registry)
        for prediction in (CHURN, NO_CHURN):
            self._predictions.labels(prediction)
        for error_type in ErrorType:
            self._letters.labels(error_type)
        registry.register(_PartitionCollector(self.partitions))

    def timed(self, scorer: Scorer) -> Scorer:
        """Wrap the scorer so that its calls are timed."""
        return _TimedScorer(scorer, self._batches.scoring)

    def show_model(self, registry: CollectorRegistry, scorer: Scorer, created: float) -> None:
        """Export the model's version, engine and training time (seconds since 1970)."""
        info = Gauge("telco_stream_model_info", "Model that scores", ["version", "engine"], registry=registry)
        info.labels(scorer.version, scorer.engine).set(1)
        name = "telco_stream_model_created_timestamp_seconds"
        Gauge(name, "Time at which the model was trained", registry=registry).set(created)

    def attach(self, partitions: ViewPartitions) -> None:
        """Export the state of the partitions."""
        self.partitions.view = partitions

    def on_poll(self) -> None:
        """Ignore polls."""

    def on_committed(self, outcome: Outcome, timings: BatchTimings) -> None:
        """Count a committed batch."""
        self._consumed.inc(outcome.consumed)
        churners = sum([prediction.prediction == CHURN for prediction in outcome.predictions])
        self._predictions.labels(CHURN).inc(churners)
        self._predictions.labels(NO_CHURN).inc(len(outcome.predictions) - churners)
        for error_type, number in Count(rejection.error_type for rejection in outcome.rejected).items():
            self._letters.labels(error_type).inc(number)
        self._batches.add(outcome, timings)
        self._last.set_to_current_time()


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


class _BatchHistograms:
    """Histograms of the size and the duration of batches."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._sizes = Histogram(
            "telco_stream_batch_size_records", "Records in a micro-batch", buckets=_BATCH_SIZES, registry=registry
        )
        self._processing = _seconds("processing", "Decoding, checking, scoring and encoding a micro-batch", registry)
        self.scoring = _seconds("scoring", "The model's call for a micro-batch", registry)
        self._commit = _seconds("commit", "Sending a micro-batch's answers and committing them", registry)
        self._ages = SampledHistogram(
            "telco_stream_end_to_end_seconds", "From a record's timestamp to its commit", _LONG_SECONDS, registry
        )
        self._probability = SampledHistogram(
            "telco_stream_churn_probability", "Probability of churn", _PROBABILITIES, registry
        )

    def add(self, outcome: Outcome, timings: BatchTimings) -> None:
        """Add a batch."""
        self._sizes.observe(outcome.consumed)
        self._processing.observe(timings.processing)
        self._commit.observe(timings.delivery)
        self._ages.add(timings.ages, outcome.consumed)
        predictions = outcome.predictions
        count = min(_SAMPLES, len(predictions))
        sample = [predictions[index * len(predictions) // count].churn_probability for index in range(count)]
        self._probability.add(sample, len(predictions))


class _TimedScorer:
    """Scorer whose calls are timed."""

    def __init__(self, scorer: Scorer, seconds: Histogram) -> None:
        self._scorer = scorer
        self._seconds = seconds
        self.version = scorer.version
        self.threshold = scorer.threshold
        self.engine = scorer.engine

    def score(self, customers: Sequence[Customer]) -> list[float]:
        """Return the wrapped scorer's probabilities."""
        started = time.perf_counter()
        probabilities = self._scorer.score(customers)
        self._seconds.observe(time.perf_counter() - started)
        return probabilities


class _PartitionCollector(Collector):
    """Collects assignment, lag and stalls."""

    def __init__(self, partitions: PartitionState) -> None:
        self._partitions = partitions

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics with their current values."""
        view, stall_detector = self._partitions.view(), self._partitions.stall_detector
        yield gauge(
            "telco_stream_partitions_assigned",
            "Partitions assigned to this member",
            len(view.assigned),
        )
        yield CounterMetricFamily("telco_stream_rebalances", "Assignments and revocations", value=view.rebalances)
        yield CounterMetricFamily(
            "telco_stream_records_expired_unanswered",
            "Records that retention deleted before they were answered",
            value=view.expired_unanswered,
        )
        progress = stall_detector.progress if stall_detector else {}
        lag = {partition: entry.lag for partition, entry in progress.items() if entry.lag is not None}
        yield gauge_by_partition(
            "telco_stream_lag_records", "Offsets between a partition's end and the last answer", lag
        )
        yield gauge_by_partition(
            "telco_stream_partition_stalled_seconds",
            "Seconds for which a partition has not advanced although it should",
            stall_detector.stalled_for() if stall_detector else {},
        )


def _seconds(name: str, description: str, registry: CollectorRegistry) -> Histogram:
    return Histogram(f"telco_stream_{name}_seconds", description, buckets=_SHORT_SECONDS, registry=registry)
