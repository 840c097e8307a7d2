"""Monitors that export metrics and health over HTTP; imported on demand because prometheus_client is slow to import."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext

from telco_stream.kafka.clients import Clients
from telco_stream.kafka.cluster import Cluster
from telco_stream.model.scorer import Scorer
from telco_stream.monitoring import MonitoringOptions, RunMonitor
from telco_stream.monitoring.consume_metrics import ConsumeMetrics
from telco_stream.monitoring.health import Heartbeat, StallDetector
from telco_stream.monitoring.process_metrics import RunState, new_registry
from telco_stream.monitoring.produce_metrics import ProduceMetrics
from telco_stream.monitoring.protocols import (
    BatchTimings,
    ProduceObserver,
    RunObserver,
    SendCounters,
    ViewPartitions,
)
from telco_stream.monitoring.server import Pages, serving
from telco_stream.runtime.period import to_timestamp
from telco_stream.runtime.signals import Stop
from telco_stream.scoring import Outcome

#: `produce` has stalled if Kafka confirms nothing in the time in which this many rows should have been sent.
_ROWS_OVERDUE = 3


@contextmanager
def http_run_monitor(
    options: MonitoringOptions, clients: Clients, scorer: Scorer, *, stop: Stop, observers: Sequence[RunObserver]
) -> Iterator[RunMonitor]:
    """Monitor a run of `consume`, and serve its metrics and health if the options name a port."""
    monitor = HttpRunMonitor(options, clients, scorer, stop, observers)
    with serving(options.port, monitor.pages(), clients.settings.metrics.host) if options.port else nullcontext():
        yield monitor


@contextmanager
def http_produce_monitor(
    options: MonitoringOptions, clients: Clients, target: float, observer: ProduceObserver
) -> Iterator[ProduceObserver]:
    """Monitor a run of `produce`, and serve its metrics and health."""
    monitor = HttpProduceMonitor(clients, target, observer)
    with serving(options.port, monitor.pages(), clients.settings.metrics.host):
        yield monitor


class HttpRunMonitor(RunMonitor):
    """Monitor of a run of `consume` with metrics, health checks and stall detection."""

    def __init__(
        self, options: MonitoringOptions, clients: Clients, scorer: Scorer, stop: Stop, observers: Sequence[RunObserver]
    ) -> None:
        heartbeat = Heartbeat(clients.settings.consumer.stall_seconds)
        self._clients = clients
        self._stop = stop
        self._exit_on_stall = options.exit_on_stall
        self._stall_detector: StallDetector | None = None
        self._state = RunState(heartbeat, client_errors=clients.errors)
        self._registry = new_registry(self._state)
        self._metrics = ConsumeMetrics(self._registry)
        self._metrics.show_model(self._registry, scorer, max(0.0, to_timestamp(options.model_created or "")))
        clients.on_statistics["consumer"] = self._state.statistics.update
        super().__init__(self._metrics.timed(scorer), [_HeartbeatObserver(heartbeat), self._metrics, *observers])

    def pages(self) -> Pages:
        """Return the pages to serve."""
        return Pages(self._registry, self._state.heartbeat.problems, self._readiness_problems)

    @contextmanager
    def attach(self, partitions: ViewPartitions) -> Iterator[None]:
        """Attach the observers, and detect stalls while the block runs."""
        super().attach(partitions)
        topic, end = self._clients.settings.topics.raw, Stop()
        cluster = Cluster(self._clients, end)

        def ends(numbers: Collection[int], committed_only: bool) -> Mapping[int, int]:  # noqa: FBT001
            return cluster.reachable_ends(topic, numbers, committed_only=committed_only)

        limit, is_classic = self._clients.settings.consumer.stall_seconds, self._clients.is_classic_protocol
        detector = StallDetector(
            topic, partitions, ends, limit=limit, on_stall=self._on_stall, expects_assignment=is_classic
        )
        with detector:
            self._stall_detector = self._metrics.partitions.stall_detector = detector
            try:
                yield
            finally:
                end.request()

    def count_transactions(self, outcomes: Callable[[], Mapping[str, int]]) -> None:
        """Export the number of transactions by outcome."""
        self._state.transactions = outcomes

    def _readiness_problems(self) -> list[str]:
        if self._stall_detector is None:
            return ["Still connecting to Kafka"]
        return [*self._state.heartbeat.problems(), *self._stall_detector.problems()]

    def _on_stall(self, description: str) -> None:
        if self._exit_on_stall and self.stall is None:
            self.stall = description
            self._stop.request()


class HttpProduceMonitor:
    """Observer of a run of `produce` with metrics and health checks, which also calls the command's own observer."""

    def __init__(self, clients: Clients, target: float, observer: ProduceObserver) -> None:
        limit = clients.settings.consumer.stall_seconds
        self._observer = observer
        self._state = RunState(
            Heartbeat(max(limit, _ROWS_OVERDUE / target) if target else limit), client_errors=clients.errors
        )
        self._registry = new_registry(self._state)
        self._metrics = ProduceMetrics(target)
        self._registry.register(self._metrics)
        clients.on_statistics["producer"] = self._state.statistics.update

    def pages(self) -> Pages:
        """Return the pages to serve."""
        return Pages(self._registry, self._state.heartbeat.problems, self._readiness_problems)

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
        self._state.heartbeat.tick()
        self._metrics.advance(rows)
        self._observer.advance(rows)

    def _readiness_problems(self) -> list[str]:
        return self._state.heartbeat.problems() if self._metrics.sent else ["Kafka has not confirmed a row yet"]


class _HeartbeatObserver:
    """Observer that ticks the heartbeat."""

    def __init__(self, heartbeat: Heartbeat) -> None:
        self._heartbeat = heartbeat

    def attach(self, partitions: ViewPartitions) -> None:
        """Ignore the partitions."""

    def on_poll(self) -> None:
        """Tick."""
        self._heartbeat.tick()

    def on_committed(self, outcome: Outcome, timings: BatchTimings) -> None:  # noqa: ARG002 - the protocol's parameters
        """Tick."""
        self._heartbeat.tick()
