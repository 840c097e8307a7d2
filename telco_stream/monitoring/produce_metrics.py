"""Metrics of `produce`."""

import time
from collections.abc import Callable, Iterator

from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from telco_stream.monitoring.process_metrics import gauge
from telco_stream.runtime.clock import RateMeter

#: Seconds over which the rate is averaged.
_WINDOW = 10.0


class ProduceMetrics(Collector):
    """Observer of `produce` that exports what it counts when Prometheus scrapes."""

    def __init__(self, target: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._target = target
        self._clock = clock
        #: Rows confirmed so far.
        self.sent = 0
        self._last = 0.0
        self._meter = RateMeter(clock(), _WINDOW)
        #: Returns the number of rows that failed.
        self.failed: Callable[[], int] = int

    def advance(self, rows: int) -> None:
        """Count rows that Kafka has confirmed."""
        self.sent += rows
        self._meter.update(self._clock(), self.sent)
        if rows:
            self._last = time.time()

    def rate(self) -> float:
        """Return the rows confirmed per second over the last 10 s."""
        return self._meter.rate(self._clock())

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics with their current values."""
        prefix = "telco_stream_producer_"
        yield CounterMetricFamily(f"{prefix}records_sent", "Rows that Kafka has confirmed", value=self.sent)
        yield CounterMetricFamily(f"{prefix}records_failed", "Rows that Kafka has refused", value=self.failed())
        yield gauge(f"{prefix}records_per_second", "Rows confirmed per second over the last 10 s", self.rate())
        yield gauge(f"{prefix}target_records_per_second", "Target rate", self._target)
        yield gauge(
            f"{prefix}last_confirmation_timestamp_seconds", "Time at which Kafka last confirmed rows", self._last
        )
