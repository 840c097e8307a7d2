"""The eyes on a run: what it is told about itself, and what it tells whoever looks on."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Protocol

from telco_stream import consume as consuming
from telco_stream import produce as producing
from telco_stream.batch import Outcome
from telco_stream.contracts.scoring import Scorer
from telco_stream.kafka.clients import Clients
from telco_stream.observing.sight import Seen
from telco_stream.stop import Stop


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


class Onlooker(consuming.Watch, Protocol):
    """Whoever looks on at a run of `consume` from its beginning."""

    def on(self, source: Seen) -> None:
        """The topic is read from there."""


class Counted(Protocol):
    """What ends transactions, or stands for it."""

    def outcomes(self) -> Mapping[str, int]:
        """Transactions so far, by how they ended."""


class Sending(Counted, Protocol):
    """What sends rows."""

    def failed(self) -> int:
        """Rows that were refused, or ran out of time."""


class Watches:
    """Several who look on, told one after the other; the last from the beginning."""

    def __init__(self, *watches: consuming.Watch, last: Onlooker) -> None:
        self._watches = (*watches, last)
        self._last = last

    def on(self, source: Seen) -> None:
        """The topic is read from there."""
        self._last.on(source)

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

    def __init__(self, clients: Clients, scorer: Scorer, stop: Stop, watch: Onlooker) -> None:
        self.scorer = scorer
        self.watch = watch
        #: Which partition has stood still, where that was to end the run, and did.
        self.stall: str | None = None
        self._clients = clients
        self._stop = stop

    def on(self, source: Seen) -> AbstractContextManager[object]:
        """Watch over the partitions while the block runs."""
        self.watch.on(source)
        return nullcontext()

    def count(self, transactions: Counted) -> None:
        """Show how they end."""


class RowWatch(producing.Watch, Protocol):
    """Whoever looks on at a run of `produce` from its beginning."""

    def on(self, outlet: Sending) -> None:
        """What sends them."""


class RowEyes:
    """Looks on while `produce` works: is told of rows by `advance`, and of what sends them by `on`."""

    def __init__(self, watch: RowWatch) -> None:
        self._watch = watch

    def on(self, outlet: Sending) -> None:
        """Show what it sends."""
        self._watch.on(outlet)

    def resumed(self, rows: int) -> None:
        """So many rows were confirmed by earlier runs."""
        self._watch.resumed(rows)

    def advance(self, rows: int) -> None:
        """So many more rows are confirmed."""
        self._watch.advance(rows)
