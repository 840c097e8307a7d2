"""Eyes that show what they see at a port; apart from `observing`, because prometheus-client is dear to import."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, nullcontext

from telco_stream import consume as consuming
from telco_stream.batch import Outcome
from telco_stream.contracts.scoring import Scorer
from telco_stream.kafka.clients import Clients
from telco_stream.kafka.cluster import Cluster
from telco_stream.metrics.consuming import ConsumeMetrics
from telco_stream.metrics.health import Pulse, Watchman
from telco_stream.metrics.producing import ProduceMetrics
from telco_stream.metrics.server import Pages, serving
from telco_stream.metrics.shared import Shell, new_registry
from telco_stream.observing.eyes import Counted, Eyes, Onlooker, RowEyes, RowWatch, Sending, Watches, Watching
from telco_stream.observing.sight import Seen
from telco_stream.period import instant
from telco_stream.stop import Stop

#: A producer is stuck when it has confirmed nothing in the time in which so many rows should have left.
_ROWS_OVERDUE = 3


@contextmanager
def wide_eyes(asked: Watching, clients: Clients, scorer: Scorer, *, stop: Stop, watch: Onlooker) -> Iterator[Eyes]:
    """Eyes on one run of `consume`, that watch over the partitions and show what they see at the port, if asked."""
    eyes = WideEyes(asked, clients, scorer, stop, watch)
    with serving(asked.port, eyes.pages(), clients.settings.metrics.host) if asked.port else nullcontext():
        yield eyes


@contextmanager
def wide_row_eyes(asked: Watching, clients: Clients, target: float, watch: RowWatch) -> Iterator[RowEyes]:
    """Eyes on one run of `produce`, that show what they see at the port."""
    eyes = WideRowEyes(clients, target, watch)
    with serving(asked.port, eyes.pages(), clients.settings.metrics.host):
        yield eyes


class WideEyes(Eyes):
    """Watches over the partitions, and shows what it sees at a port, if there is one."""

    def __init__(self, asked: Watching, clients: Clients, scorer: Scorer, stop: Stop, watch: Onlooker) -> None:
        pulse = Pulse(clients.settings.consumer.stall_seconds)
        self._shell = Shell(pulse, client_errors=clients.errors)
        self._registry = new_registry(self._shell)
        self._metrics = ConsumeMetrics(self._registry)
        created = max(0.0, instant(asked.model_created or ""))
        self._metrics.shows_model(self._registry, scorer, created)
        self._exits = asked.exit_on_stall
        clients.on_statistics["consumer"] = self._shell.statistics.take
        all_watches = Watches(_Beating(pulse), self._metrics, last=watch)
        super().__init__(clients, self._metrics.timed(scorer), stop, all_watches)

    def pages(self) -> Pages:
        """What the port shows."""
        return Pages(self._registry, self._shell.pulse.problems, self._not_ready)

    @contextmanager
    def on(self, source: Seen) -> Iterator[None]:
        """Watch over the partitions while the block runs."""
        self.watch.on(source)
        topic, over = self._clients.settings.topics.raw, Stop()
        cluster = Cluster(self._clients, over)

        def ends(partitions: Collection[int], committed_only: bool) -> Mapping[int, int]:  # noqa: FBT001
            return cluster.ends_in_reach(topic, partitions, committed_only=committed_only)

        limit, is_classic = self._clients.settings.consumer.stall_seconds, self._clients.is_classic_protocol
        with Watchman(topic, source, ends, limit, self._stalled, expects_assignment=is_classic) as watchman:
            self._metrics.group.reading, self._metrics.group.watchman = source, watchman
            try:
                yield
            finally:
                over.request()

    def count(self, transactions: Counted) -> None:
        """Show how they end."""
        self._shell.transactions = transactions.outcomes

    def _not_ready(self) -> list[str]:
        watchman = self._metrics.group.watchman
        if watchman is None:
            return ["Still connecting to Kafka"]
        return [*self._shell.pulse.problems(), *watchman.problems()]

    def _stalled(self, which: str) -> None:
        if self._exits and self.stall is None:
            self.stall = which
            self._stop.request()


class WideRowEyes(RowEyes):
    """Shows what it sees at a port."""

    def __init__(self, clients: Clients, target: float, watch: RowWatch) -> None:
        super().__init__(watch)
        limit = clients.settings.consumer.stall_seconds
        self._shell = Shell(Pulse(max(limit, _ROWS_OVERDUE / target) if target else limit))
        self._shell.client_errors = clients.errors
        self._registry = new_registry(self._shell)
        self._metrics = ProduceMetrics(target)
        self._registry.register(self._metrics)
        clients.on_statistics["producer"] = self._shell.statistics.take

    def pages(self) -> Pages:
        """What the port shows."""
        return Pages(self._registry, self._shell.pulse.problems, self._not_ready)

    def on(self, outlet: Sending) -> None:
        """Show what it sends."""
        self._metrics.failed = outlet.failed
        self._shell.transactions = outlet.outcomes
        super().on(outlet)

    def advance(self, rows: int) -> None:
        """So many more rows are confirmed."""
        self._shell.pulse.beat()
        self._metrics.advance(rows)
        super().advance(rows)

    def _not_ready(self) -> list[str]:
        return self._shell.pulse.problems() if self._metrics.sent else ["Kafka has not confirmed a row yet"]


class _Beating:
    """Tells the pulse."""

    def __init__(self, pulse: Pulse) -> None:
        self._pulse = pulse

    def turned(self) -> None:
        """The loop has come round."""
        self._pulse.beat()

    def delivered(self, outcome: Outcome, seconds: consuming.Seconds) -> None:  # noqa: ARG002 - as `consume` calls it
        """So it has."""
        self._pulse.beat()
