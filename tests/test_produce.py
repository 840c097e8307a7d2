import errno
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from telco_stream.errors import DataError, UsageError
from telco_stream.produce.loop import SendTotals, produce_pass
from telco_stream.produce.marks import MarkedProgress
from telco_stream.produce.progress import PassKey, PassProgress
from telco_stream.runtime.signals import Stop
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


@pytest.fixture(params=[True, False], ids=["kafka keeps progress", "the file keeps progress"])
def writer(request: pytest.FixtureRequest) -> FakeRowWriter:
    return FakeRowWriter(stores_progress=request.param)


@pytest.fixture
def handle(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """What is logged, wherever another test has sent the package's log."""
    log = logging.getLogger("telco_stream.produce.loop")
    log.addHandler(caplog.handler)
    yield caplog
    log.removeHandler(caplog.handler)


def checkpoint() -> dict[str, Any]:
    kept: dict[str, Any] = json.loads(Path(CHECKPOINT).read_text())
    return kept


def run(writer: FakeRowWriter, path: Path, stop: Stop | None = None, **more: Any) -> SendTotals:
    return produce_pass(make_job(path, **more), make_deps(writer, stop))


def test_a_pass_sends_each_row_once_in_the_file_s_order(writer: FakeRowWriter, tmp_path: Path) -> None:
    sent = run(writer, write_customers(tmp_path, 25))
    assert (sent.rows, sent.resumed_from, writer.keys()) == (25, None, customer_ids((0, 25)))
    assert checkpoint()["complete"]
    assert (checkpoint()["last_processed_index"], checkpoint()["total_sent"]) == (24, 25)


def test_a_finished_pass_is_followed_by_a_new_one(writer: FakeRowWriter, tmp_path: Path) -> None:
    path = write_customers(tmp_path, 3)
    assert [run(writer, path).rows, run(writer, path).rows] == [3, 3]
    assert writer.keys() == customer_ids((0, 3), (0, 3))


def test_an_empty_table_is_a_finished_pass(writer: FakeRowWriter, tmp_path: Path) -> None:
    assert run(writer, write_customers(tmp_path, 0)).rows == 0
    assert checkpoint()["complete"]


def test_a_limit_is_exact_and_the_next_run_goes_on_after_it(writer: FakeRowWriter, tmp_path: Path) -> None:
    path = write_customers(tmp_path, 25)
    results = [run(writer, path, limit=limit) for limit in (7, 13, 4)]
    assert [(sent.rows, sent.resumed_from) for sent in results] == [(7, None), (13, 7), (4, 20)]
    assert writer.keys() == customer_ids((0, 24))
    assert not checkpoint()["complete"]
    assert run(writer, path, limit=100).rows == 1
    assert checkpoint()["complete"]


@pytest.mark.parametrize("size", [1, 5, 10, 11, 1000])
def test_a_limit_that_meets_the_file_s_end_finishes_the_pass(writer: FakeRowWriter, tmp_path: Path, size: int) -> None:
    run(writer, write_customers(tmp_path, 10), size=size, limit=10)
    assert checkpoint()["complete"]
    assert writer.keys() == customer_ids((0, 10))


@pytest.mark.parametrize("size", [1, 3, 9, 1000])
def test_a_limit_of_one_row_less_does_not(writer: FakeRowWriter, tmp_path: Path, size: int) -> None:
    run(writer, write_customers(tmp_path, 10), size=size, limit=9)
    assert not checkpoint()["complete"]
    assert writer.keys() == customer_ids((0, 9))


def test_each_chunk_has_one_time_and_the_checkpoint_has_the_last(writer: FakeRowWriter, tmp_path: Path) -> None:
    run(writer, write_customers(tmp_path, 15))
    assert writer.times() == ["t0"] * 10 + ["t1"] * 5
    assert checkpoint()["last_event_ts"] == "t1"


def test_many_small_chunks_share_one_confirmation(writer: FakeRowWriter, tmp_path: Path) -> None:
    run(writer, write_customers(tmp_path, 60), size=7)
    assert writer.sizes == [60]


@pytest.mark.parametrize("size", [3_000, 20_000, 1_000_000])
def test_a_confirmation_spans_no_more_than_20_000_rows_whatever_the_batch_size(tmp_path: Path, size: int) -> None:
    writer = FakeRowWriter()
    run(writer, write_customers(tmp_path, 45_000), size=size)
    assert max(writer.sizes) <= 20_000
    assert writer.keys() == customer_ids((0, 45_000))


def test_nothing_is_in_the_checkpoint_before_it_is_confirmed(writer: FakeRowWriter, tmp_path: Path) -> None:
    seen = []
    writer.after = lambda _: seen.append(checkpoint()["total_sent"])
    run(writer, write_customers(tmp_path, 30), limit=20)
    run(writer, write_customers(tmp_path, 30))
    assert seen == [0, 20]


def test_a_stop_ends_the_pass_after_the_chunk_in_hand_and_the_next_run_goes_on(
    writer: FakeRowWriter, tmp_path: Path
) -> None:
    path, stop = write_customers(tmp_path, 95), Stop()
    writer.send = _stopping_at(writer, stop, 3)  # type: ignore[method-assign]
    sent = run(writer, path, stop)
    assert (sent.rows, checkpoint()["total_sent"], writer.keys()) == (30, 30, customer_ids((0, 30)))
    del writer.send
    assert run(writer, path).resumed_from == 30
    assert writer.keys() == customer_ids((0, 95))


def test_a_stop_without_time_to_confirm_leaves_the_rest_out_of_the_checkpoint(
    writer: FakeRowWriter, tmp_path: Path
) -> None:
    path, stop = write_customers(tmp_path, 95), Stop()
    run(writer, path, limit=40)
    writer.send = _stopping_at(writer, stop, 2)  # type: ignore[method-assign]
    writer.loses = {1: "never"}
    sent = run(writer, path, stop)
    assert (sent.rows, sent.resumed_from, writer.unconfirmed()) == (0, 40, 20)
    assert checkpoint()["total_sent"] == 40


def test_a_stop_asked_for_before_the_pass_sends_nothing(writer: FakeRowWriter, tmp_path: Path) -> None:
    path, stop = write_customers(tmp_path, 20), Stop()
    run(writer, path, limit=10)
    stop.request()
    assert run(writer, path, stop).rows == 0
    assert checkpoint()["total_sent"] == 10


@pytest.mark.parametrize("fate", ["aborted", "unclear"])
@pytest.mark.parametrize("lost", [0, 1, 2])
def test_a_lost_transaction_takes_the_pass_back_to_what_kafka_has(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fate: str, lost: int
) -> None:
    """Whether its commit was applied or not: each row is there once."""
    monkeypatch.setattr("telco_stream.produce.loop._ROWS_A_CONFIRMATION", 10)
    writer = FakeRowWriter(loses={lost: fate})
    sent = run(writer, write_customers(tmp_path, 25))
    assert (writer.keys(), sent.rows) == (customer_ids((0, 25)), 25)
    assert checkpoint()["complete"]
    assert checkpoint()["total_sent"] == 25


def test_the_first_transaction_lost_after_a_finished_pass_starts_from_the_first_row(tmp_path: Path) -> None:
    """What Kafka has then is the earlier pass, at its end."""
    writer, path = FakeRowWriter(), write_customers(tmp_path, 5)
    run(writer, path)
    writer.loses = {1: "aborted"}
    assert run(writer, path).rows == 5
    assert writer.keys() == customer_ids((0, 5), (0, 5))


BAD_ROW = customer(customerID="bad", tenure="many")


def test_a_bad_row_sends_none_of_its_chunk_and_all_before_it(writer: FakeRowWriter, tmp_path: Path) -> None:
    path = write_customers(tmp_path, 25, BAD_ROW, customer(customerID="after"))
    with pytest.raises(DataError, match=r"customers.csv, line 27: tenure is not a number"):
        run(writer, path)
    assert writer.keys() == customer_ids((0, 20))
    assert checkpoint()["total_sent"] == 20
    with pytest.raises(DataError, match="line 27"):
        run(writer, path)
    assert writer.keys() == customer_ids((0, 20))


def test_a_file_bad_from_its_first_chunk_can_be_mended_and_sent(writer: FakeRowWriter, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="line 4"):
        run(writer, write_customers(tmp_path, 2, BAD_ROW))
    assert writer.log == []
    assert run(writer, write_customers(tmp_path, 2)).rows == 2


def test_a_file_mended_behind_rows_that_were_sent_is_an_error_unless_it_starts_over(
    writer: FakeRowWriter, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="line 17"):
        run(writer, write_customers(tmp_path, 15, BAD_ROW))
    mended = write_customers(tmp_path, 16)
    with pytest.raises(DataError, match="has changed since row 10"):
        run(writer, mended)
    assert run(writer, mended, restart=True).rows == 16


def test_a_bad_row_beyond_the_limit_is_not_looked_for(writer: FakeRowWriter, tmp_path: Path) -> None:
    assert run(writer, write_customers(tmp_path, 10, BAD_ROW), limit=10).rows == 10
    assert not checkpoint()["complete"]


def test_whoever_looks_on_hears_of_every_confirmed_row(writer: FakeRowWriter, tmp_path: Path) -> None:
    deps = make_deps(writer)
    produce_pass(make_job(write_customers(tmp_path, 33)), deps)
    assert isinstance(deps.watch, CountingObserver)
    assert deps.watch.rows == 33


def test_a_checkpoint_that_cannot_be_written_is_known_before_the_first_row(
    writer: FakeRowWriter, tmp_path: Path
) -> None:
    path = write_customers(tmp_path, 5)
    Path(CHECKPOINT).parent.write_text("a file where the folder should be")
    with pytest.raises((UsageError, DataError)):
        run(writer, path)
    assert writer.log == []


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EIO])
def test_a_pass_ends_well_when_an_unneeded_file_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, handle: pytest.LogCaptureFixture, code: int
) -> None:
    """The disk fills up after the first confirmation; Kafka has the progress."""
    monkeypatch.setattr("telco_stream.produce.loop._ROWS_A_CONFIRMATION", 10)
    writer, path = FakeRowWriter(after=lambda _: _break_disk(monkeypatch, code)), write_customers(tmp_path, 45)
    assert run(writer, path).rows == 45
    assert writer.keys() == customer_ids((0, 45))
    warnings = [record.getMessage() for record in set(handle.records) if record.levelno >= logging.WARNING]
    assert [os.strerror(code) in warning and CHECKPOINT in warning for warning in warnings] == [True]


