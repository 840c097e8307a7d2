"""What `produce` shows."""

import time
from collections import deque
from collections.abc import Callable, Iterator

from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from telco_stream.metrics.shared import gauge

#: Seconds over which the rate is taken.
_WINDOW = 10.0


class ProduceMetrics(Collector):
    """Looks on while `produce` works, and shows it when somebody scrapes."""

    def __init__(self, target: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._target = target
        self._clock = clock
        #: Rows confirmed so far.
        self.sent = 0
        self._last = 0.0
        #: Confirmations of the last seconds: when, and how many rows had been confirmed by then.
        self._recent = deque([(clock(), 0)])
        #: How many rows have failed.
        self.failed: Callable[[], int] = int

    def advance(self, rows: int) -> None:
        """So many more rows are confirmed."""
        self.sent += rows
        now = self._clock()
        self._recent.append((now, self.sent))
        while len(self._recent) > 1 and self._recent[1][0] <= now - _WINDOW:
            self._recent.popleft()
        if rows:
            self._last = time.time()

    def rate(self) -> float:
        """Rows confirmed a second, of late."""
        now, recent = self._clock(), tuple(self._recent)
        before = max((sent for at, sent in recent if at <= now - _WINDOW), default=recent[0][1])
        seconds = min(now - recent[0][0], _WINDOW)
        return (recent[-1][1] - before) / seconds if seconds > 0 else 0.0

    def collect(self) -> Iterator[Metric]:
        """All as it is now."""
        prefix = "telco_stream_producer_"
        yield CounterMetricFamily(f"{prefix}records_sent", "Rows that Kafka has confirmed", value=self.sent)
        yield CounterMetricFamily(f"{prefix}records_failed", "Rows that Kafka has refused", value=self.failed())
        yield gauge(f"{prefix}records_per_second", "Rows confirmed a second, over the last 10 s", self.rate())
        yield gauge(f"{prefix}target_records_per_second", "The rate asked for", self._target)
        yield gauge(
            f"{prefix}last_confirmation_timestamp_seconds", "Time at which Kafka last confirmed rows", self._last
        )
