import json
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from telco_stream.errors import DataError, UsageError
from telco_stream.messages.record import Message
from telco_stream.produce.checkpoint import CheckpointFile
from telco_stream.produce.loop import Schedule, SendTotals, produce_pass, produce_stream
from telco_stream.runtime.signals import Stop, Stopped
from tests.support.csv_files import customer
from tests.support.produce_harness import (
    CHECKPOINT,
    CountingObserver,
    FakeRowWriter,
    customer_ids,
    make_deps,
    make_job,
    write_customers,
)

AT_ONCE = Schedule(0, seed=7)


class Tape(FakeRowWriter):
    """Notes when each row leaves."""

    left: list[float]

    def send(self, topic: str, messages: Sequence[Message]) -> None:
        self.__dict__.setdefault("left", []).extend([time.monotonic()] * len(messages))
        super().send(topic, messages)


def checkpoint() -> dict[str, Any]:
    kept: dict[str, Any] = json.loads(Path(CHECKPOINT).read_text())
    return kept


def run(
    writer: FakeRowWriter, path: Path, schedule: Schedule = AT_ONCE, stop: Stop | None = None, **more: Any
) -> SendTotals:
    return produce_stream(make_job(path, **more), schedule, make_deps(writer, stop))


def file_outlet() -> FakeRowWriter:
    return FakeRowWriter(stores_progress=False)


def test_a_limit_is_exact_and_rows_come_back(tmp_path: Path) -> None:
    writer = file_outlet()
    assert run(writer, write_customers(tmp_path, 5), limit=1_234).rows == 1_234
    assert len(writer.topic) == 1_234
    assert set(writer.keys()) == set(customer_ids((0, 5)))


def test_the_same_seed_draws_the_same_customers_whatever_the_pace(tmp_path: Path) -> None:
    path, outlets = write_customers(tmp_path, 50), [file_outlet() for _ in range(4)]
    run(outlets[0], path, Schedule(0, seed=1), limit=40)
    run(outlets[1], path, Schedule(2_000, seed=1), limit=40, size=3)
    run(outlets[2], path, Schedule(0, seed=2), limit=40)
    run(outlets[3], path, Schedule(0), limit=40)
    keys = [writer.keys() for writer in outlets]
    assert keys[0] == keys[1]
    assert len({tuple(one) for one in keys}) == 3


def test_row_n_leaves_at_start_plus_n_divided_by_the_rate(tmp_path: Path) -> None:
    tape = Tape(stores_progress=False)
    run(tape, write_customers(tmp_path, 5), Schedule(100), limit=30)
    ahead = [left - tape.left[0] - number / 100 for number, left in enumerate(tape.left)]
    assert min(ahead) > -0.005
    assert sorted(ahead)[15] < 0.02  # half of them: the machine may be busy once in a while
    assert ahead[-1] < 0.2


def test_what_was_late_is_made_up_for(tmp_path: Path) -> None:
    """A broker away for a while: the rate is met over the whole, and nothing is left out."""
    tape = Tape(stores_progress=False)
    tape.after = lambda writer: time.sleep(0.4) if len(writer.sizes) == 1 else None
    started = time.monotonic()
    assert run(tape, write_customers(tmp_path, 5), Schedule(100), limit=120).rows == 120
    assert 1.15 < time.monotonic() - started < 1.6
    assert max(later - earlier for earlier, later in pairwise(tape.left)) > 0.3


def test_rate_nought_is_as_fast_as_possible(tmp_path: Path) -> None:
    sent = run(file_outlet(), write_customers(tmp_path, 100), limit=20_000, size=1_000)
    assert sent.rows / sent.seconds > 5_000


def test_each_send_has_its_own_time(tmp_path: Path) -> None:
    writer = file_outlet()
    run(writer, write_customers(tmp_path, 5), Schedule(200), limit=20)
    assert len(set(writer.times())) > 10
    assert writer.times()[-1] == checkpoint()["last_event_ts"]


def test_the_checkpoint_says_what_has_arrived_and_keeps_up(tmp_path: Path) -> None:
    writer, seen = file_outlet(), []
    writer.after = lambda door: seen.append((len(door.topic), checkpoint()["total_sent"]))
    run(writer, write_customers(tmp_path, 5), Schedule(50), limit=60)
    assert len(seen) >= 2
    assert all(said <= arrived for arrived, said in seen)
    assert (checkpoint()["mode"], checkpoint()["total_sent"], checkpoint()["complete"]) == ("streaming", 60, False)


