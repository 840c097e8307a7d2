"""Supervisor of several consumers of one group on one machine: a process each, restarted when it crashes."""

import logging
import multiprocessing
import signal
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, TypeAlias

from telco_stream.consume.counters import ConsumeResult
from telco_stream.consume.worker_reports import WorkerAggregator, WorkerReporter
from telco_stream.errors import TelcoStreamError
from telco_stream.runtime.signals import Stop, stop_on_signals

log = logging.getLogger("telco_stream.consume.loop")

#: Librdkafka's threads don't survive a fork.
_SPAWN = multiprocessing.get_context("spawn")
#: Seconds between two checks for a stop request or a crash.
_TICK = 0.2
#: Seconds until a crashed worker is restarted: doubled with each crash, reset after some time without one.
_BACK_OFF, _MAX_BACK_OFF, _RESET_AFTER = 1.0, 30.0, 60.0
#: Seconds that workers may take to shut down; while a broker is unavailable they need five.
_SHUTDOWN_SECONDS = 8.0

#: Function that a worker runs: consumes until stopped, and reports each batch. It is pickled and sent to a process.
Task: TypeAlias = Callable[[int, Stop, WorkerReporter], object]


class Worker:
    """Slot of a worker process, which is restarted after a back-off when it crashes."""

    def __init__(self, slot: int, task: Task) -> None:
        self.slot = slot
        self._task = task
        self._started = 0.0
        self._due = 0.0
        self._crashes = 0
        self.pipe: Connection[Any, Any]
        self.process: BaseProcess | None = None

    def start_if_due(self) -> None:
        """Start the process, unless it runs or its back-off is not over."""
        if self.process is not None or time.monotonic() < self._due:
            return
        self.pipe, child_end = _SPAWN.Pipe()
        self.process = _SPAWN.Process(target=_run, args=(self._task, self.slot, child_end), name=f"worker {self.slot}")
        self.process.start()
        child_end.close()
        self._started = time.monotonic()

    def record_crash(self) -> None:
        """Log that the process has crashed, and schedule the next one."""
        exit_code = self.process and self.process.exitcode
        self._crashes = 1 if time.monotonic() - self._started > _RESET_AFTER else self._crashes + 1
        pause = min(_MAX_BACK_OFF, _BACK_OFF * 2 ** (self._crashes - 1))
        facts = {"worker": self.slot, "exit_code": exit_code, "pause_seconds": pause}
        log.warning(
            "worker %d has crashed (exit %s); a new one starts in %g s",
            self.slot,
            exit_code,
            pause,
            extra={"event": "worker_crashed", "facts": facts},
        )
        self.process, self._due = None, time.monotonic() + pause


def run_workers(task: Task, count: int, *, stop: Stop, aggregator: WorkerAggregator) -> ConsumeResult:
    """Run `count` workers until stopped; raise the error of a worker that a restart would not fix."""
    workers = [Worker(slot, task) for slot in range(count)]
    try:
        while not (stop.requested or aggregator.failure):
            for worker in workers:
                worker.start_if_due()
            _receive(workers, aggregator)
            for worker in workers:
                if worker.process is not None and not worker.process.is_alive() and not aggregator.failure:
                    worker.record_crash()
                    aggregator.remove(worker.slot)
    finally:
        _shut_down(workers, aggregator)
    if aggregator.failure:
        raise aggregator.failure.kind(aggregator.failure.message)
    return aggregator.result()


def _receive(workers: Sequence[Worker], aggregator: WorkerAggregator) -> None:
    """Handle the messages of the running workers, waiting up to a tick for the first."""
    running = [worker for worker in workers if worker.process is not None]
    ready = wait([worker.pipe for worker in running], _TICK)
    for worker in [worker for worker in running if worker.pipe in ready]:
        with suppress(EOFError, OSError):  # the worker has ended, and its earlier messages have been handled
            while worker.pipe.poll():
                aggregator.handle(worker.slot, worker.pipe.recv())


def _shut_down(workers: Sequence[Worker], aggregator: WorkerAggregator) -> None:
    """Stop all workers, handle their last messages, and kill workers that do not end in time."""
    running = [worker.process for worker in workers if worker.process is not None]
    deadline = time.monotonic() + _SHUTDOWN_SECONDS
    for process in running:
        process.terminate()
    while time.monotonic() < deadline and any(process.is_alive() for process in running):
        _receive(workers, aggregator)
    _receive(workers, aggregator)
    for process in running:
        process.kill()
        process.join()


def _run(task: Task, slot: int, pipe: "Connection[Any, Any]") -> None:
    """Run the task in the worker's process, and report an error that a restart would not fix."""
    stop = stop_on_signals()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to every process; the parent sends SIGTERM
    threading.Thread(target=_stop_with_parent, args=(pipe, stop), daemon=True).start()
    reporter = WorkerReporter(pipe)
    try:
        task(slot, stop, reporter)
    except TelcoStreamError as error:
        reporter.failed(error)


def _stop_with_parent(pipe: "Connection[Any, Any]", stop: Stop) -> None:
    """Request a stop when the parent ends; it never sends anything, so `recv` returns only then."""
    with suppress(EOFError, OSError):
        pipe.recv()
    stop.request()
