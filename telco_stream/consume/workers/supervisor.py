"""Several consumers of one group on one machine: a process each, one summary, one exit code."""

import logging
import multiprocessing
import signal
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Protocol, TypeAlias

from telco_stream.consume.counters import ConsumeResult
from telco_stream.consume.workers.messages import BatchCommitted, LogLine, WorkerFailed, WorkerMessage, WorkerReporter
from telco_stream.errors import TelcoStreamError
from telco_stream.monitoring.snapshot import ConsumerSnapshot
from telco_stream.runtime.signals import Stop, stop_on_signals

log = logging.getLogger("telco_stream.consume.loop")

#: Librdkafka's threads don't survive a fork.
_SPAWN = multiprocessing.get_context("spawn")
#: Seconds between two looks at the wish to stop.
_TICK = 0.2
#: Seconds until a crashed worker is replaced: doubled with each crash, forgotten after a while without one.
_BACK_OFF, _LONGEST_BACK_OFF, _QUIET = 1.0, 30.0, 60.0
#: Seconds that workers may take to end once they were told to; a broker that is away makes them take five.
_PATIENCE = 8.0


class Listener(Protocol):
    """Who looks on in the parent."""

    def advance(self, records: int, dead_letters: int) -> None:
        """One of the workers has answered so many."""

    def on_snapshot(self, slot: int, snapshot: ConsumerSnapshot) -> None:
        """What that worker looks like now, where that was asked for."""

    def said(self, line: str) -> None:
        """A line of a worker's log, where it was asked for."""

    def gone(self, slot: int) -> None:
        """That worker has ended."""


#: What a worker does in its slot: consume until stopped, telling of each batch. It is sent to another process.
Work: TypeAlias = Callable[[int, Stop, WorkerReporter], object]


class Worker:
    """A slot for a process; a crashed one is replaced once its back-off is over."""

    def __init__(self, slot: int, work: Work) -> None:
        self.slot = slot
        self._work = work
        self._started = 0.0
        self._due = 0.0
        self._crashes = 0
        self.pipe: Connection[Any, Any]
        self.process: BaseProcess | None = None

    def start_if_due(self) -> None:
        """Start it, unless it runs or has to wait."""
        if self.process is not None or time.monotonic() < self._due:
            return
        self.pipe, theirs = _SPAWN.Pipe()
        self.process = _SPAWN.Process(target=_run, args=(self._work, self.slot, theirs), name=f"worker {self.slot}")
        self.process.start()
        theirs.close()
        self._started = time.monotonic()

    def record_crash(self) -> None:
        """Note that the process has crashed, and when the next one is due."""
        code = self.process and self.process.exitcode
        self._crashes = 1 if time.monotonic() - self._started > _QUIET else self._crashes + 1
        pause = min(_LONGEST_BACK_OFF, _BACK_OFF * 2 ** (self._crashes - 1))
        facts = {"worker": self.slot, "exit_code": code, "pause_seconds": pause}
        log.warning(
            "worker %d has crashed (exit %s); a new one starts in %g s",
            self.slot,
            code,
            pause,
            extra={"event": "worker_crashed", "facts": facts},
        )
        self.process, self._due = None, time.monotonic() + pause


class WorkerTotals:
    """What the workers have told so far."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._batches: int = 0
        self._sums = BatchCommitted(0, 0, 0)
        self._first = self._last = 0.0
        self.failed: WorkerFailed | None = None

    def handle(self, slot: int, told: WorkerMessage) -> None:
        """Take it in."""
        match told:
            case WorkerFailed():
                self.failed = self.failed or told
            case ConsumerSnapshot():
                self._listener.on_snapshot(slot, told)
            case LogLine():
                self._listener.said(told.text)
            case BatchCommitted():
                self._add(told)

    def gone(self, slot: int) -> None:
        """That worker has ended."""
        self._listener.gone(slot)

    def result(self) -> ConsumeResult:
        """One summary; the rate counts from the first batch committed to the last."""
        seconds, sums = self._last - self._first, self._sums
        return ConsumeResult(
            mode="streaming",
            consumed=sums.consumed,
            predicted=sums.predicted,
            dead_lettered=sums.dead_lettered,
            batches=self._batches,
            seconds=round(seconds, 3),
            rate=round(sums.consumed / seconds, 1) if seconds else 0.0,
            stopped_by="signal",
        )

    def _add(self, told: BatchCommitted) -> None:
        sums, self._batches = self._sums, self._batches + 1
        self._sums = BatchCommitted(
            sums.consumed + told.consumed, sums.predicted + told.predicted, sums.dead_lettered + told.dead_lettered
        )
        self._last = time.monotonic()
        self._first = self._first or self._last
        self._listener.advance(told.consumed, told.dead_lettered)


def run_workers(work: Work, count: int, *, stop: Stop, listener: Listener) -> ConsumeResult:
    """Keep `count` workers at it until stopped; raises the error of one that a restart would not mend."""
    totals, workers = WorkerTotals(listener), [Worker(slot, work) for slot in range(count)]
    try:
        while not (stop.requested or totals.failed):
            for worker in workers:
                worker.start_if_due()
            _listen(workers, totals)
            for worker in workers:
                if worker.process is not None and not worker.process.is_alive() and not totals.failed:
                    worker.record_crash()
                    totals.gone(worker.slot)
    finally:
        _end(workers, totals)
    if totals.failed:
        raise totals.failed.kind(totals.failed.message)
    return totals.result()


def _listen(workers: Sequence[Worker], totals: WorkerTotals) -> None:
    """Hear what the running workers tell, for a tick."""
    running = [worker for worker in workers if worker.process is not None]
    ready = wait([worker.pipe for worker in running], _TICK)
    for worker in [worker for worker in running if worker.pipe in ready]:
        with suppress(EOFError, OSError):  # it has ended, and what it told before has been heard
            while worker.pipe.poll():
                totals.handle(worker.slot, worker.pipe.recv())


def _end(workers: Sequence[Worker], totals: WorkerTotals) -> None:
    """Tell all to stop, hear their last words, and make sure that none is left."""
    running = [worker.process for worker in workers if worker.process is not None]
    deadline = time.monotonic() + _PATIENCE
    for process in running:
        process.terminate()
    while time.monotonic() < deadline and any(process.is_alive() for process in running):
        _listen(workers, totals)
    _listen(workers, totals)
    for process in running:
        process.kill()
        process.join()


def _run(work: Work, slot: int, pipe: "Connection[Any, Any]") -> None:
    """In the worker's process: do the work, and tell the parent where it fails for good."""
    stop = stop_on_signals()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all; the parent tells us in its own way
    threading.Thread(target=_stop_with_parent, args=(pipe, stop), daemon=True).start()
    teller = WorkerReporter(pipe)
    try:
        work(slot, stop, teller)
    except TelcoStreamError as error:
        teller.failed(error)


def _stop_with_parent(pipe: "Connection[Any, Any]", stop: Stop) -> None:
    """The parent never sends a word: what ends the wait is its end."""
    with suppress(EOFError, OSError):
        pipe.recv()
    stop.request()
