"""The eyes on a run: what it is told about itself, and what it tells whoever looks on."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Protocol

from telco_stream.kafka.clients import Clients
from telco_stream.model.scorer import Scorer
from telco_stream.monitoring.protocols import BatchObserver, BatchTimings, RowObserver
from telco_stream.monitoring.snapshot import ConsumerView
from telco_stream.runtime.signals import Stop
from telco_stream.scoring import Outcome


@dataclass(frozen=True, slots=True)
class MonitoringOptions:
    """What is asked of those who look on; at port 0 nothing listens."""

    port: int = 0
    exit_on_stall: bool = False
    model_created: str | None = None

    def in_slot(self, slot: int) -> "MonitoringOptions":
        """The same for one of several workers, each at a port of its own."""
        return replace(self, port=self.port and self.port + slot)


#: Only the caller looks on.
NO_MONITORING = MonitoringOptions()


class RunObserver(BatchObserver, Protocol):
    """Whoever looks on at a run of `consume` from its beginning."""

    def on(self, source: ConsumerView) -> None:
        """The topic is read from there."""


class TransactionCounters(Protocol):
    """What ends transactions, or stands for it."""

    def outcomes(self) -> Mapping[str, int]:
        """Transactions so far, by how they ended."""


class SendCounters(TransactionCounters, Protocol):
    """What sends rows."""

    def failed(self) -> int:
        """Rows that were refused, or ran out of time."""


class CompositeObserver:
    """Several who look on, told one after the other; the last from the beginning."""

    def __init__(self, *watches: BatchObserver, last: RunObserver) -> None:
        self._watches = (*watches, last)
        self._last = last

    def on(self, source: ConsumerView) -> None:
        """The topic is read from there."""
        self._last.on(source)

    def on_poll(self) -> None:
        """The loop has come round."""
        for one in self._watches:
            one.on_poll()

    def on_committed(self, outcome: Outcome, seconds: BatchTimings) -> None:
        """A batch is committed."""
        for one in self._watches:
            one.on_committed(outcome, seconds)


class RunMonitor:
    """Looks on while `consume` works: hand `scorer` and `watch` to the loop, and tell of the parts made later."""

    def __init__(self, clients: Clients, scorer: Scorer, stop: Stop, watch: RunObserver) -> None:
        self.scorer = scorer
        self.watch = watch
        #: Which partition has stood still, where that was to end the run, and did.
        self.stall: str | None = None
        self._clients = clients
        self._stop = stop

    def on(self, source: ConsumerView) -> AbstractContextManager[object]:
        """Watch over the partitions while the block runs."""
        self.watch.on(source)
        return nullcontext()

    def count(self, transactions: TransactionCounters) -> None:
        """Show how they end."""


class ProduceObserver(RowObserver, Protocol):
    """Whoever looks on at a run of `produce` from its beginning."""

    def on(self, writer: SendCounters) -> None:
        """What sends them."""


class ProduceMonitor:
    """Looks on while `produce` works: is told of rows by `advance`, and of what sends them by `on`."""

    def __init__(self, watch: ProduceObserver) -> None:
        self._watch = watch

    def on(self, writer: SendCounters) -> None:
        """Show what it sends."""
        self._watch.on(writer)

    def resumed(self, rows: int) -> None:
        """So many rows were confirmed by earlier runs."""
        self._watch.resumed(rows)

    def advance(self, rows: int) -> None:
        """So many more rows are confirmed."""
        self._watch.advance(rows)
