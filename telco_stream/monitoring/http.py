"""Monitors that export metrics and health over HTTP; imported on demand because prometheus_client is slow to import."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext

from telco_stream.errors import KafkaError
from telco_stream.kafka.clients import Clients
from telco_stream.kafka.cluster import Cluster
from telco_stream.model.serving import Models
from telco_stream.monitoring import MonitoringOptions
from telco_stream.monitoring.consume_metrics import ConsumeMetrics
from telco_stream.monitoring.drift import DriftMonitor
from telco_stream.monitoring.drift_metrics import DriftMetrics
from telco_stream.monitoring.health import Heartbeat, StallDetector
from telco_stream.monitoring.metrics import ProduceMetrics, RunState, new_registry
from telco_stream.monitoring.protocols import BatchTimings, ProduceObserver, RunObserver, SendCounters, ViewPartitions
from telco_stream.monitoring.server import Pages, serving
from telco_stream.runtime.signals import Stop
from telco_stream.scoring import Outcome

#: `produce` has stalled if Kafka confirms nothing in the time in which this many rows should have been sent.
_ROWS_OVERDUE = 3


@contextmanager
def http_run_monitor(
    options: MonitoringOptions, clients: Clients, models: Models, drift: DriftMonitor, stop: Stop
) -> Iterator[RunObserver]:
    """Monitor a run of `consume`, and serve its metrics, drift and health if the options name a port.

    Times the calls of its models. Raises `KafkaError` after a stall that ended the run.
    """
    monitor = _RunMonitor(clients, options, models, drift, stop)
    with serving(options.port, monitor.pages, clients.settings.metrics.host) if options.port else nullcontext():
        yield monitor
    if monitor.stall:
        raise KafkaError(f"{monitor.stall}; stopped so that a supervisor can restart it (--exit-on-stall)")


@contextmanager
def http_produce_monitor(
    options: MonitoringOptions, clients: Clients, target: float, observer: ProduceObserver
) -> Iterator[ProduceObserver]:
    """Monitor a run of `produce`, and serve its metrics and health."""
    monitor = _ProduceMonitor(clients, target, observer)
    with serving(options.port, monitor.pages, clients.settings.metrics.host):
        yield monitor


class _RunMonitor(RunObserver):
    """Observer of a run of `consume` with metrics, health checks and stall detection."""

    def __init__(
        self, clients: Clients, options: MonitoringOptions, models: Models, drift: DriftMonitor, stop: Stop
    ) -> None:
        self._clients = clients
        self._options = options
        self._stop = stop
        self._heartbeat = Heartbeat(clients.settings.consumer.stall_seconds)
        self._state = RunState(self._heartbeat, client_errors=clients.errors)
        registry = new_registry(self._state)
        self._metrics = ConsumeMetrics(registry, models)
        DriftMetrics(registry, drift)
        models.wrap = self._metrics.timed
        clients.on_statistics["consumer"] = self._state.statistics.update
        self.pages = Pages(registry, self._heartbeat.problems, self._readiness_problems)
        self._detection = ExitStack()
        #: Description of the stall that ended the run.
        self.stall: str | None = None

    def attach(self, partitions: ViewPartitions) -> None:
        """Export the state of the partitions, and begin to detect stalls."""
        topic, end = self._clients.settings.topics.raw, Stop()
        cluster = Cluster(self._clients, end)

        def ends(numbers: Collection[int], committed_only: bool) -> Mapping[int, int]:  # noqa: FBT001
            return cluster.reachable_ends(topic, numbers, committed_only=committed_only)

        limit, is_classic = self._clients.settings.consumer.stall_seconds, self._clients.is_classic_protocol
        detector = StallDetector(
            topic, partitions, ends, limit=limit, on_stall=self._on_stall, expects_assignment=is_classic
        )
        self._state.transactions = lambda: partitions().transactions
        self._metrics.view, self._metrics.stall_detector = partitions, detector
        self._detection.enter_context(detector)
        self._detection.callback(end.request)

    def finish(self) -> None:
        """End the detection of stalls, before the partitions are given up."""
        self._detection.close()

    def on_poll(self) -> None:
        """Tick."""
        self._heartbeat.tick()

    def on_committed(self, outcome: Outcome, timings: BatchTimings) -> None:
        """Tick, and count the batch."""
        self._heartbeat.tick()
        self._metrics.on_committed(outcome, timings)

    def _readiness_problems(self) -> list[str]:
        detector = self._metrics.stall_detector
        return [*self._heartbeat.problems(), *detector.problems()] if detector else ["Still connecting to Kafka"]

    def _on_stall(self, description: str) -> None:
        if self._options.exit_on_stall and self.stall is None:
            self.stall = description
            self._stop.request()


class _ProduceMonitor:
    """Observer of a run of `produce` with metrics and health checks, which also calls the command's own observer."""

    def __init__(self, clients: Clients, target: float, observer: ProduceObserver) -> None:
        limit = clients.settings.consumer.stall_seconds
        self._observer = observer
        self._heartbeat = Heartbeat(max(limit, _ROWS_OVERDUE / target) if target else limit)
        self._state = RunState(self._heartbeat, client_errors=clients.errors)
        registry = new_registry(self._state)
        self._metrics = ProduceMetrics(target, registry)
        clients.on_statistics["producer"] = self._state.statistics.update
        self.pages = Pages(registry, self._heartbeat.problems, self._readiness_problems)

    def attach(self, counters: SendCounters) -> None:
        """Export the counters of the writer."""
        self._metrics.failed = counters.failed
        self._state.transactions = counters.outcomes
        self._observer.attach(counters)

    def resumed(self, rows: int) -> None:
        """Pass on the rows that earlier runs have sent; the metrics count this run only."""
        self._observer.resumed(rows)

    def advance(self, rows: int) -> None:
        """Count rows that Kafka has confirmed."""
        self._heartbeat.tick()
        self._metrics.advance(rows)
        self._observer.advance(rows)

    def _readiness_problems(self) -> list[str]:
        return self._heartbeat.problems() if self._metrics.sent else ["Kafka has not confirmed a row yet"]