def test_a_pass_says_what_was_sent_when_its_file_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At least once the file alone keeps the progress."""
    monkeypatch.setattr("telco_stream.produce.loop._ROWS_A_CONFIRMATION", 10)

    def after(writer: FakeRowWriter) -> None:
        if len(writer.sizes) == 3:
            _break_disk(monkeypatch, errno.ENOSPC)

    writer, path = FakeRowWriter(stores_progress=False, after=after), write_customers(tmp_path, 45)
    with pytest.raises(UsageError, match=r"No space left on device; 30 rows were sent, and .* lacks the last 10"):
        run(writer, path)
    assert checkpoint()["total_sent"] == 20
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    writer.after = lambda _: None
    assert run(writer, path).resumed_from == 20
    assert writer.keys() == customer_ids((0, 30), (20, 45))


def _break_disk(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def fail(_descriptor: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", fail)


def test_a_finished_run_sends_nothing_again_and_other_runs_are_their_own(writer: FakeRowWriter, tmp_path: Path) -> None:
    path = write_customers(tmp_path, 5)
    topics: dict[str, FakeRowWriter] = {}
    for name, rows in (("mon", 5), ("mon", 0), ("tue", 5), ("mon", 0), ("tue", 0)):
        # In Kafka each run has its own place.
        door = topics.setdefault(name, FakeRowWriter()) if writer.stores_progress else writer
        assert run(door, path, run=name).rows == rows, name


def test_an_interrupted_run_goes_on_under_its_id(writer: FakeRowWriter, tmp_path: Path) -> None:
    path = write_customers(tmp_path, 25)
    run(writer, path, run="mon", limit=12)
    assert run(writer, path, run="mon").resumed_from == 12
    assert run(writer, path, run="mon").rows == 0
    assert writer.keys() == customer_ids((0, 25))


def test_a_finished_run_starts_over_when_asked_to(writer: FakeRowWriter, tmp_path: Path) -> None:
    path = write_customers(tmp_path, 5)
    assert [run(writer, path, run="mon", restart=again).rows for again in (False, True, False)] == [5, 5, 0]


def test_restart_passes_over_a_damaged_checkpoint(writer: FakeRowWriter, tmp_path: Path) -> None:
    path = write_customers(tmp_path, 5)
    Path(CHECKPOINT).parent.mkdir()
    Path(CHECKPOINT).write_text("{")
    with pytest.raises(DataError, match="is no checkpoint"):
        run(writer, path)
    assert run(writer, path, restart=True).rows == 5


def test_kafka_is_believed_and_says_so_where_the_file_knows_less(
    tmp_path: Path, handle: pytest.LogCaptureFixture
) -> None:
    """As after a kill between the commit and the writing of the file."""
    writer, path = FakeRowWriter(), write_customers(tmp_path, 25)
    run(writer, path, limit=10)
    older = Path(CHECKPOINT).read_text()
    run(writer, path, limit=10)
    Path(CHECKPOINT).write_text(older)
    handle.clear()
    assert run(writer, path).resumed_from == 20
    assert "the checkpoint file says row 10, Kafka says row 20: Kafka is right" in handle.text
    assert writer.keys() == customer_ids((0, 25))


def test_a_pass_is_refused_when_only_the_file_knows_it(tmp_path: Path, handle: pytest.LogCaptureFixture) -> None:
    """Kafka has deleted the offset: rows after the file's may have been sent. Both ways on are named, and go on."""
    path = write_customers(tmp_path, 25)
    run(FakeRowWriter(), path, limit=10)
    fresh = FakeRowWriter()
    with pytest.raises(DataError, match=r"--restart, or go on after row 10, .* --delivery at-least-once"):
        run(fresh, path)
    assert (fresh.log, fresh.searches, handle.text) == ([], [True], "")
    assert run(FakeRowWriter(stores_progress=False), path, limit=1).resumed_from == 10
    assert run(fresh, path, restart=True).rows == 25


