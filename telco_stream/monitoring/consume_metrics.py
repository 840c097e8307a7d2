"""What `consume` shows. The loop tells it of each committed batch; the rest is asked for at each scrape."""

import time
from collections import Counter as Count
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry

from telco_stream.contract.customer import Customer
from telco_stream.contract.error_type import ErrorType
from telco_stream.messages.prediction import CHURN, NO_CHURN
from telco_stream.model.scorer import Scorer
from telco_stream.monitoring.health import NothingRead, PartitionView, StallDetector
from telco_stream.monitoring.process_metrics import by_partition, gauge
from telco_stream.monitoring.sampled_histogram import SampledHistogram
from telco_stream.scoring import Outcome

_SIZES = (1, 10, 100, 500, 1_000, 2_500, 5_000, 10_000, 20_000)
_SHORT = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_LONG = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3_600)
_SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1)
#: Answers of a batch whose probability is looked at.
_SAMPLES = 64


class BatchTimings(Protocol):
    """What the loop measured of a batch."""

    @property
    def processing(self) -> float:
        """Seconds to decode, score and encode."""

    @property
    def delivery(self) -> float:
        """Seconds to send and commit."""

    @property
    def ages(self) -> Sequence[float]:
        """Seconds from time stamp to commit, of evenly spaced records."""


@dataclass(slots=True)
class GroupView:
    """The member's partitions and who watches over them, once there are any."""

    reading: PartitionView
    stall_detector: StallDetector | None = None


class ConsumeMetrics:
    """Looks on while `consume` works."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.group = GroupView(NothingRead({}))
        self._consumed = Counter("telco_stream_records_consumed", "Records answered and committed", registry=registry)
        self._predictions = Counter(
            "telco_stream_predictions", "Predictions committed", ["prediction"], registry=registry
        )
        self._letters = Counter(
            "telco_stream_dead_letters", "Dead letters committed", ["error_type"], registry=registry
        )
        self._last = Gauge("telco_stream_last_commit_timestamp_seconds", "Time of the last commit", registry=registry)
        self._batches = _Batches(registry)
        for prediction in (CHURN, NO_CHURN):
            self._predictions.labels(prediction)
        for error_type in ErrorType:
            self._letters.labels(error_type)
        registry.register(_GroupCollector(self.group))

    def timed(self, scorer: Scorer) -> Scorer:
        """The same scorer, its calls measured."""
        return _Timed(scorer, self._batches.scoring)

    def shows_model(self, registry: CollectorRegistry, scorer: Scorer, created: float) -> None:
        """Show which model answers, and since when it exists."""
        info = Gauge("telco_stream_model_info", "The model that answers", ["version", "engine"], registry=registry)
        info.labels(scorer.version, scorer.engine).set(1)
        name = "telco_stream_model_created_timestamp_seconds"
        Gauge(name, "When the model was trained", registry=registry).set(created)

    def on_poll(self) -> None:
        """Nothing to count."""

    def on_committed(self, outcome: Outcome, seconds: BatchTimings) -> None:
        """Count a committed batch."""
        self._consumed.inc(outcome.consumed)
        churners = sum([answer.prediction == CHURN for answer in outcome.predictions])
        self._predictions.labels(CHURN).inc(churners)
        self._predictions.labels(NO_CHURN).inc(len(outcome.predictions) - churners)
        for error_type, number in Count(one.error_type for one in outcome.rejected).items():
            self._letters.labels(error_type).inc(number)
        self._batches.add(outcome, seconds)
        self._last.set_to_current_time()


class _Batches:
    """How large the batches are, and how long they take."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._sizes = Histogram(
            "telco_stream_batch_size_records", "Records in a micro-batch", buckets=_SIZES, registry=registry
        )
        self._processing = _seconds("processing", "Decoding, checking, scoring and encoding a micro-batch", registry)
        self.scoring = _seconds("scoring", "The model's call for a micro-batch", registry)
        self._commit = _seconds("commit", "Sending a micro-batch's answers and committing them", registry)
        self._ages = SampledHistogram(
            "telco_stream_end_to_end_seconds", "From a record's time stamp to its commit", _LONG, registry
        )
        self._probability = SampledHistogram(
            "telco_stream_churn_probability", "Probability of churn", _SHARES, registry
        )

    def add(self, outcome: Outcome, seconds: BatchTimings) -> None:
        """A batch more."""
        self._sizes.observe(outcome.consumed)
        self._processing.observe(seconds.processing)
        self._commit.observe(seconds.delivery)
        self._ages.add(seconds.ages, outcome.consumed)
        answers = outcome.predictions
        some = min(_SAMPLES, len(answers))
        shares = [answers[number * len(answers) // some].churn_probability for number in range(some)]
        self._probability.add(shares, len(answers))


class _Timed:
    """A scorer that measures its calls."""

    def __init__(self, scorer: Scorer, seconds: Histogram) -> None:
        self._scorer = scorer
        self._seconds = seconds
        self.version = scorer.version
        self.threshold = scorer.threshold
        self.engine = scorer.engine

    def score(self, customers: Sequence[Customer]) -> list[float]:
        """As the scorer."""
        started = time.perf_counter()
        probabilities = self._scorer.score(customers)
        self._seconds.observe(time.perf_counter() - started)
        return probabilities


class _GroupCollector(Collector):
    """Shows the partitions."""

    def __init__(self, group: GroupView) -> None:
        self._group = group

    def collect(self) -> Iterator[Metric]:
        """As last seen."""
        reading, stall_detector = self._group.reading, self._group.stall_detector
        yield gauge("telco_stream_partitions_assigned", "Partitions that this member owns", len(reading.assigned))
        yield CounterMetricFamily(
            "telco_stream_rebalances", "Times that partitions came or went", value=reading.rebalances
        )
        yield CounterMetricFamily(
            "telco_stream_records_expired_unanswered",
            "Records that retention deleted before they were answered",
            value=reading.expired_unanswered,
        )
        progress = stall_detector.progress if stall_detector else {}
        lag = {number: one.lag for number, one in progress.items() if one.lag is not None}
        yield by_partition("telco_stream_lag_records", "Offsets between a partition's end and what is answered", lag)
        still = stall_detector.stalled_for() if stall_detector else {}
        yield by_partition(
            "telco_stream_partition_stalled_seconds",
            "Seconds for which a partition stands still that should not",
            still,
        )


def _seconds(name: str, meaning: str, registry: CollectorRegistry) -> Histogram:
    return Histogram(f"telco_stream_{name}_seconds", meaning, buckets=_SHORT, registry=registry)
