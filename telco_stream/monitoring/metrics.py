"""Metrics of both commands and of `produce`; those of `consume` are in `consume_metrics.py`."""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import prometheus_client
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from telco_stream import __version__
from telco_stream.monitoring.health import Heartbeat
from telco_stream.runtime.clock import RateMeter

#: Outcomes of a transaction.
_OUTCOMES = ("committed", "aborted", "unclear")
#: Client errors that are exported as 0 before they happen: Prometheus can't see the first increase of a new series.
_USUAL_ERRORS = ("_ALL_BROKERS_DOWN", "_TRANSPORT")
#: Names of a broker's error counters in the statistics, and in the metrics.
_REQUEST_ERRORS = {"txerrs": "transmit", "rxerrs": "receive", "req_timeouts": "timeout"}
_MICROSECONDS = 1_000_000
#: Seconds over which the rate of `produce` is averaged.
_RATE_WINDOW = 10.0


@dataclass(frozen=True, slots=True)
class ClientStatistics:
    """Condensed statistics of one client."""

    request_errors: Counter[str]
    round_trip_seconds: float
    queued: int


class Statistics:
    """Latest statistics of each client; clients that were closed keep their share of the counters."""

    def __init__(self) -> None:
        self._by_client: dict[str, ClientStatistics] = {}

    def update(self, text: str) -> None:
        """Replace one client's statistics; ignore unreadable text, because the client calls this."""
        try:
            statistics = json.loads(text)
            self._by_client[statistics["name"]] = _condense(statistics)
        except (ValueError, KeyError, TypeError, AttributeError):
            return

    @property
    def request_errors(self) -> dict[str, int]:
        """Failed requests by kind."""
        clients = list(self._by_client.values())
        return {kind: sum(client.request_errors[kind] for client in clients) for kind in _REQUEST_ERRORS.values()}

    @property
    def newest(self) -> ClientStatistics:
        """Statistics of the client that was created last."""
        return list(self._by_client.values())[-1] if self._by_client else ClientStatistics(Counter(), 0.0, 0)


@dataclass(slots=True)
class RunState:
    """State of a run that is read when Prometheus scrapes."""

    heartbeat: Heartbeat
    statistics: Statistics = field(default_factory=Statistics)
    client_errors: Mapping[str, int] = field(default_factory=dict)
    #: Returns the number of transactions by outcome.
    transactions: Callable[[], Mapping[str, int]] = dict


def new_registry(state: RunState) -> CollectorRegistry:
    """Return a registry with the metrics of the process, the interpreter and the run's state."""
    prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
    registry, statistics = CollectorRegistry(), state.statistics
    prometheus_client.ProcessCollector(registry=registry)
    prometheus_client.PlatformCollector(registry=registry)
    prometheus_client.GCCollector(registry=registry)
    registry.register(_RunStateCollector(state))
    name, description = "telco_stream_client_round_trip_seconds", "Mean round-trip time to the slowest broker"
    Gauge(name, description, registry=registry).set_function(lambda: statistics.newest.round_trip_seconds)
    name, description = "telco_stream_client_queued_records", "Records waiting inside the client"
    Gauge(name, description, registry=registry).set_function(lambda: statistics.newest.queued)
    name, description = "telco_stream_loop_last_turn_timestamp_seconds", "Time of the loop's last iteration"
    Gauge(name, description, registry=registry).set_function(lambda: state.heartbeat.last_tick)
    build = Gauge("telco_stream_build_info", "Version of telco-stream", ["version"], registry=registry)
    build.labels(__version__).set(1)
    return registry


class ProduceMetrics(Collector):
    """Metrics of `produce`."""

    def __init__(self, target: float, registry: CollectorRegistry, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._meter = RateMeter(clock(), _RATE_WINDOW)
        #: Rows confirmed so far.
        self.sent = 0
        #: Returns the number of rows that failed.
        self.failed: Callable[[], int] = int
        prefix, rate_description = "telco_stream_producer_", "Rows confirmed per second over the last 10 s"
        Gauge(f"{prefix}records_per_second", rate_description, registry=registry).set_function(self.rate)
        Gauge(f"{prefix}target_records_per_second", "Target rate", registry=registry).set(target)
        name, description = f"{prefix}last_confirmation_timestamp_seconds", "Time at which Kafka last confirmed rows"
        self._last = Gauge(name, description, registry=registry)
        registry.register(self)

    def advance(self, rows: int) -> None:
        """Count rows that Kafka has confirmed."""
        self.sent += rows
        self._meter.update(self._clock(), self.sent)
        if rows:
            self._last.set_to_current_time()

    def rate(self) -> float:
        """Return the rows confirmed per second over the last 10 s."""
        return self._meter.rate(self._clock())

    def collect(self) -> Iterator[Metric]:
        """Yield the counters with their current values."""
        prefix = "telco_stream_producer_records_"
        yield CounterMetricFamily(f"{prefix}sent", "Rows that Kafka has confirmed", value=self.sent)
        yield CounterMetricFamily(f"{prefix}failed", "Rows that Kafka has refused", value=self.failed())


class _RunStateCollector(Collector):
    """Collects the counters of a run."""

    def __init__(self, state: RunState) -> None:
        self._state = state

    def collect(self) -> Iterator[Metric]:
        """Yield the counters with their current values."""
        prefix, state = "telco_stream_", self._state
        ended = dict.fromkeys(_OUTCOMES, 0) | dict(state.transactions())
        yield _labelled_counter(f"{prefix}transactions", "Transactions by outcome", "outcome", ended)
        errors = dict.fromkeys(_USUAL_ERRORS, 0) | dict(state.client_errors)
        yield _labelled_counter(f"{prefix}client_errors", "Errors reported by the Kafka clients", "error", errors)
        failed, description = state.statistics.request_errors, "Requests to brokers that failed"
        yield _labelled_counter(f"{prefix}client_request_errors", description, "kind", failed)


def _labelled_counter(name: str, description: str, label: str, values: Mapping[str, float]) -> CounterMetricFamily:
    family = CounterMetricFamily(name, description, labels=[label])
    for label_value, count in values.items():
        family.add_metric([label_value], count)
    return family


def _condense(statistics: dict[str, Any]) -> ClientStatistics:
    brokers = list(statistics["brokers"].values())
    errors = Counter({kind: sum(broker[name] for broker in brokers) for name, kind in _REQUEST_ERRORS.items()})
    slowest = max((broker["rtt"]["avg"] for broker in brokers), default=0)
    return ClientStatistics(errors, slowest / _MICROSECONDS, statistics["msg_cnt"] or _fetch_queue_length(statistics))


def _fetch_queue_length(statistics: dict[str, Any]) -> int:
    """Return the length of the fetch queue, which a group's partitions share and each of them reports."""
    topics = statistics["topics"].values()
    return max((partition["fetchq_cnt"] for topic in topics for partition in topic["partitions"].values()), default=0)
