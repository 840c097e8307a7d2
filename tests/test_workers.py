"""Supervisor of workers: one summary, one exit code, and restarts after crashes."""

import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from telco_stream.consume.counters import ConsumeResult
from telco_stream.consume.workers.aggregate import WorkerAggregator
from telco_stream.consume.workers.messages import BatchCommitted, WorkerMessage, WorkerReporter
from telco_stream.consume.workers.supervisor import Task, run_workers
from telco_stream.errors import FencedError
from telco_stream.messages.record import Message
from telco_stream.monitoring.protocols import BatchTimings
from telco_stream.monitoring.snapshot import ConsumerSnapshot
from telco_stream.runtime import logs
from telco_stream.runtime.signals import Stop
from telco_stream.scoring import Outcome
from tests.support.cli import run_cli
from tests.support.waiting import wait_until

LETTER: Message = (b"", b"", [])
#: A batch of three records, one of them bad.
BATCH = Outcome([LETTER, LETTER], [LETTER], [], [], {}, 0, 0)
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
        with reporter.reporting_snapshots(lambda: 1.5):
            logging.getLogger("telco_stream.test").warning("slot %d has started", slot)
            super().__call__(slot, stop, reporter)


@pytest.fixture
def events(tmp_path: Path) -> EventFolder:
    return EventFolder(tmp_path)


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


def test_run_workers_counts_all_batches_until_the_end(events: EventFolder) -> None:
    """Each of two workers commits a batch before the stop and one after it."""
    result, aggregator = run_until(SteadyTask(events), 2, lambda: events.count("delivered") == 2)
    assert events.count("stopped") == 2
    committed = [message for _, message in aggregator.messages]
    assert committed == [BatchCommitted(3, 2, 1)] * 4
    assert (result.consumed, result.predicted, result.dead_lettered, result.batches) == (12, 8, 4, 4)
    assert (result.mode, result.stopped_by) == ("streaming", "signal")


def test_run_workers_receives_snapshots_and_log_lines(events: EventFolder) -> None:
    """Only the parent draws; lines written by others would tear the view."""
    _, aggregator = run_until(
        ReportingTask(events),
        2,
        lambda: events.count("delivered") == 2,
        lambda aggregator: len(aggregator.first_snapshots()) == 2,
    )
    assert {
        slot: (snapshot.consumed, snapshot.dead_lettered, snapshot.unavailable_for)
        for slot, snapshot in aggregator.first_snapshots().items()
    } == {
        0: (3, 1, 1.5),
        1: (3, 1, 1.5),
    }
    assert sorted(line.split(" ", 2)[2] for line in aggregator.lines) == ["slot 0 has started", "slot 1 has started"]


def test_run_workers_restarts_a_worker_when_it_crashes(events: EventFolder, caplog: pytest.LogCaptureFixture) -> None:
    result, aggregator = run_until(CrashingTask(events), 2, lambda: events.count("delivered") == 2)
    assert "worker 0 has crashed (exit -9); a new one starts in 1 s" in caplog.text
    assert events.count("crashed") == 1
    assert result.batches == 4
    assert aggregator.removed == [0]


def test_run_workers_raises_when_a_worker_fails_for_good(events: EventFolder) -> None:
    """The other worker is stopped as by a signal."""
    with pytest.raises(FencedError, match="Another instance has taken over"):
        run_workers(FencedTask(events), 2, stop=Stop(), aggregator=RecordingAggregator())
    assert events.count("stopped") == 1


def test_run_workers_ends_when_stopped_during_start(events: EventFolder) -> None:
    stop = Stop()
    stop.request()
    started = time.monotonic()
    result = run_workers(SteadyTask(events), 2, stop=stop, aggregator=RecordingAggregator())
    assert (result.consumed, result.rate) == (0, 0.0)
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("bound", [["--max-messages", "5"], ["--idle-timeout", "1"], ["--mode", "batch"]])
def test_workers_refuse_stop_conditions(bound: list[str]) -> None:
    done = run_cli("consume", "--workers", "2", *bound)
    assert done.returncode == 2
    assert "--workers runs until stopped: remove" in done.stderr
