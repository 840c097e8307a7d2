"""Tasks for worker processes, and a run of the supervisor that records what they report."""

import logging
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from telco_stream.consume.counters import ConsumeResult
from telco_stream.consume.worker_reports import WorkerAggregator, WorkerMessage, WorkerReporter
from telco_stream.consume.workers import Task, run_workers
from telco_stream.errors import FencedError
from telco_stream.messages.record import Message
from telco_stream.monitoring.protocols import BatchTimings
from telco_stream.monitoring.snapshot import ConsumerSnapshot, ConsumerStats
from telco_stream.runtime import logs
from telco_stream.runtime.signals import Stop
from telco_stream.scoring import Outcome
from tests.support.telco import CODEC
from tests.support.waiting import wait_until

LETTER: Message = (b"", b"", [])
#: A batch of three records, one of them bad.
BATCH = Outcome([LETTER, LETTER], [LETTER], [], [], {}, "Yes", 0, 0)
TIMINGS = BatchTimings(0.0, 0.0)


@dataclass(frozen=True)
class EventFolder:
    """Folder in which processes leave a file for each event."""

    folder: Path

    def record(self, event: str) -> None:
        (self.folder / f"{event}-{os.getpid()}").touch()

    def count(self, event: str) -> int:
        return len(list(self.folder.glob(f"{event}-*")))


@dataclass(frozen=True)
class SteadyTask:
    """Task that commits a batch, waits for a stop request and commits another."""

    events: EventFolder

    def __call__(self, slot: int, stop: Stop, reporter: WorkerReporter) -> None:  # noqa: ARG002 - the parameters of a task
        reporter.on_committed(BATCH, TIMINGS)
        self.events.record("delivered")
        stop.wait(60)
        reporter.on_committed(BATCH, TIMINGS)
        self.events.record("stopped")


@dataclass(frozen=True)
class CrashingTask(SteadyTask):
    """Task that is killed by a signal in slot 0, the first time."""

    def __call__(self, slot: int, stop: Stop, reporter: WorkerReporter) -> None:
        if slot == 0 and not self.events.count("crashed"):
            self.events.record("crashed")
            os.kill(os.getpid(), 9)
        super().__call__(slot, stop, reporter)


@dataclass(frozen=True)
class FencedTask(SteadyTask):
    """Task that fails in slot 1 with an error that a restart would not fix."""

    def __call__(self, slot: int, stop: Stop, reporter: WorkerReporter) -> None:
        if slot == 1:
            wait_until(lambda: self.events.count("delivered"), 60)
            raise FencedError("Another instance has taken over")
        super().__call__(slot, stop, reporter)


class RecordingAggregator(WorkerAggregator):
    """Aggregator that remembers what it was given."""

    def __init__(self) -> None:
        self.messages: list[tuple[int, WorkerMessage]] = []
        self.lines: list[str] = []
        self.removed: list[int] = []
        super().__init__(self.lines.append)

    def first_snapshots(self) -> dict[int, ConsumerSnapshot]:
        """The first snapshot of each worker after a batch; the second batch, after the stop, may have one too."""
        snapshots = [(slot, message) for slot, message in self.messages if isinstance(message, ConsumerSnapshot)]
        return {slot: snapshot for slot, snapshot in reversed(snapshots) if snapshot.consumed}

    def handle(self, slot: int, message: WorkerMessage) -> None:
        self.messages.append((slot, message))
        super().handle(slot, message)

    def remove(self, slot: int) -> None:
        self.removed.append(slot)
        super().remove(slot)


@dataclass(frozen=True)
class ReportingTask(SteadyTask):
    """Task that sends snapshots and log lines to the parent."""

    def __call__(self, slot: int, stop: Stop, reporter: WorkerReporter) -> None:
        logs.configure()
        with reporter.reporting_snapshots(ConsumerStats(CODEC, lambda: 1.5)):
            logging.getLogger("telco_stream.test").warning("slot %d has started", slot)
            super().__call__(slot, stop, reporter)


def run_until(
    task: Task,
    count: int,
    is_done: Callable[[], bool],
    has_reported: Callable[[RecordingAggregator], bool] = lambda _: True,
) -> tuple[ConsumeResult, RecordingAggregator]:
    """Run workers until both conditions hold; return their result and what they reported."""
    stop, aggregator = Stop(), RecordingAggregator()

    def request_stop() -> None:
        try:
            wait_until(lambda: is_done() and has_reported(aggregator), 60)
        finally:
            stop.request()

    stopper = threading.Thread(target=request_stop)
    stopper.start()
    result = run_workers(task, count, stop=stop, aggregator=aggregator)
    stopper.join()
    return result, aggregator
