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
from telco_stream.consume.workers.messages import WorkerReporter
from telco_stream.consume.workers.supervisor import Work, run_workers
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
SECONDS = BatchTimings(0.0, 0.0)


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

    def __call__(self, slot: int, stop: Stop, teller: WorkerReporter) -> None:  # noqa: ARG002 - as every work is called
        teller.on_committed(BATCH, SECONDS)
        self.sheet.note("delivered")
        stop.wait(60)
        teller.on_committed(BATCH, SECONDS)
        self.sheet.note("stopped")


@dataclass(frozen=True)
class CrashingOnce(Steady):
    """Slot 0 dies of a signal, the first time."""

    def __call__(self, slot: int, stop: Stop, teller: WorkerReporter) -> None:
        if slot == 0 and not self.sheet.times("crashed"):
            self.sheet.note("crashed")
            os.kill(os.getpid(), 9)
        super().__call__(slot, stop, teller)


@dataclass(frozen=True)
class Fenced(Steady):
    """Slot 1 ends for a reason that a restart would not mend."""

    def __call__(self, slot: int, stop: Stop, teller: WorkerReporter) -> None:
        if slot == 1:
            wait_until(lambda: self.sheet.times("delivered"), 60)
            raise FencedError("Another instance has taken over")
        super().__call__(slot, stop, teller)


class Listener:
    """The parent's, that remembers."""

    def __init__(self) -> None:
        self.told: list[tuple[int, int]] = []
        self.glimpses: list[tuple[int, ConsumerSnapshot]] = []
        self.lines: list[str] = []
        self.ended: list[int] = []

    def first(self) -> dict[int, ConsumerSnapshot]:
        """What each looked like once it had delivered; the second batch, after the stop, may be seen as well."""
        return {slot: one for slot, one in reversed(self.glimpses) if one.consumed}

    def advance(self, records: int, dead_letters: int) -> None:
        self.told.append((records, dead_letters))

    def on_snapshot(self, slot: int, snapshot: ConsumerSnapshot) -> None:
        self.glimpses.append((slot, snapshot))

    def said(self, line: str) -> None:
        self.lines.append(line)

    def gone(self, slot: int) -> None:
        self.ended.append(slot)


@dataclass(frozen=True)
class Shown(Steady):
    """Says what it looks like, and what it logs, to the parent."""

    def __call__(self, slot: int, stop: Stop, teller: WorkerReporter) -> None:
        logs.configure()
        with teller.showing(lambda: 1.5):
            logging.getLogger("telco_stream.test").warning("slot %d is at it", slot)
            super().__call__(slot, stop, teller)


@pytest.fixture
def sheet(tmp_path: Path) -> Sheet:
    return Sheet(tmp_path)


def run_until(
    work: Work, count: int, done: Callable[[], bool], handle: Callable[[Listener], bool] = lambda _: True
) -> tuple[ConsumeResult, Listener]:
    """The result of workers that are stopped once `done` and `heard`, and what the parent was told."""
    stop, listener = Stop(), Listener()

    def watch() -> None:
        try:
            wait_until(lambda: done() and handle(listener), 60)
        finally:
            stop.request()

    watcher = threading.Thread(target=watch)
    watcher.start()
    result = run_workers(work, count, stop=stop, listener=listener)
    watcher.join()
    return result, listener


def test_one_summary_counts_what_all_workers_delivered_to_their_last_words(sheet: Sheet) -> None:
    """Two workers, a batch each before the stop and one after it."""
    result, listener = run_until(Steady(sheet), 2, lambda: sheet.times("delivered") == 2)
    assert sheet.times("stopped") == 2
    assert listener.told == [(3, 1)] * 4
    assert (result.consumed, result.predicted, result.dead_lettered, result.batches) == (12, 8, 4, 4)
    assert (result.mode, result.stopped_by) == ("streaming", "signal")


def test_what_workers_look_like_and_what_they_log_is_told_where_it_is_asked_for(sheet: Sheet) -> None:
    """One alone can draw on a terminal; what the others would write would tear it."""
    _, listener = run_until(Shown(sheet), 2, lambda: sheet.times("delivered") == 2, lambda one: len(one.first()) == 2)
    assert {slot: (one.consumed, one.dead_lettered, one.unavailable_for) for slot, one in listener.first().items()} == {
        0: (3, 1, 1.5),
        1: (3, 1, 1.5),
    }
    assert sorted(line.split(" ", 2)[2] for line in listener.lines) == ["slot 0 is at it", "slot 1 is at it"]


def test_a_crashed_worker_is_reported_and_replaced(sheet: Sheet, caplog: pytest.LogCaptureFixture) -> None:
    result, listener = run_until(CrashingOnce(sheet), 2, lambda: sheet.times("delivered") == 2)
    assert "worker 0 has crashed (exit -9); a new one starts in 1 s" in caplog.text
    assert sheet.times("crashed") == 1
    assert result.batches == 4
    assert listener.ended == [0]


def test_a_worker_that_a_restart_would_not_mend_ends_all_with_its_error(sheet: Sheet) -> None:
    """The other is asked to stop, as by a signal."""
    with pytest.raises(FencedError, match="Another instance has taken over"):
        run_workers(Fenced(sheet), 2, stop=Stop(), listener=Listener())
    assert sheet.times("stopped") == 1


def test_workers_that_are_stopped_while_they_start_do_no_harm(sheet: Sheet) -> None:
    stop = Stop()
    stop.request()
    started = time.monotonic()
    result = run_workers(Steady(sheet), 2, stop=stop, listener=Listener())
    assert (result.consumed, result.rate) == (0, 0.0)
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("bound", [["--max-messages", "5"], ["--idle-timeout", "1"], ["--mode", "batch"]])
def test_bounds_are_refused_where_several_workers_would_have_to_share_them(bound: list[str]) -> None:
    done = run_cli("consume", "--workers", "2", *bound)
    assert done.returncode == 2
    assert "--workers runs until it is stopped: leave out" in done.stderr
