"""Supervisor of workers: one summary, one exit code, and restarts after crashes."""

import time
from pathlib import Path

import pytest

from telco_stream.consume.worker_reports import BatchCommitted
from telco_stream.consume.workers import run_workers
from telco_stream.errors import FencedError
from telco_stream.runtime.signals import Stop
from tests.support.in_process import run_in_process
from tests.support.worker_tasks import (
    CrashingTask,
    EventFolder,
    FencedTask,
    RecordingAggregator,
    ReportingTask,
    SteadyTask,
    run_until,
)


@pytest.fixture
def events(tmp_path: Path) -> EventFolder:
    return EventFolder(tmp_path)


def test_run_workers_counts_all_batches_until_the_end(events: EventFolder) -> None:
    """Each of two workers commits a batch before the stop and one after it."""
    result, aggregator = run_until(SteadyTask(events), 2, lambda: events.count("delivered") == 2)
    assert events.count("stopped") == 2
    committed = [message for _, message in aggregator.messages]
    assert committed == [BatchCommitted(2, 1)] * 4
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
    done = run_in_process("consume", "--workers", "2", *bound)
    assert done.code == 2
    assert "--workers runs until stopped: remove" in done.err