def test_a_finished_run_is_over_when_only_the_file_knows_it(tmp_path: Path) -> None:
    """The file is written after the commit, and never ahead of it."""
    path = write_customers(tmp_path, 25)
    run(FakeRowWriter(), path, run="mon")
    assert run(FakeRowWriter(), path, run="mon").rows == 0


def test_a_pass_goes_on_after_its_mark_when_kafka_has_no_offset(
    tmp_path: Path, handle: pytest.LogCaptureFixture
) -> None:
    """With the file one transaction behind, and without the file."""
    writer, path = FakeRowWriter(), write_customers(tmp_path, 25)
    run(writer, path, limit=10)
    older = Path(CHECKPOINT).read_text()
    run(writer, path, limit=10)
    assert writer.kept
    marked = MarkedProgress(writer.kept, is_certain=True)
    for kept in (older, None):
        Path(CHECKPOINT).unlink()
        if kept:
            Path(CHECKPOINT).write_text(kept)
        again = FakeRowWriter(marked=marked)
        sent = run(again, path)
        assert (sent.resumed_from, again.keys(), again.searches) == (20, customer_ids((20, 25)), [kept is not None])
        assert "no longer has the progress of this pass; its records say that row 20 was the last" in handle.text
        assert "Kafka is right" not in handle.text


