"""Several consumers on one machine: one summary, one exit code, and what becomes of workers that crash."""

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
#: Three records, one of them bad.
BATCH = Outcome([LETTER, LETTER], [LETTER], [], [], {}, 0, 0)
TIMINGS = BatchTimings(0.0, 0.0)


@dataclass(frozen=True)
class Sheet:
    """A folder in which processes leave a file for each thing that happened."""

    folder: Path

    def note(self, what: str) -> None:
        (self.folder / f"{what}-{os.getpid()}").touch()

    def times(self, what: str) -> int:
        return len(list(self.folder.glob(f"{what}-*")))


@dataclass(frozen=True)
class Steady:
    """Delivers a batch, then waits to be stopped and delivers another."""

    sheet: Sheet

    def __call__(self, slot: int, stop: Stop, reporter: WorkerReporter) -> None:  # noqa: ARG002 - as every work is called
        reporter.on_committed(BATCH, TIMINGS)
        self.sheet.note("delivered")
        stop.wait(60)
        reporter.on_committed(BATCH, TIMINGS)
        self.sheet.note("stopped")


@dataclass(frozen=True)
class CrashingOnce(Steady):
    """Slot 0 dies of a signal, the first time."""

    def __call__(self, slot: int, stop: Stop, reporter: WorkerReporter) -> None:
        if slot == 0 and not self.sheet.times("crashed"):
            self.sheet.note("crashed")
            os.kill(os.getpid(), 9)
        super().__call__(slot, stop, reporter)


@dataclass(frozen=True)
class Fenced(Steady):
    """Slot 1 ends for a reason that a restart would not mend."""

    def __call__(self, slot: int, stop: Stop, reporter: WorkerReporter) -> None:
        if slot == 1:
            wait_until(lambda: self.sheet.times("delivered"), 60)
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
class Shown(Steady):
    """Says what it looks like, and what it logs, to the parent."""

    def __call__(self, slot: int, stop: Stop, reporter: WorkerReporter) -> None:
        logs.configure()
        with reporter.reporting_snapshots(lambda: 1.5):
            logging.getLogger("telco_stream.test").warning("slot %d is at it", slot)
            super().__call__(slot, stop, reporter)


@pytest.fixture
def sheet(tmp_path: Path) -> Sheet:
    return Sheet(tmp_path)


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


def test_one_summary_counts_what_all_workers_delivered_to_their_last_words(sheet: Sheet) -> None:
    """Two workers, a batch each before the stop and one after it."""
    result, aggregator = run_until(Steady(sheet), 2, lambda: sheet.times("delivered") == 2)
    assert sheet.times("stopped") == 2
    committed = [message for _, message in aggregator.messages]
    assert committed == [BatchCommitted(3, 2, 1)] * 4
    assert (result.consumed, result.predicted, result.dead_lettered, result.batches) == (12, 8, 4, 4)
    assert (result.mode, result.stopped_by) == ("streaming", "signal")


def test_what_workers_look_like_and_what_they_log_is_told_where_it_is_asked_for(sheet: Sheet) -> None:
    """One alone can draw on a terminal; what the others would write would tear it."""
    _, aggregator = run_until(
        Shown(sheet), 2, lambda: sheet.times("delivered") == 2, lambda one: len(one.first_snapshots()) == 2
    )
    assert {
        slot: (one.consumed, one.dead_lettered, one.unavailable_for)
        for slot, one in aggregator.first_snapshots().items()
    } == {
        0: (3, 1, 1.5),
        1: (3, 1, 1.5),
    }
    assert sorted(line.split(" ", 2)[2] for line in aggregator.lines) == ["slot 0 is at it", "slot 1 is at it"]


def test_a_crashed_worker_is_reported_and_replaced(sheet: Sheet, caplog: pytest.LogCaptureFixture) -> None:
    result, aggregator = run_until(CrashingOnce(sheet), 2, lambda: sheet.times("delivered") == 2)
    assert "worker 0 has crashed (exit -9); a new one starts in 1 s" in caplog.text
    assert sheet.times("crashed") == 1
    assert result.batches == 4
    assert aggregator.removed == [0]


def test_a_worker_that_a_restart_would_not_mend_ends_all_with_its_error(sheet: Sheet) -> None:
    """The other is asked to stop, as by a signal."""
    with pytest.raises(FencedError, match="Another instance has taken over"):
        run_workers(Fenced(sheet), 2, stop=Stop(), aggregator=RecordingAggregator())
    assert sheet.times("stopped") == 1


def test_workers_that_are_stopped_while_they_start_do_no_harm(sheet: Sheet) -> None:
    stop = Stop()
    stop.request()
    started = time.monotonic()
    result = run_workers(Steady(sheet), 2, stop=stop, aggregator=RecordingAggregator())
    assert (result.consumed, result.rate) == (0, 0.0)
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("bound", [["--max-messages", "5"], ["--idle-timeout", "1"], ["--mode", "batch"]])
def test_bounds_are_refused_where_several_workers_would_have_to_share_them(bound: list[str]) -> None:
    done = run_cli("consume", "--workers", "2", *bound)
    assert done.returncode == 2
    assert "--workers runs until it is stopped: leave out" in done.stderr
