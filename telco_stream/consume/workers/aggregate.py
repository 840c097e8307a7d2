"""Aggregation of what several workers report: one summary, one snapshot, one log."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from telco_stream.consume.counters import ConsumeResult
from telco_stream.consume.workers.messages import BatchCommitted, LogLine, WorkerFailed, WorkerMessage
from telco_stream.monitoring.snapshot import AT_RISK, ConsumerSnapshot

#: Fields of a snapshot that count since the last one.
_NO_SAMPLES: dict[str, Any] = {"sampled": 0, "sampled_yes": 0, "at_risk": ()}


class WorkerAggregator:
    """Totals and snapshots of the workers, by slot; passes their log lines to `write_log`.

    `snapshot` may be called from another thread.
    """

    def __init__(self, write_log: Callable[[str], object]) -> None:
        self._write_log = write_log
        self._batches = self._consumed = self._predicted = self._dead_lettered = 0
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
            self._snapshots = {slot: replace(snapshot, **_NO_SAMPLES) for slot, snapshot in self._snapshots.items()}
        outages = [snapshot.unavailable_for for snapshot in snapshots if snapshot.unavailable_for is not None]
        return ConsumerSnapshot(
            consumed=self._consumed,
            dead_lettered=self._dead_lettered,
            reading=any(snapshot.reading for snapshot in snapshots),
            joined=any(snapshot.joined for snapshot in snapshots),
            lag={partition: lag for snapshot in snapshots for partition, lag in snapshot.lag.items()},
            unavailable_for=max(outages, default=None),
            sampled=sum(snapshot.sampled for snapshot in snapshots),
            sampled_yes=sum(snapshot.sampled_yes for snapshot in snapshots),
            at_risk=tuple(customer for snapshot in snapshots for customer in snapshot.at_risk)[:AT_RISK],
        )

    def result(self) -> ConsumeResult:
        """Return one summary; the rate is taken between the first and the last commit."""
        seconds = self._last_commit - self._first_commit
        return ConsumeResult(
            mode="streaming",
            consumed=self._consumed,
            predicted=self._predicted,
            dead_lettered=self._dead_lettered,
            batches=self._batches,
            seconds=round(seconds, 3),
            rate=round(self._consumed / seconds, 1) if seconds else 0.0,
            stopped_by="signal",
        )

    def _add_batch(self, batch: BatchCommitted) -> None:
        self._batches += 1
        self._consumed += batch.consumed
        self._predicted += batch.predicted
        self._dead_lettered += batch.dead_lettered
        self._last_commit = time.monotonic()
        self._first_commit = self._first_commit or self._last_commit

    def _add_snapshot(self, slot: int, snapshot: ConsumerSnapshot) -> None:
        with self._lock:
            before = self._snapshots.get(slot, ConsumerSnapshot())
            self._snapshots[slot] = replace(
                snapshot,
                sampled=before.sampled + snapshot.sampled,
                sampled_yes=before.sampled_yes + snapshot.sampled_yes,
                at_risk=(snapshot.at_risk + before.at_risk)[:AT_RISK],
            )
