"""Metrics of the models of a run, by version. Versions without a role are dropped, so that labels stay few."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry

from telco_stream.model.serving import Models, VersionCounts
from telco_stream.monitoring.protocols import BatchTimings
from telco_stream.runtime.period import to_timestamp
from telco_stream.scoring import Outcome, ShadowComparison

_PREFIX = "telco_stream_"


@dataclass(slots=True)
class _ShadowTotals:
    """Sums over the batches that the shadow model has scored."""

    version: str
    compared: int = 0
    failed: int = 0
    changed_decisions: int = 0
    differences: float = 0.0
    seconds: float = 0.0

    def add(self, comparison: ShadowComparison, seconds: float) -> None:
        self.compared += comparison.compared
        self.failed += comparison.failed
        self.changed_decisions += comparison.changed_decisions
        self.differences += sum(comparison.differences)
        self.seconds += seconds


#: Name, description and value of each metric of a shadow model.
_SHADOW: tuple[tuple[str, str, Callable[[_ShadowTotals], float]], ...] = (
    ("records", "Predictions that the shadow model was compared with", lambda totals: totals.compared),
    ("failures", "Records on which the shadow model failed", lambda totals: totals.failed),
    ("changed_decisions", "Predictions that the shadow model would change", lambda totals: totals.changed_decisions),
    ("difference", "Sum of the absolute differences of the probabilities", lambda totals: totals.differences),
    ("seconds", "Seconds in which the shadow model scored", lambda totals: totals.seconds),
)


class ModelMetrics(Collector):
    """Metrics of the models that hold a role."""

    def __init__(self, registry: CollectorRegistry, models: Models) -> None:
        self._models = models
        self._answered: dict[str, VersionCounts] = {}
        self._shadow: _ShadowTotals | None = None
        registry.register(self)

    def on_committed(self, outcome: Outcome, timings: BatchTimings) -> None:
        """Count a committed batch."""
        for version, batch in outcome.by_version.items():
            before = self._answered.get(version, VersionCounts(0, 0))
            counts = VersionCounts(before.predicted + batch.predicted, before.failed + batch.failed)
            self._answered = {**self._answered, version: counts}
        if (comparison := outcome.shadow) is not None:
            if self._shadow is None or self._shadow.version != comparison.version:
                self._shadow = _ShadowTotals(comparison.version)
            self._shadow.add(comparison, timings.shadow)

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics with their current values."""
        active = self._models.active
        info = GaugeMetricFamily(f"{_PREFIX}model_info", "Models by role", labels=["version", "engine", "role"])
        for role, scorer in active.by_role.items():
            info.add_metric([scorer.version, scorer.engine, role], 1)
        yield info
        created = max(0.0, to_timestamp(active.created_at or ""))
        description = "Time at which the serving model was trained"
        yield GaugeMetricFamily(f"{_PREFIX}model_created_timestamp_seconds", description, value=created)
        yield from self._collect_answers({scorer.version for scorer in active.by_role.values()})
        yield from self._collect_shadow()
        description = "Candidates that this process has rejected"
        yield CounterMetricFamily(f"{_PREFIX}models_rejected", description, value=self._models.rejected)
        description = "Versions that this process has rolled back because they failed too often"
        yield CounterMetricFamily(f"{_PREFIX}models_rolled_back", description, value=self._models.rolled_back)

    def _collect_answers(self, versions: set[str]) -> Iterator[Metric]:
        """Yield the counts of these versions, and forget the others."""
        self._answered = {version: counts for version, counts in self._answered.items() if version in versions}
        name, description = f"{_PREFIX}model_predictions", "Predictions committed, by version of the model"
        predictions = CounterMetricFamily(name, description, labels=["version"])
        name, description = f"{_PREFIX}model_failures", "Records on which a version failed or has no probability"
        failures = CounterMetricFamily(name, description, labels=["version"])
        for version in sorted(versions):
            counts = self._answered.get(version, VersionCounts(0, 0))
            predictions.add_metric([version], counts.predicted)
            failures.add_metric([version], counts.failed)
        yield predictions
        yield failures

    def _collect_shadow(self) -> Iterator[Metric]:
        shadow = self._models.active.shadow
        totals = self._shadow if shadow and self._shadow and self._shadow.version == shadow.version else None
        for name, description, value in _SHADOW:
            family = CounterMetricFamily(f"{_PREFIX}shadow_{name}", description, labels=["version"])
            if totals is not None:
                family.add_metric([totals.version], value(totals))
            yield family