def test_a_finished_run_is_over_when_its_mark_says_so(tmp_path: Path) -> None:
    writer, path = FakeRowWriter(), write_customers(tmp_path, 25)
    run(writer, path, run="mon")
    Path(CHECKPOINT).unlink()
    assert writer.kept
    for is_certain in (True, False):
        assert run(FakeRowWriter(marked=MarkedProgress(writer.kept, is_certain)), path, run="mon").rows == 0


def test_a_finished_pass_begins_again_when_its_mark_is_found(tmp_path: Path) -> None:
    writer, path = FakeRowWriter(), write_customers(tmp_path, 25)
    run(writer, path)
    assert writer.kept
    assert run(FakeRowWriter(marked=MarkedProgress(writer.kept, is_certain=True)), path).rows == 25


@pytest.mark.parametrize("has_file", [True, False])
def test_a_pass_is_refused_when_newer_marks_may_be_gone(tmp_path: Path, *, has_file: bool) -> None:
    writer, path = FakeRowWriter(), write_customers(tmp_path, 25)
    run(writer, path, limit=10)
    if not has_file:
        Path(CHECKPOINT).unlink()
    assert writer.kept
    with pytest.raises(DataError, match=r"doesn't show how far it came.*--restart") as refusal:
        run(FakeRowWriter(marked=MarkedProgress(writer.kept, is_certain=False)), path)
    assert ("at-least-once" in str(refusal.value)) == has_file


