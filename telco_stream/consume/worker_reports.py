"""Reports of workers: what they send to the parent process, the observer that sends it, and its aggregation there."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from telco_stream.consume.counters import CommittedTotals, ConsumeResult
from telco_stream.errors import TelcoStreamError
from telco_stream.monitoring.protocols import BatchTimings, RunObserver, ViewPartitions
from telco_stream.monitoring.snapshot import AT_RISK, ConsumerSnapshot, ConsumerStats
from telco_stream.runtime import logs
from telco_stream.scoring import Outcome

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

#: Seconds between two snapshots.
_SNAPSHOT_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class BatchCommitted:
    """Counts of a batch that a worker has committed."""

    predicted: int
    dead_lettered: int
    flagged: int = 0


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


class WorkerReporter(RunObserver):
    """Observer in a worker that reports to the parent through a pipe."""

    def __init__(self, pipe: "Connection[Any, Any]") -> None:
        self._pipe = pipe
        self._sending = threading.Lock()
        self._stats: ConsumerStats | None = None

    @contextmanager
    def reporting_snapshots(self, stats: ConsumerStats) -> Iterator[None]:
        """Send snapshots and log lines too while the block runs: only one process can draw on the terminal."""
        self._stats, end = stats, threading.Event()
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

    def on_committed(self, outcome: Outcome, timings: BatchTimings) -> None:
        """Report a committed batch."""
        self._send(BatchCommitted(len(outcome.prediction_messages), len(outcome.dead_letter_messages), outcome.flagged))
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


class WorkerAggregator:
    """Totals and snapshots of the workers, by slot; passes their log lines to `write_log`.

    `snapshot` may be called from another thread.
    """

    def __init__(self, write_log: Callable[[str], object]) -> None:
        self._write_log = write_log
        self._totals = CommittedTotals()
        self._flagged = 0
        self._first_commit = self._last_commit = 0.0
        self._snapshots: dict[int, ConsumerSnapshot] = {}
        self._lock = threading.Lock()
        #: First error of a worker that a restart would not fix.
        self.failure: WorkerFailed | None = None

    def handle(self, slot: int, message: WorkerMessage) -> None:
        """Handle a message of the worker in this slot."""
        match message:
            case WorkerFailed():
                self.failure = self.failure or message
            case ConsumerSnapshot():
                self._add_snapshot(slot, message)
            case LogLine():
                self._write_log(message.text)
            case BatchCommitted():
                self._add_batch(message)

    def remove(self, slot: int) -> None:
        """Forget the snapshot of a worker that has ended."""
        with self._lock:
            self._snapshots.pop(slot, None)

    def snapshot(self) -> ConsumerSnapshot:
        """Return the current state of all workers together, with the samples since the last call."""
        with self._lock:
            snapshots = list(self._snapshots.values())
            self._snapshots = {slot: replace(snapshot, at_risk=()) for slot, snapshot in self._snapshots.items()}
        outages = [snapshot.unavailable_for for snapshot in snapshots if snapshot.unavailable_for is not None]
        return ConsumerSnapshot(
            consumed=self._totals.consumed,
            dead_lettered=self._totals.dead_lettered,
            reading=any(snapshot.reading for snapshot in snapshots),
            joined=any(snapshot.joined for snapshot in snapshots),
            lag={partition: lag for snapshot in snapshots for partition, lag in snapshot.lag.items()},
            unavailable_for=max(outages, default=None),
            flagged=self._flagged,
            at_risk=tuple(customer for snapshot in snapshots for customer in snapshot.at_risk)[:AT_RISK],
            versions=_merge([snapshot.versions for snapshot in snapshots]),
        )

    def result(self) -> ConsumeResult:
        """Return one summary; the rate is taken between the first and the last commit."""
        return self._totals.result("streaming", self._last_commit - self._first_commit, "signal")

    def _add_batch(self, batch: BatchCommitted) -> None:
        self._totals.add(batch.predicted, batch.dead_lettered)
        self._flagged += batch.flagged
        self._last_commit = time.monotonic()
        self._first_commit = self._first_commit or self._last_commit

    def _add_snapshot(self, slot: int, snapshot: ConsumerSnapshot) -> None:
        with self._lock:
            before = self._snapshots.get(slot, ConsumerSnapshot())
            self._snapshots[slot] = replace(
                snapshot,
                at_risk=(snapshot.at_risk + before.at_risk)[:AT_RISK],
            )


def _merge(versions: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """Return the versions of several workers by role; for a moment after a promotion they can differ."""
    merged: dict[str, list[str]] = {}
    for roles in versions:
        for role, version in roles.items():
            if version not in (named := merged.setdefault(role, [])):
                named.append(version)
    return {role: ", ".join(named) for role, named in merged.items()}
