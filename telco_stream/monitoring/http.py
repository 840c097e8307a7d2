"""Eyes that show what they see at a port; apart from `observing`, because prometheus-client is dear to import."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, nullcontext

from telco_stream.kafka.clients import Clients
from telco_stream.kafka.cluster import Cluster
from telco_stream.model.scorer import Scorer
from telco_stream.monitoring.consume_metrics import ConsumeMetrics
from telco_stream.monitoring.health import Heartbeat, StallDetector
from telco_stream.monitoring.observer import (
    CompositeObserver,
    MonitoringOptions,
    ProduceMonitor,
    ProduceObserver,
    RunMonitor,
    RunObserver,
    SendCounters,
    TransactionCounters,
)
from telco_stream.monitoring.process_metrics import Shell, new_registry
from telco_stream.monitoring.produce_metrics import ProduceMetrics
from telco_stream.monitoring.protocols import BatchTimings
from telco_stream.monitoring.server import Pages, serving
from telco_stream.monitoring.snapshot import ConsumerView
from telco_stream.runtime.period import instant
from telco_stream.runtime.signals import Stop
from telco_stream.scoring import Outcome

#: A producer is stuck when it has confirmed nothing in the time in which so many rows should have left.
_ROWS_OVERDUE = 3


@contextmanager
def http_run_monitor(
    asked: MonitoringOptions, clients: Clients, scorer: Scorer, *, stop: Stop, watch: RunObserver
) -> Iterator[RunMonitor]:
    """Eyes on one run of `consume`, that watch over the partitions and show what they see at the port, if asked."""
    eyes = HttpRunMonitor(asked, clients, scorer, stop, watch)
    with serving(asked.port, eyes.pages(), clients.settings.metrics.host) if asked.port else nullcontext():
        yield eyes


@contextmanager
def http_produce_monitor(
    asked: MonitoringOptions, clients: Clients, target: float, watch: ProduceObserver
) -> Iterator[ProduceMonitor]:
    """Eyes on one run of `produce`, that show what they see at the port."""
    eyes = HttpProduceMonitor(clients, target, watch)
    with serving(asked.port, eyes.pages(), clients.settings.metrics.host):
        yield eyes


class HttpRunMonitor(RunMonitor):
    """Watches over the partitions, and shows what it sees at a port, if there is one."""

    def __init__(
        self, asked: MonitoringOptions, clients: Clients, scorer: Scorer, stop: Stop, watch: RunObserver
    ) -> None:
        pulse = Heartbeat(clients.settings.consumer.stall_seconds)
        self._shell = Shell(pulse, client_errors=clients.errors)
        self._registry = new_registry(self._shell)
        self._metrics = ConsumeMetrics(self._registry)
        created = max(0.0, instant(asked.model_created or ""))
        self._metrics.shows_model(self._registry, scorer, created)
        self._exits = asked.exit_on_stall
        clients.on_statistics["consumer"] = self._shell.statistics.take
        all_watches = CompositeObserver(_Beating(pulse), self._metrics, last=watch)
        super().__init__(clients, self._metrics.timed(scorer), stop, all_watches)

    def pages(self) -> Pages:
        """What the port shows."""
        return Pages(self._registry, self._shell.pulse.problems, self._not_ready)

    @contextmanager
    def on(self, source: ConsumerView) -> Iterator[None]:
        """Watch over the partitions while the block runs."""
        self.watch.on(source)
        topic, over = self._clients.settings.topics.raw, Stop()
        cluster = Cluster(self._clients, over)

        def ends(partitions: Collection[int], committed_only: bool) -> Mapping[int, int]:  # noqa: FBT001
            return cluster.reachable_ends(topic, partitions, committed_only=committed_only)

        limit, is_classic = self._clients.settings.consumer.stall_seconds, self._clients.is_classic_protocol
        with StallDetector(topic, source, ends, limit, self._stalled, expects_assignment=is_classic) as stall_detector:
            self._metrics.group.reading, self._metrics.group.stall_detector = source, stall_detector
            try:
                yield
            finally:
                over.request()

    def count(self, transactions: TransactionCounters) -> None:
        """Show how they end."""
        self._shell.transactions = transactions.outcomes

    def _not_ready(self) -> list[str]:
        stall_detector = self._metrics.group.stall_detector
        if stall_detector is None:
            return ["Still connecting to Kafka"]
        return [*self._shell.pulse.problems(), *stall_detector.problems()]

    def _stalled(self, which: str) -> None:
        if self._exits and self.stall is None:
            self.stall = which
            self._stop.request()


class HttpProduceMonitor(ProduceMonitor):
    """Shows what it sees at a port."""

    def __init__(self, clients: Clients, target: float, watch: ProduceObserver) -> None:
        super().__init__(watch)
        limit = clients.settings.consumer.stall_seconds
        self._shell = Shell(Heartbeat(max(limit, _ROWS_OVERDUE / target) if target else limit))
        self._shell.client_errors = clients.errors
        self._registry = new_registry(self._shell)
        self._metrics = ProduceMetrics(target)
        self._registry.register(self._metrics)
        clients.on_statistics["producer"] = self._shell.statistics.take

    def pages(self) -> Pages:
        """What the port shows."""
        return Pages(self._registry, self._shell.pulse.problems, self._not_ready)

    def on(self, writer: SendCounters) -> None:
        """Show what it sends."""
        self._metrics.failed = writer.failed
        self._shell.transactions = writer.outcomes
        super().on(writer)

    def advance(self, rows: int) -> None:
        """So many more rows are confirmed."""
        self._shell.pulse.tick()
        self._metrics.advance(rows)
        super().advance(rows)

    def _not_ready(self) -> list[str]:
        return self._shell.pulse.problems() if self._metrics.sent else ["Kafka has not confirmed a row yet"]


class _Beating:
    """Tells the pulse."""

    def __init__(self, pulse: Heartbeat) -> None:
        self._pulse = pulse

    def on_poll(self) -> None:
        """The loop has come round."""
        self._pulse.tick()

    def on_committed(self, outcome: Outcome, seconds: BatchTimings) -> None:  # noqa: ARG002 - as `consume` calls it
        """So it has."""
        self._pulse.tick()
