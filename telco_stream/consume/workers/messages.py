"""Messages that a worker sends to its parent process, and the observer that sends them."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from telco_stream.errors import TelcoStreamError
from telco_stream.monitoring.protocols import BatchTimings, ViewPartitions
from telco_stream.monitoring.snapshot import ConsumerSnapshot, ConsumerStats
from telco_stream.runtime import logs
from telco_stream.scoring import Outcome

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

#: Seconds between two snapshots.
_SNAPSHOT_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class BatchCommitted:
    """Counts of a batch that a worker has committed."""

    consumed: int
    predicted: int
    dead_lettered: int


@dataclass(frozen=True, slots=True)
class WorkerFailed:
    """Error of a worker that would fail again if it were restarted."""

    kind: type[TelcoStreamError]
    message: str


@dataclass(frozen=True, slots=True)
class LogLine:
    """Formatted line of a worker's log."""

    text: str


WorkerMessage: TypeAlias = BatchCommitted | WorkerFailed | ConsumerSnapshot | LogLine


class WorkerReporter:
    """Observer in a worker that reports to the parent through a pipe."""

    def __init__(self, pipe: "Connection[Any, Any]") -> None:
        self._pipe = pipe
        self._sending = threading.Lock()
        self._stats: ConsumerStats | None = None

    @contextmanager
    def reporting_snapshots(self, unavailable_for: Callable[[], float | None]) -> Iterator[None]:
        """Send snapshots and log lines too while the block runs: only one process can draw on the terminal."""
        stats, end = ConsumerStats(unavailable_for), threading.Event()
        self._stats = stats
        logs.divert(lambda line: self._send(LogLine(line)))
        thread = threading.Thread(target=self._send_snapshots, args=(stats, end), name="worker-reporter", daemon=True)
        thread.start()
        try:
            yield
        finally:
            end.set()
            thread.join()

    def attach(self, partitions: ViewPartitions) -> None:
        """Include lag and assignment in the snapshots."""
        if self._stats:
            self._stats.attach(partitions)

    def on_poll(self) -> None:
        """Ignore polls."""

    def on_committed(self, outcome: Outcome, timings: BatchTimings) -> None:
        """Report a committed batch."""
        self._send(
            BatchCommitted(outcome.consumed, len(outcome.prediction_messages), len(outcome.dead_letter_messages))
        )
        if self._stats:
            self._stats.on_committed(outcome, timings)

    def failed(self, error: TelcoStreamError) -> None:
        """Report an error that a restart would not fix."""
        self._send(WorkerFailed(type(error), str(error)))

    def _send(self, message: WorkerMessage) -> None:
        with self._sending:
            self._pipe.send(message)

    def _send_snapshots(self, stats: ConsumerStats, end: threading.Event) -> None:
        with suppress(OSError):  # the parent has ended
            while not end.wait(_SNAPSHOT_SECONDS):
                self._send(stats.snapshot())
