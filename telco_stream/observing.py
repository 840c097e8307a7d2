"""Who looks on while a run works: the caller and, where asked for, metrics, health and the watchman."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from telco_stream import consume as consuming
from telco_stream.batch import Outcome
from telco_stream.contracts.scoring import Scorer
from telco_stream.errors import KafkaError
from telco_stream.kafka.clients import Clients
from telco_stream.kafka.cluster import Cluster
from telco_stream.logs import DeadLetterLog
from telco_stream.metrics.consuming import ConsumeMetrics
from telco_stream.metrics.health import Pulse, Reading, Watchman
from telco_stream.metrics.producing import ProduceMetrics
from telco_stream.metrics.server import Pages, serving
from telco_stream.metrics.shared import Shell, new_registry
from telco_stream.stop import Stop

#: A producer is stuck when it has confirmed nothing in the time in which so many rows should have left.
_ROWS_OVERDUE = 3


@dataclass(frozen=True, slots=True)
class Watching:
    """What is asked of those who look on; at port 0 nothing listens."""

    port: int = 0
    exit_on_stall: bool = False
    model_created: str | None = None

    def in_slot(self, slot: int) -> "Watching":
        """The same for one of several workers, each at a port of its own."""
        return replace(self, port=self.port and self.port + slot)


#: Only the caller looks on.
NOBODY = Watching()


class Counted(Protocol):
    """What ends transactions, or stands for it."""

    def outcomes(self) -> Mapping[str, int]:
        """Transactions so far, by how they ended."""


class Sending(Counted, Protocol):
    """What sends rows."""

    def failed(self) -> int:
        """Rows that were refused, or ran out of time."""


class Watches:
    """Several who look on, told one after the other."""

    def __init__(self, *watches: consuming.Watch) -> None:
        self._watches = watches

    def turned(self) -> None:
        """The loop has come round."""
        for one in self._watches:
            one.turned()

    def delivered(self, outcome: Outcome, seconds: consuming.Seconds) -> None:
        """A batch is committed."""
        for one in self._watches:
            one.delivered(outcome, seconds)


class Eyes:
    """Looks on while `consume` works: hand `scorer` and `watch` to the loop, and tell of the parts made later."""

    def __init__(self, clients: Clients, scorer: Scorer, stop: Stop, watch: consuming.Watch) -> None:
        self.scorer = scorer
        self.watch = watch
        #: Which partition has stood still, where that was to end the run, and did.
        self.stall: str | None = None
        self._clients = clients
        self._stop = stop

    def on(self, source: Reading) -> AbstractContextManager[object]:  # noqa: ARG002 - nobody asked for more
        """Watch over the partitions while the block runs."""
        return nullcontext()

    def count(self, transactions: Counted) -> None:
        """Show how they end."""


class WideEyes(Eyes):
    """Watches over the partitions, and shows what it sees at a port, if there is one."""

    def __init__(self, asked: Watching, clients: Clients, scorer: Scorer, stop: Stop, watch: consuming.Watch) -> None:
        pulse = Pulse(clients.settings.consumer.stall_seconds)
        self._shell = Shell(pulse, client_errors=clients.errors)
        self._registry = new_registry(self._shell)
        self._metrics = ConsumeMetrics(self._registry)
        created = datetime.fromisoformat(asked.model_created).timestamp() if asked.model_created else 0.0
        self._metrics.shows_model(self._registry, scorer, created)
        self._exits = asked.exit_on_stall
        clients.on_statistics["consumer"] = self._shell.statistics.take
        super().__init__(clients, self._metrics.timed(scorer), stop, Watches(_Beating(pulse), self._metrics, watch))

    def pages(self) -> Pages:
        """What the port shows."""
        return Pages(self._registry, self._shell.pulse.problems, self._not_ready)

    @contextmanager
    def on(self, source: Reading) -> Iterator[None]:
        """Watch over the partitions while the block runs."""
        topic, over = self._clients.settings.topics.raw, Stop()
        cluster = Cluster(self._clients, over)

        def ends(partitions: Collection[int], committed_only: bool) -> Mapping[int, int]:  # noqa: FBT001
            return cluster.ends_in_reach(topic, partitions, committed_only=committed_only)

        limit = self._clients.settings.consumer.stall_seconds
        with Watchman(topic, source, ends, limit, self._stalled) as watchman:
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


@contextmanager
def looking_on(
    asked: Watching, clients: Clients, scorer: Scorer, *, stop: Stop, watch: consuming.Watch
) -> Iterator[Eyes]:
    """Eyes on one run of `consume`; afterwards `KafkaError` is raised where a stall was to end the run, and did."""
    letters = DeadLetterLog()
    eyes = Eyes(clients, scorer, stop, Watches(letters, watch))
    with ExitStack() as stack:
        stack.callback(letters.finish)
        if asked.port or asked.exit_on_stall:
            eyes = WideEyes(asked, clients, scorer, stop, eyes.watch)
            stack.enter_context(serving(asked.port, eyes.pages()) if asked.port else nullcontext())
        yield eyes
    if eyes.stall:
        raise KafkaError(f"{eyes.stall}; ended to be started anew (--exit-on-stall)")


class RowWatch(Protocol):
    """Whoever looks on at rows."""

    def advance(self, rows: int) -> None:
        """So many more are confirmed."""


class RowEyes:
    """Looks on while `produce` works: is told of rows by `advance`, and of what sends them by `on`."""

    def __init__(self, watch: RowWatch) -> None:
        self._watch = watch

    def on(self, outlet: Sending) -> None:
        """Show what it sends."""

    def advance(self, rows: int) -> None:
        """So many more rows are confirmed."""
        self._watch.advance(rows)


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

    def advance(self, rows: int) -> None:
        """So many more rows are confirmed."""
        self._shell.pulse.beat()
        self._metrics.advance(rows)
        super().advance(rows)

    def _not_ready(self) -> list[str]:
        return self._shell.pulse.problems() if self._metrics.sent else ["Kafka has not confirmed a row yet"]


@contextmanager
def looking_on_rows(asked: Watching, clients: Clients, target: float, watch: RowWatch) -> Iterator[RowEyes]:
    """Eyes on one run of `produce`; `target` is the rate asked for, 0 for as fast as possible."""
    if not asked.port:
        yield RowEyes(watch)
        return
    eyes = WideRowEyes(clients, target, watch)
    with serving(asked.port, eyes.pages()):
        yield eyes


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
