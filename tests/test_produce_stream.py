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
from telco_stream.produce.loop import produce_pass
from telco_stream.produce.progress import CheckpointFile
from telco_stream.produce.results import SendResult
from telco_stream.produce.stream import produce_stream
from telco_stream.runtime.signals import Stop, Stopped
from tests.support.csv_files import customer
from tests.support.produce_harness import (
    CHECKPOINT,
    CountingObserver,
    FakeRowWriter,
    customer_ids,
    make_deps,
    make_plan,
    write_customers,
)


class TimedWriter(FakeRowWriter):
    """Writer that records when each row is sent."""

    sent_at: list[float]

    def send(self, topic: str, messages: Sequence[Message]) -> None:
        self.__dict__.setdefault("sent_at", []).extend([time.monotonic()] * len(messages))
        super().send(topic, messages)


def checkpoint() -> dict[str, Any]:
    stored: dict[str, Any] = json.loads(Path(CHECKPOINT).read_text())
    return stored


def run(
    writer: FakeRowWriter, path: Path, stop: Stop | None = None, *, rate: float = 0, seed: int | None = 7, **more: Any
) -> SendResult:
    return produce_stream(replace(make_plan(path, **more), rate=rate, seed=seed), make_deps(writer, stop))


def file_writer() -> FakeRowWriter:
    return FakeRowWriter(stores_progress=False)


def test_stream_sends_exactly_the_limit_and_repeats_rows(tmp_path: Path) -> None:
    writer = file_writer()
    assert run(writer, write_customers(tmp_path, 5), limit=1_234).rows == 1_234
    assert len(writer.topic) == 1_234
    assert set(writer.keys()) == set(customer_ids((0, 5)))


def test_stream_draws_the_same_customers_when_seeds_are_equal(tmp_path: Path) -> None:
    path, writers = write_customers(tmp_path, 50), [file_writer() for _ in range(4)]
    run(writers[0], path, seed=1, limit=40)
    run(writers[1], path, rate=2_000, seed=1, limit=40, size=3)
    run(writers[2], path, seed=2, limit=40)
    run(writers[3], path, seed=None, limit=40)
    keys = [writer.keys() for writer in writers]
    assert keys[0] == keys[1]
    assert len({tuple(drawn) for drawn in keys}) == 3


def test_stream_sends_row_n_after_n_divided_by_the_rate(tmp_path: Path) -> None:
    writer = TimedWriter(stores_progress=False)
    run(writer, write_customers(tmp_path, 5), rate=100, limit=30)
    ahead = [sent_at - writer.sent_at[0] - number / 100 for number, sent_at in enumerate(writer.sent_at)]
    assert min(ahead) > -0.005
    assert sorted(ahead)[15] < 0.02  # only half of them, because the machine can be busy
    assert ahead[-1] < 0.2


def test_stream_catches_up_when_the_broker_was_away(tmp_path: Path) -> None:
    """The stream meets its rate in total, and skips no row."""
    writer = TimedWriter(stores_progress=False)
    writer.after = lambda writer: time.sleep(0.4) if len(writer.sizes) == 1 else None
    started = time.monotonic()
    assert run(writer, write_customers(tmp_path, 5), rate=100, limit=120).rows == 120
    assert 1.15 < time.monotonic() - started < 1.6
    assert max(later - earlier for earlier, later in pairwise(writer.sent_at)) > 0.3


def test_stream_sends_as_fast_as_possible_when_the_rate_is_0(tmp_path: Path) -> None:
    sent = run(file_writer(), write_customers(tmp_path, 100), limit=20_000, size=1_000)
    assert sent.rows / sent.seconds > 5_000


def test_stream_stamps_each_send(tmp_path: Path) -> None:
    writer = file_writer()
    run(writer, write_customers(tmp_path, 5), rate=200, limit=20)
    assert len(set(writer.times())) > 10
    assert writer.times()[-1] == checkpoint()["last_event_ts"]


def test_stream_stores_confirmed_rows_in_the_checkpoint(tmp_path: Path) -> None:
    writer, totals = file_writer(), []
    writer.after = lambda fake: totals.append((len(fake.topic), checkpoint()["total_sent"]))
    run(writer, write_customers(tmp_path, 5), rate=50, limit=60)
    assert len(totals) >= 2
    assert all(stored <= arrived for arrived, stored in totals)
    assert (checkpoint()["mode"], checkpoint()["total_sent"], checkpoint()["complete"]) == ("streaming", 60, False)


