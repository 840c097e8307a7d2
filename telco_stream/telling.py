"""What a worker tells the parent, and how."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from telco_stream import logs
from telco_stream.batch import Outcome
from telco_stream.consume import Seconds
from telco_stream.errors import TelcoStreamError
from telco_stream.observing.sight import Glimpse, Seen, Sight

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

#: Seconds between two looks at a worker that are told, where they are.
_SHOW_EVERY = 0.25


@dataclass(frozen=True, slots=True)
class Delivered:
    """What a worker tells of each batch that it has committed."""

    consumed: int
    predicted: int
    dead_lettered: int


@dataclass(frozen=True, slots=True)
class Failed:
    """Why a worker has ended, where a new one would end the same way."""

    kind: type[TelcoStreamError]
    message: str


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the log."""

    text: str


Told: TypeAlias = Delivered | Failed | Glimpse | Line


class Teller:
    """Looks on in a worker, and tells the parent."""

    def __init__(self, pipe: "Connection[Any, Any]") -> None:
        self._pipe = pipe
        self._sending = threading.Lock()
        self._sight: Sight | None = None

    @contextmanager
    def showing(self, away: Callable[[], float | None]) -> Iterator[None]:
        """Inside, what the work looks like is told too, and so is the log: the parent draws, and one alone can."""
        self._sight, over = Sight(away), threading.Event()
        logs.divert(lambda line: self._tell(Line(line)))
        thread = threading.Thread(target=self._show, args=(self._sight, over), name="teller", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def on(self, source: Seen) -> None:
        """The topic is read from there."""
        if self._sight:
            self._sight.on(source)

    def turned(self) -> None:
        """Nothing to tell."""

    def delivered(self, outcome: Outcome, seconds: Seconds) -> None:
        """A batch more."""
        self._tell(Delivered(outcome.consumed, len(outcome.predictions), len(outcome.letters)))
        if self._sight:
            self._sight.delivered(outcome, seconds)

    def failed(self, error: TelcoStreamError) -> None:
        """The work has ended, and would end the same way if it were begun again."""
        self._tell(Failed(type(error), str(error)))

    def _tell(self, what: Told) -> None:
        with self._sending:
            self._pipe.send(what)

    def _show(self, sight: Sight, over: threading.Event) -> None:
        with suppress(OSError):  # the parent has gone
            while not over.wait(_SHOW_EVERY):
                self._tell(sight.glimpse())
