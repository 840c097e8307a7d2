"""What `consume` and `produce` both show."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import prometheus_client
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from telco_stream import __version__
from telco_stream.monitoring.client_statistics import Statistics
from telco_stream.monitoring.health import Heartbeat

#: How a transaction can end.
_OUTCOMES = ("committed", "aborted", "unclear")
#: Client errors that are shown before the first: what never was there can't be seen to grow.
_USUAL = ("_ALL_BROKERS_DOWN", "_TRANSPORT")


@dataclass(slots=True)
class Shell:
    """The run's surroundings, asked when somebody scrapes; parts that come later are set then."""

    pulse: Heartbeat
    statistics: Statistics = field(default_factory=Statistics)
    client_errors: Mapping[str, int] = field(default_factory=dict)
    transactions: Callable[[], Mapping[str, int]] = dict


class ShellCollector(Collector):
    """Shows the surroundings."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell

    def collect(self) -> Iterator[Metric]:
        """All as it is now."""
        shell, newest = self._shell, self._shell.statistics.newest
        ended = shell.transactions()
        yield counters(
            "telco_stream_transactions_total",
            "Transactions by how they ended",
            "outcome",
            {one: ended.get(one, 0) for one in _OUTCOMES},
        )
        errors = dict.fromkeys(_USUAL, 0) | dict(shell.client_errors)
        yield counters("telco_stream_client_errors_total", "What the Kafka clients complained of", "error", errors)
        yield counters(
            "telco_stream_client_request_errors_total",
            "Requests to brokers that failed",
            "kind",
            shell.statistics.request_errors,
        )
        yield gauge(
            "telco_stream_client_round_trip_seconds",
            "Mean time of an answer from the slowest broker",
            newest.round_trip_seconds,
        )
        yield gauge("telco_stream_client_queued_records", "Records waiting inside the client", newest.queued)
        yield gauge(
            "telco_stream_loop_last_turn_timestamp_seconds", "Last time that the loop came round", shell.pulse.last_turn
        )
        yield labelled("telco_stream_build_info", "The program", {"version": __version__})


def new_registry(shell: Shell) -> CollectorRegistry:
    """A registry with the process, the interpreter and the run's surroundings."""
    prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
    registry = CollectorRegistry()
    prometheus_client.ProcessCollector(registry=registry)
    prometheus_client.PlatformCollector(registry=registry)
    prometheus_client.GCCollector(registry=registry)
    registry.register(ShellCollector(shell))
    return registry


def counters(name: str, meaning: str, label: str, values: Mapping[str, float]) -> CounterMetricFamily:
    """A counter with one label."""
    family = CounterMetricFamily(name, meaning, labels=[label])
    for value, number in values.items():
        family.add_metric([value], number)
    return family


def gauge(name: str, meaning: str, value: float) -> GaugeMetricFamily:
    """A gauge without labels."""
    return GaugeMetricFamily(name, meaning, value=value)


def by_partition(name: str, meaning: str, values: Mapping[int, float]) -> GaugeMetricFamily:
    """A gauge for each partition."""
    family = GaugeMetricFamily(name, meaning, labels=["partition"])
    for partition, value in sorted(values.items()):
        family.add_metric([str(partition)], value)
    return family


def labelled(name: str, meaning: str, labels: dict[str, str]) -> GaugeMetricFamily:
    """What stands in the labels; the value is always 1."""
    family = GaugeMetricFamily(name, meaning, labels=list(labels))
    family.add_metric(list(labels.values()), 1)
    return family