def test_a_stop_ends_the_stream_at_once_with_everything_confirmed(tmp_path: Path) -> None:
    writer, stop = file_outlet(), Stop()
    writer.after = lambda _: stop.request()
    started = time.monotonic()
    sent = run(writer, write_customers(tmp_path, 5), Schedule(0.1), stop)  # the next row would leave after ten seconds
    assert time.monotonic() - started < 2
    assert (sent.rows, checkpoint()["total_sent"], writer.unconfirmed()) == (1, 1, 0)


def test_a_stop_without_time_to_confirm_counts_what_has_arrived(tmp_path: Path) -> None:
    writer = file_outlet()
    writer.loses = {1: "never"}
    writer.unconfirmed = lambda: 4  # type: ignore[method-assign]
    sent = run(writer, write_customers(tmp_path, 5), Schedule(40), limit=30)
    assert (sent.rows, checkpoint()["total_sent"]) == (26, 26)


def test_a_queue_that_stays_full_ends_the_stream_at_a_stop(tmp_path: Path) -> None:
    writer, counts = file_outlet(), iter(range(100))

    def send(topic: str, messages: Sequence[Message]) -> None:
        if next(counts) == 3:
            raise Stopped
        FakeRowWriter.send(writer, topic, messages)

    writer.send = send  # type: ignore[method-assign]
    assert run(writer, write_customers(tmp_path, 5)).rows == 30


def test_an_unfinished_pass_is_not_overwritten_by_a_stream(tmp_path: Path) -> None:
    path, writer = write_customers(tmp_path, 25), file_outlet()
    produce_pass(make_job(path, limit=10), make_deps(writer))
    with pytest.raises(DataError, match=r"holds the unfinished pass of .*: finish it with --mode batch"):
        run(writer, path, limit=3)
    assert checkpoint()["mode"] == "batch"
    assert run(writer, path, limit=3, restart=True).rows == 3


def test_a_finished_pass_and_a_stream_are_no_obstacle_to_each_other(tmp_path: Path) -> None:
    path, writer = write_customers(tmp_path, 5), file_outlet()
    produce_pass(make_job(path), make_deps(writer))
    run(writer, path, limit=3)
    run(writer, path, limit=3)
    assert produce_pass(make_job(path), make_deps(writer)).rows == 5


def test_a_stream_leaves_finished_runs_finished(tmp_path: Path) -> None:
    path, writer = write_customers(tmp_path, 5), file_outlet()
    produce_pass(make_job(path, run="mon"), make_deps(writer))
    run(writer, path, limit=3)
    assert produce_pass(make_job(path, run="mon"), make_deps(writer)).rows == 0


def test_a_bad_row_anywhere_is_known_before_the_first_leaves(tmp_path: Path) -> None:
    writer = file_outlet()
    with pytest.raises(DataError, match="line 2002"):
        run(writer, write_customers(tmp_path, 2_000, customer(tenure="many")), limit=1)
    assert writer.log == []


def test_a_checkpoint_that_cannot_be_written_is_known_before_the_first_row(tmp_path: Path) -> None:
    writer, path = file_outlet(), write_customers(tmp_path, 5)
    Path(CHECKPOINT).mkdir(parents=True)
    with pytest.raises((UsageError, DataError)):
        run(writer, path, limit=1)
    assert writer.log == []


def test_whoever_looks_on_hears_of_every_row(tmp_path: Path) -> None:
    deps = make_deps(file_outlet())
    produce_stream(make_job(write_customers(tmp_path, 5), limit=33), AT_ONCE, deps)
    assert isinstance(deps.watch, CountingObserver)
    assert deps.watch.rows == 33


def test_a_stream_goes_on_when_its_checkpoint_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is resumed from it."""
    monkeypatch.setattr("telco_stream.produce.loop._SECONDS_A_CONFIRMATION", 0.0)
    writer = file_outlet()
    writer.after = lambda _: _put_folder_in_place_of_file(Path(CHECKPOINT))
    deps = replace(make_deps(writer), checkpoint=CheckpointFile(Path(CHECKPOINT), is_needed=False))
    assert produce_stream(make_job(write_customers(tmp_path, 5), limit=50), AT_ONCE, deps).rows == 50
    assert caplog.text.count("it exists but is not a regular file") == 1


def _put_folder_in_place_of_file(path: Path) -> None:
    if path.is_file():
        path.unlink()
        path.mkdir()