def test_a_lost_transaction_goes_back_to_the_mark_when_offsets_expire(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As after an outage longer than Kafka keeps offsets: its end is unclear, and the mark tells."""
    monkeypatch.setattr("telco_stream.produce.loop._ROWS_A_CONFIRMATION", 10)
    writer = FakeRowWriter(loses={1: "unclear"})

    def expire(writer: FakeRowWriter) -> None:
        if len(writer.sizes) == 2 and writer.kept:
            writer.marked, writer.kept = MarkedProgress(writer.kept, is_certain=True), None

    writer.after = expire
    assert run(writer, write_customers(tmp_path, 35)).rows == 35
    assert writer.keys() == customer_ids((0, 35))


@pytest.mark.parametrize(("rows", "expected"), [(20, [(9, False), (19, True)]), (15, [(9, False), (14, True)])])
def test_the_confirmation_of_the_last_row_ends_the_pass(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, rows: int, expected: list[tuple[int, bool]]
) -> None:
    """So that the mark of the last record says that the pass is complete."""
    monkeypatch.setattr("telco_stream.produce.loop._ROWS_A_CONFIRMATION", 10)
    confirmed: list[tuple[int, bool]] = []
    writer = FakeRowWriter(after=lambda at: confirmed.append((at.kept.last_processed_index, at.kept.complete)))  # type: ignore[union-attr]
    run(writer, write_customers(tmp_path, rows), size=5)
    assert confirmed == expected


def test_a_run_is_the_same_wherever_its_file_is(writer: FakeRowWriter, tmp_path: Path) -> None:
    path, elsewhere = write_customers(tmp_path, 25), tmp_path / "mount" / "renamed.csv"
    elsewhere.parent.mkdir()
    elsewhere.write_bytes(path.read_bytes())
    run(writer, path, run="mon", limit=10)
    assert run(writer, elsewhere, run="mon").resumed_from == 10
    assert run(writer, path, run="mon").rows == 0
    assert writer.keys() == customer_ids((0, 25))


def test_a_finished_run_sends_another_content_once(writer: FakeRowWriter, tmp_path: Path) -> None:
    for rows, sent in ((5, 5), (6, 6), (5, 0), (6, 0)):
        assert run(writer, write_customers(tmp_path, rows), run="mon").rows == sent


def test_an_unfinished_run_is_refused_when_its_content_differs(writer: FakeRowWriter, tmp_path: Path) -> None:
    run(writer, write_customers(tmp_path, 25), run="mon", limit=10)
    with pytest.raises(DataError, match="run mon has sent 10 rows"):
        run(writer, write_customers(tmp_path, 26), run="mon")
    assert run(writer, write_customers(tmp_path, 26), run="mon", restart=True).rows == 26


def test_a_run_is_sent_again_when_its_topic_is_new(
    writer: FakeRowWriter, tmp_path: Path, handle: pytest.LogCaptureFixture
) -> None:
    path = write_customers(tmp_path, 5)
    assert run(writer, path, run="mon", topic_id="1").rows == 5
    writer.kept = None  # Kafka deletes the offsets of a topic with it
    assert run(writer, path, run="mon", topic_id="2").rows == 5
    assert "deleted and created again" in handle.text
    assert run(writer, path, run="mon", topic_id="2").rows == 0


@pytest.mark.parametrize("run_id", ["mon", None])
def test_an_unfinished_pass_is_refused_when_its_topic_is_new(
    writer: FakeRowWriter, tmp_path: Path, run_id: str | None
) -> None:
    path = write_customers(tmp_path, 5)
    run(writer, path, run=run_id, topic_id="1", limit=3)
    writer.kept = None
    with pytest.raises(DataError, match="deleted and created again since row 3"):
        run(writer, path, run=run_id, topic_id="2")
    assert run(writer, path, run=run_id, topic_id="2", restart=True).rows == 5


@pytest.mark.parametrize("limit", [10, None])
def test_nothing_is_said_where_file_and_kafka_agree(
    tmp_path: Path, handle: pytest.LogCaptureFixture, limit: int | None
) -> None:
    writer, path = FakeRowWriter(), write_customers(tmp_path, 25)
    run(writer, path, limit=limit)
    run(writer, path)
    Path(CHECKPOINT).unlink()
    run(writer, path)
    assert handle.text == ""


def test_a_lost_file_does_not_matter_where_kafka_keeps_the_progress(tmp_path: Path) -> None:
    writer, path = FakeRowWriter(), write_customers(tmp_path, 25)
    run(writer, path, limit=10)
    Path(CHECKPOINT).unlink()
    assert run(writer, path).resumed_from == 10


def test_an_unfinished_pass_of_another_file_is_an_error_in_either_delivery(
    writer: FakeRowWriter, tmp_path: Path
) -> None:
    run(writer, write_customers(tmp_path, 25), limit=10)
    (tmp_path / "b").mkdir()
    other = write_customers(tmp_path / "b", 5)
    with pytest.raises(DataError, match="unfinished pass of"):
        run(FakeRowWriter(stores_progress=writer.stores_progress), other)
    assert run(FakeRowWriter(stores_progress=writer.stores_progress), other, restart=True).rows == 5


def test_a_named_run_needs_no_checkpoint_file_where_kafka_keeps_the_progress(tmp_path: Path) -> None:
    """Tasks of one scheduler share a folder: each finds its own progress in Kafka."""
    run(FakeRowWriter(), write_customers(tmp_path, 25), run="a", limit=10)
    (tmp_path / "b").mkdir()
    assert run(FakeRowWriter(), write_customers(tmp_path / "b", 5), run="b").rows == 5


def test_finished_runs_of_the_file_survive_a_pass_whose_progress_is_in_kafka(tmp_path: Path) -> None:
    path, by_file = write_customers(tmp_path, 5), FakeRowWriter(stores_progress=False)
    run(by_file, path, run="mon")
    run(FakeRowWriter(), path)
    assert run(by_file, path, run="mon").rows == 0


def test_the_note_for_kafka_that_belongs_to_other_content_is_an_error(tmp_path: Path) -> None:
    writer, path = FakeRowWriter(), write_customers(tmp_path, 25)
    run(writer, path, limit=10)
    Path(CHECKPOINT).unlink()
    with pytest.raises(DataError, match="has changed since row 10"):
        run(writer, write_customers(tmp_path, 26))


def test_a_note_of_kafka_that_sent_nothing_is_no_pass(tmp_path: Path) -> None:
    path = write_customers(tmp_path, 5)
    writer = FakeRowWriter(kept=PassProgress(PassKey(str(path), "other content", "raw")))
    assert run(writer, path).rows == 5


def _stopping_at(writer: FakeRowWriter, stop: Stop, count: int) -> Any:
    """The outlet's `send`, during whose call number `count` somebody asks to stop."""
    calls = iter(range(1, 1_000))

    def send(topic: str, messages: Any) -> None:
        FakeRowWriter.send(writer, topic, messages)
        if next(calls) == count:
            stop.request()

    return send
