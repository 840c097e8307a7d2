"""What a worker tells the parent, and how."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from telco_stream.errors import TelcoStreamError
from telco_stream.monitoring.protocols import BatchTimings
from telco_stream.monitoring.snapshot import ConsumerSnapshot, ConsumerStats, ConsumerView
from telco_stream.runtime import logs
from telco_stream.scoring import Outcome

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

#: Seconds between two looks at a worker that are told, where they are.
_SHOW_EVERY = 0.25


@dataclass(frozen=True, slots=True)
class BatchCommitted:
    """What a worker tells of each batch that it has committed."""

    consumed: int
    predicted: int
    dead_lettered: int


@dataclass(frozen=True, slots=True)
class WorkerFailed:
    """Why a worker has ended, where a new one would end the same way."""

    kind: type[TelcoStreamError]
    message: str


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line of the log."""

    text: str


WorkerMessage: TypeAlias = BatchCommitted | WorkerFailed | ConsumerSnapshot | LogLine


class WorkerReporter:
    """Looks on in a worker, and tells the parent."""

    def __init__(self, pipe: "Connection[Any, Any]") -> None:
        self._pipe = pipe
        self._sending = threading.Lock()
        self._sight: ConsumerStats | None = None

    @contextmanager
    def showing(self, unavailable_for: Callable[[], float | None]) -> Iterator[None]:
        """Inside, what the work looks like is told too, and so is the log: the parent draws, and one alone can."""
        self._sight, over = ConsumerStats(unavailable_for), threading.Event()
        logs.divert(lambda line: self._tell(LogLine(line)))
        thread = threading.Thread(target=self._show, args=(self._sight, over), name="teller", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def on(self, source: ConsumerView) -> None:
        """The topic is read from there."""
        if self._sight:
            self._sight.on(source)

    def on_poll(self) -> None:
        """Nothing to tell."""

    def on_committed(self, outcome: Outcome, seconds: BatchTimings) -> None:
        """A batch more."""
        self._tell(
            BatchCommitted(outcome.consumed, len(outcome.prediction_messages), len(outcome.dead_letter_messages))
        )
        if self._sight:
            self._sight.on_committed(outcome, seconds)

    def failed(self, error: TelcoStreamError) -> None:
        """The work has ended, and would end the same way if it were begun again."""
        self._tell(WorkerFailed(type(error), str(error)))

    def _tell(self, what: WorkerMessage) -> None:
        with self._sending:
            self._pipe.send(what)

    def _show(self, sight: ConsumerStats, over: threading.Event) -> None:
        with suppress(OSError):  # the parent has gone
            while not over.wait(_SHOW_EVERY):
                self._tell(sight.snapshot())