def test_stream_ends_with_all_rows_confirmed_when_stopped(tmp_path: Path) -> None:
    writer, stop = file_writer(), Stop()
    writer.after = lambda _: stop.request()
    started = time.monotonic()
    sent = run(writer, write_customers(tmp_path, 5), stop, rate=0.1)  # the next row is due after ten seconds
    assert time.monotonic() - started < 2
    assert (sent.rows, checkpoint()["total_sent"], writer.unconfirmed()) == (1, 1, 0)


def test_stream_counts_arrived_rows_when_a_stop_interrupts_it(tmp_path: Path) -> None:
    writer = file_writer()
    writer.loses = {1: "never"}
    writer.unconfirmed = lambda: 4  # type: ignore[method-assign]
    sent = run(writer, write_customers(tmp_path, 5), rate=40, limit=30)
    assert (sent.rows, checkpoint()["total_sent"]) == (26, 26)


def test_stream_ends_when_stopped_with_a_full_queue(tmp_path: Path) -> None:
    writer, counts = file_writer(), iter(range(100))

    def send(topic: str, messages: Sequence[Message]) -> None:
        if next(counts) == 3:
            raise Stopped
        FakeRowWriter.send(writer, topic, messages)

    writer.send = send  # type: ignore[method-assign]
    assert run(writer, write_customers(tmp_path, 5)).rows == 30


def test_stream_is_refused_when_a_pass_is_unfinished(tmp_path: Path) -> None:
    path, writer = write_customers(tmp_path, 25), file_writer()
    produce_pass(make_plan(path, limit=10), make_deps(writer))
    with pytest.raises(DataError, match=r"holds the unfinished pass of .*; finish it with --mode batch"):
        run(writer, path, limit=3)
    assert checkpoint()["mode"] == "batch"
    assert run(writer, path, limit=3, restart=True).rows == 3


def test_stream_and_finished_pass_can_share_a_checkpoint(tmp_path: Path) -> None:
    path, writer = write_customers(tmp_path, 5), file_writer()
    produce_pass(make_plan(path), make_deps(writer))
    run(writer, path, limit=3)
    run(writer, path, limit=3)
    assert produce_pass(make_plan(path), make_deps(writer)).rows == 5


def test_stream_keeps_finished_runs(tmp_path: Path) -> None:
    path, writer = write_customers(tmp_path, 5), file_writer()
    produce_pass(make_plan(path, run="mon"), make_deps(writer))
    run(writer, path, limit=3)
    assert produce_pass(make_plan(path, run="mon"), make_deps(writer)).rows == 0


def test_stream_sends_nothing_when_a_row_is_invalid(tmp_path: Path) -> None:
    writer = file_writer()
    with pytest.raises(DataError, match="line 2002"):
        run(writer, write_customers(tmp_path, 2_000, customer(tenure="many")), limit=1)
    assert writer.log == []


def test_stream_sends_nothing_when_the_file_is_not_writable(tmp_path: Path) -> None:
    writer, path = file_writer(), write_customers(tmp_path, 5)
    Path(CHECKPOINT).mkdir(parents=True)
    with pytest.raises((UsageError, DataError)):
        run(writer, path, limit=1)
    assert writer.log == []


def test_stream_reports_each_row_to_the_observer(tmp_path: Path) -> None:
    deps = make_deps(file_writer())
    produce_stream(make_plan(write_customers(tmp_path, 5), limit=33), deps)
    assert isinstance(deps.observer, CountingObserver)
    assert deps.observer.rows == 33


def test_stream_continues_when_its_file_becomes_unwritable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A stream is never resumed from its file."""
    monkeypatch.setattr("telco_stream.produce.stream.SECONDS_PER_CONFIRMATION", 0.0)
    writer = file_writer()
    writer.after = lambda _: _put_folder_in_place_of_file(Path(CHECKPOINT))
    deps = replace(make_deps(writer), checkpoint=CheckpointFile(Path(CHECKPOINT), is_needed=False))
    assert produce_stream(make_plan(write_customers(tmp_path, 5), limit=50), deps).rows == 50
    assert caplog.text.count("it exists but is not a regular file") == 1


def _put_folder_in_place_of_file(path: Path) -> None:
    if path.is_file():
        path.unlink()
        path.mkdir()
