"""Metrics of drift: the features and the expected quality of the newest window."""

from collections.abc import Callable, Iterator
from dataclasses import asdict

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry

from telco_stream.model.drift.results import FeatureDrift
from telco_stream.monitoring.drift import DriftMonitor

_PREFIX = "telco_stream_"
#: Name, description and value of each metric of a feature.
_METRICS: tuple[tuple[str, str, Callable[[FeatureDrift], float]], ...] = (
    ("feature_psi", "PSI of the newest window against the training rows", lambda feature: feature.psi),
    ("feature_psi_limit", "PSI above which chance does not explain the change", lambda feature: feature.limit),
    ("feature_null_ratio", "Share of null in the newest window", lambda feature: feature.null_share),
    ("feature_unknown_ratio", "Share of unlisted values in the newest window", lambda feature: feature.unknown_share),
)


class DriftMetrics(Collector):
    """Metrics of the features, and of `score`, in the newest window."""

    def __init__(self, registry: CollectorRegistry, drift: DriftMonitor) -> None:
        self._drift = drift
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics of each feature; before the first window, only the number of windows above the limit."""
        newest = self._drift.newest
        windows = dict.fromkeys(self._drift.features, 0) | {feature.feature: feature.windows for feature in newest}
        description = "Windows in a row above the limit"
        exceeded = GaugeMetricFamily(f"{_PREFIX}feature_drift_windows", description, labels=["feature"])
        for name, count in windows.items():
            exceeded.add_metric([name], count)
        yield exceeded
        for name, description, value in _METRICS:
            family = GaugeMetricFamily(f"{_PREFIX}{name}", description, labels=["feature"])
            for feature in newest:
                family.add_metric([feature.feature], value(feature))
            yield family
        description = "Quality that the probabilities of the newest window imply"
        quality = GaugeMetricFamily(f"{_PREFIX}expected_quality", description, labels=["measure"])
        expected = self._drift.expected
        for name, figure in (asdict(expected) if expected else {}).items():
            if figure is not None:
                quality.add_metric([name], figure)
        yield quality
        description = "Windows that were compared with the training rows"
        yield CounterMetricFamily(f"{_PREFIX}drift_windows", description, value=self._drift.windows)
