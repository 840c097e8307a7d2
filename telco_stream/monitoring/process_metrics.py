"""Metrics of both `consume` and `produce`: process, Kafka clients, transactions, heartbeat."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import prometheus_client
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from telco_stream import __version__
from telco_stream.monitoring.health import Heartbeat

#: Outcomes of a transaction.
_OUTCOMES = ("committed", "aborted", "unclear")
#: Client errors that are exported as 0 before they happen: Prometheus can't see the first increase of a new series.
_USUAL_ERRORS = ("_ALL_BROKERS_DOWN", "_TRANSPORT")
#: Names of a broker's error counters in the statistics, and in the metrics.
_REQUEST_ERRORS = {"txerrs": "transmit", "rxerrs": "receive", "req_timeouts": "timeout"}
_MICROSECONDS = 1_000_000


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


class RunStateCollector(Collector):
    """Collects the state of a run."""

    def __init__(self, state: RunState) -> None:
        self._state = state

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics with their current values."""
        state, newest = self._state, self._state.statistics.newest
        transactions = state.transactions()
        yield labelled_counter(
            "telco_stream_transactions_total",
            "Transactions by outcome",
            "outcome",
            {outcome: transactions.get(outcome, 0) for outcome in _OUTCOMES},
        )
        errors = dict.fromkeys(_USUAL_ERRORS, 0) | dict(state.client_errors)
        yield labelled_counter(
            "telco_stream_client_errors_total", "Errors reported by the Kafka clients", "error", errors
        )
        yield labelled_counter(
            "telco_stream_client_request_errors_total",
            "Requests to brokers that failed",
            "kind",
            state.statistics.request_errors,
        )
        yield gauge(
            "telco_stream_client_round_trip_seconds",
            "Mean round-trip time to the slowest broker",
            newest.round_trip_seconds,
        )
        yield gauge("telco_stream_client_queued_records", "Records waiting inside the client", newest.queued)
        yield gauge(
            "telco_stream_loop_last_turn_timestamp_seconds",
            "Time of the loop's last iteration",
            state.heartbeat.last_tick,
        )
        build = GaugeMetricFamily("telco_stream_build_info", "Version of telco-stream", labels=["version"])
        build.add_metric([__version__], 1)
        yield build


def new_registry(state: RunState) -> CollectorRegistry:
    """Return a registry with the metrics of the process, the interpreter and the run's state."""
    prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
    registry = CollectorRegistry()
    prometheus_client.ProcessCollector(registry=registry)
    prometheus_client.PlatformCollector(registry=registry)
    prometheus_client.GCCollector(registry=registry)
    registry.register(RunStateCollector(state))
    return registry


def labelled_counter(name: str, description: str, label: str, values: Mapping[str, float]) -> CounterMetricFamily:
    """Return a counter with one label, given its value by the label's value."""
    family = CounterMetricFamily(name, description, labels=[label])
    for label_value, count in values.items():
        family.add_metric([label_value], count)
    return family


def gauge(name: str, description: str, value: float) -> GaugeMetricFamily:
    """Return a gauge without labels."""
    return GaugeMetricFamily(name, description, value=value)


def gauge_by_partition(name: str, description: str, values: Mapping[int, float]) -> GaugeMetricFamily:
    """Return a gauge with the label `partition`."""
    family = GaugeMetricFamily(name, description, labels=["partition"])
    for partition, value in sorted(values.items()):
        family.add_metric([str(partition)], value)
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
