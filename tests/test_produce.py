import errno
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from telco_stream.errors import DataError, UsageError
from telco_stream.produce.loop import produce_pass
from telco_stream.produce.progress import PassKey, PassProgress
from telco_stream.produce.results import SendResult
from telco_stream.produce.writer import MarkedProgress
from telco_stream.runtime.signals import Stop
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


@pytest.fixture(params=[True, False], ids=["progress in kafka", "progress in the file"])
def writer(request: pytest.FixtureRequest) -> FakeRowWriter:
    return FakeRowWriter(stores_progress=request.param)


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """Capture the log even if another test has configured the package's logger."""
    logger = logging.getLogger("telco_stream.produce.loop")
    logger.addHandler(caplog.handler)
    yield caplog
    logger.removeHandler(caplog.handler)


def checkpoint() -> dict[str, Any]:
    stored: dict[str, Any] = json.loads(Path(CHECKPOINT).read_text())
    return stored


def run(writer: FakeRowWriter, path: Path, stop: Stop | None = None, **more: Any) -> SendResult:
    return produce_pass(make_plan(path, **more), make_deps(writer, stop))


def test_pass_sends_each_row_once_in_order(writer: FakeRowWriter, tmp_path: Path) -> None:
    sent = run(writer, write_customers(tmp_path, 25))
    assert (sent.rows, sent.resumed_from, writer.keys()) == (25, None, customer_ids((0, 25)))
    assert checkpoint()["complete"]
    assert (checkpoint()["last_processed_index"], checkpoint()["total_sent"]) == (24, 25)


def test_pass_starts_again_when_the_last_one_finished(writer: FakeRowWriter, tmp_path: Path) -> None:
    path = write_customers(tmp_path, 3)
    assert [run(writer, path).rows, run(writer, path).rows] == [3, 3]
    assert writer.keys() == customer_ids((0, 3), (0, 3))


def test_pass_is_refused_when_the_file_has_no_rows(writer: FakeRowWriter, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no rows after its header"):
        run(writer, write_customers(tmp_path, 0))
    assert (writer.log, checkpoint()["complete"]) == ([], False)


def test_pass_sends_exactly_the_limit_and_resumes_after_it(writer: FakeRowWriter, tmp_path: Path) -> None:
    path = write_customers(tmp_path, 25)
    results = [run(writer, path, limit=limit) for limit in (7, 13, 4)]
    assert [(sent.rows, sent.resumed_from) for sent in results] == [(7, None), (13, 7), (4, 20)]
    assert writer.keys() == customer_ids((0, 24))
    assert not checkpoint()["complete"]
    assert run(writer, path, limit=100).rows == 1
    assert checkpoint()["complete"]


@pytest.mark.parametrize("size", [1, 5, 10, 11, 1000])
def test_pass_finishes_when_the_limit_is_the_last_row(writer: FakeRowWriter, tmp_path: Path, size: int) -> None:
    run(writer, write_customers(tmp_path, 10), size=size, limit=10)
    assert checkpoint()["complete"]
    assert writer.keys() == customer_ids((0, 10))


@pytest.mark.parametrize("size", [1, 3, 9, 1000])
def test_pass_is_unfinished_when_the_limit_is_one_row_less(writer: FakeRowWriter, tmp_path: Path, size: int) -> None:
    run(writer, write_customers(tmp_path, 10), size=size, limit=9)
    assert not checkpoint()["complete"]
    assert writer.keys() == customer_ids((0, 9))


def test_pass_stamps_each_chunk_and_stores_the_last_time(writer: FakeRowWriter, tmp_path: Path) -> None:
    run(writer, write_customers(tmp_path, 15))
    assert writer.times() == ["t0"] * 10 + ["t1"] * 5
    assert checkpoint()["last_event_ts"] == "t1"


def test_pass_confirms_once_when_chunks_are_small(writer: FakeRowWriter, tmp_path: Path) -> None:
    run(writer, write_customers(tmp_path, 60), size=7)
    assert writer.sizes == [60]


@pytest.mark.parametrize("size", [3_000, 20_000, 1_000_000])
def test_pass_confirms_at_most_20_000_rows_at_once(tmp_path: Path, size: int) -> None:
    writer = FakeRowWriter()
    run(writer, write_customers(tmp_path, 45_000), size=size)
    assert max(writer.sizes) <= 20_000
    assert writer.keys() == customer_ids((0, 45_000))


def test_pass_stores_only_confirmed_rows(writer: FakeRowWriter, tmp_path: Path) -> None:
    totals = []
    writer.after = lambda _: totals.append(checkpoint()["total_sent"])
    run(writer, write_customers(tmp_path, 30), limit=20)
    run(writer, write_customers(tmp_path, 30))
    assert totals == [0, 20]


def test_pass_ends_after_the_chunk_when_stopped_and_resumes(writer: FakeRowWriter, tmp_path: Path) -> None:
    path, stop = write_customers(tmp_path, 95), Stop()
    writer.send = _stop_at_send(writer, stop, 3)  # type: ignore[method-assign]
    sent = run(writer, path, stop)
    assert (sent.rows, checkpoint()["total_sent"], writer.keys()) == (30, 30, customer_ids((0, 30)))
    del writer.send
    assert run(writer, path).resumed_from == 30
    assert writer.keys() == customer_ids((0, 95))


def test_pass_stores_no_rows_when_stopped_before_confirmation(writer: FakeRowWriter, tmp_path: Path) -> None:
    path, stop = write_customers(tmp_path, 95), Stop()
    run(writer, path, limit=40)
    writer.send = _stop_at_send(writer, stop, 2)  # type: ignore[method-assign]
    writer.loses = {1: "never"}
    sent = run(writer, path, stop)
    assert (sent.rows, sent.resumed_from, writer.unconfirmed()) == (0, 40, 20)
    assert checkpoint()["total_sent"] == 40


def test_pass_sends_nothing_when_stopped_before_the_start(writer: FakeRowWriter, tmp_path: Path) -> None:
    path, stop = write_customers(tmp_path, 20), Stop()
    run(writer, path, limit=10)
    stop.request()
    assert run(writer, path, stop).rows == 0
    assert checkpoint()["total_sent"] == 10


@pytest.mark.parametrize("fate", ["aborted", "unclear"])
@pytest.mark.parametrize("lost", [0, 1, 2])
def test_pass_resumes_from_kafka_when_a_transaction_is_lost(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fate: str, lost: int
) -> None:
    """Each row is there once, whether the commit was applied or not."""
    monkeypatch.setattr("telco_stream.produce.loop._ROWS_PER_CONFIRMATION", 10)
    writer = FakeRowWriter(loses={lost: fate})
    sent = run(writer, write_customers(tmp_path, 25))
    assert (writer.keys(), sent.rows) == (customer_ids((0, 25)), 25)
    assert checkpoint()["complete"]
    assert checkpoint()["total_sent"] == 25


def test_pass_starts_at_row_0_when_its_first_transaction_is_lost(tmp_path: Path) -> None:
    """Kafka then has the progress of the finished pass."""
    writer, path = FakeRowWriter(), write_customers(tmp_path, 5)
    run(writer, path)
    writer.loses = {1: "aborted"}
    assert run(writer, path).rows == 5
    assert writer.keys() == customer_ids((0, 5), (0, 5))


BAD_ROW = customer(customerID="bad", tenure="many")


def test_pass_sends_the_chunks_before_it_when_a_row_is_invalid(writer: FakeRowWriter, tmp_path: Path) -> None:
    path = write_customers(tmp_path, 25, BAD_ROW, customer(customerID="after"))
    with pytest.raises(DataError, match=r"customers.csv, line 27: tenure is not a number"):
        run(writer, path)
    assert writer.keys() == customer_ids((0, 20))
    assert checkpoint()["total_sent"] == 20
    with pytest.raises(DataError, match="line 27"):
        run(writer, path)
    assert writer.keys() == customer_ids((0, 20))


def test_pass_starts_when_an_invalid_first_chunk_is_corrected(writer: FakeRowWriter, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="line 4"):
        run(writer, write_customers(tmp_path, 2, BAD_ROW))
    assert writer.log == []
    assert run(writer, write_customers(tmp_path, 2)).rows == 2


def test_pass_ignores_an_invalid_row_when_it_is_beyond_the_limit(writer: FakeRowWriter, tmp_path: Path) -> None:
    assert run(writer, write_customers(tmp_path, 10, BAD_ROW), limit=10).rows == 10
    assert not checkpoint()["complete"]


def test_pass_reports_each_confirmed_row_to_the_observer(writer: FakeRowWriter, tmp_path: Path) -> None:
    deps = make_deps(writer)
    produce_pass(make_plan(write_customers(tmp_path, 33)), deps)
    assert isinstance(deps.observer, CountingObserver)
    assert deps.observer.rows == 33


def test_pass_sends_nothing_when_the_checkpoint_is_not_writable(writer: FakeRowWriter, tmp_path: Path) -> None:
    path = write_customers(tmp_path, 5)
    Path(CHECKPOINT).parent.write_text("a file where the folder should be")
    with pytest.raises((UsageError, DataError)):
        run(writer, path)
    assert writer.log == []


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EIO])
def test_pass_warns_once_when_an_unneeded_file_is_not_writable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: pytest.LogCaptureFixture, code: int
) -> None:
    """The disk fills up after the first confirmation; the progress is in Kafka."""
    monkeypatch.setattr("telco_stream.produce.loop._ROWS_PER_CONFIRMATION", 10)
    writer, path = FakeRowWriter(after=lambda _: _break_disk(monkeypatch, code)), write_customers(tmp_path, 45)
    assert run(writer, path).rows == 45
    assert writer.keys() == customer_ids((0, 45))
    warnings = [record.getMessage() for record in set(log.records) if record.levelno >= logging.WARNING]
    assert [os.strerror(code) in warning and CHECKPOINT in warning for warning in warnings] == [True]


def test_pass_reports_sent_rows_when_its_file_is_not_writable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At least once, only the file has the progress."""
    monkeypatch.setattr("telco_stream.produce.loop._ROWS_PER_CONFIRMATION", 10)

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


def test_run_sends_nothing_when_it_has_finished(writer: FakeRowWriter, tmp_path: Path) -> None:
    path = write_customers(tmp_path, 5)
    topics: dict[str, FakeRowWriter] = {}
    for name, rows in (("mon", 5), ("mon", 0), ("tue", 5), ("mon", 0), ("tue", 0)):
        # Kafka stores the progress of each run separately.
        run_writer = topics.setdefault(name, FakeRowWriter()) if writer.stores_progress else writer
        assert run(run_writer, path, run=name).rows == rows, name


def test_run_resumes_when_it_was_interrupted(writer: FakeRowWriter, tmp_path: Path) -> None:
    path = write_customers(tmp_path, 25)
    run(writer, path, run="mon", limit=12)
    assert run(writer, path, run="mon").resumed_from == 12
    assert run(writer, path, run="mon").rows == 0
    assert writer.keys() == customer_ids((0, 25))


def test_run_starts_over_when_restarted(writer: FakeRowWriter, tmp_path: Path) -> None:
    path = write_customers(tmp_path, 5)
    assert [run(writer, path, run="mon", restart=again).rows for again in (False, True, False)] == [5, 5, 0]


def test_pass_ignores_a_damaged_checkpoint_when_restarted(writer: FakeRowWriter, tmp_path: Path) -> None:
    path = write_customers(tmp_path, 5)
    Path(CHECKPOINT).parent.mkdir()
    Path(CHECKPOINT).write_text("{")
    with pytest.raises(DataError, match="is not a checkpoint"):
        run(writer, path)
    assert run(writer, path, restart=True).rows == 5


def test_pass_resumes_from_kafka_when_the_file_is_behind(tmp_path: Path, log: pytest.LogCaptureFixture) -> None:
    """As after a kill between the commit and writing the file."""
    writer, path = FakeRowWriter(), write_customers(tmp_path, 25)
    run(writer, path, limit=10)
    older = Path(CHECKPOINT).read_text()
    run(writer, path, limit=10)
    Path(CHECKPOINT).write_text(older)
    log.clear()
    assert run(writer, path).resumed_from == 20
    assert "the checkpoint file says row 10, Kafka says row 20; continuing from Kafka's row" in log.text
    assert writer.keys() == customer_ids((0, 25))


def test_pass_is_refused_when_only_the_file_has_progress(tmp_path: Path, log: pytest.LogCaptureFixture) -> None:
    """Kafka has deleted the offset, and later rows than the file's may have been sent; the error names two ways out."""
    path = write_customers(tmp_path, 25)
    run(FakeRowWriter(), path, limit=10)
    fresh = FakeRowWriter()
    with pytest.raises(DataError, match=r"--restart, or continue after row 10, .* --delivery at-least-once"):
        run(fresh, path)
    assert (fresh.log, fresh.searches, log.text) == ([], [True], "")
    assert run(FakeRowWriter(stores_progress=False), path, limit=1).resumed_from == 10
    assert run(fresh, path, restart=True).rows == 25


def test_run_sends_nothing_when_the_file_has_it_finished(tmp_path: Path) -> None:
    """The file is written after the commit, and so is never ahead."""
    path = write_customers(tmp_path, 25)
    run(FakeRowWriter(), path, run="mon")
    assert run(FakeRowWriter(), path, run="mon").rows == 0


def test_pass_resumes_from_its_mark_when_the_offset_is_gone(tmp_path: Path, log: pytest.LogCaptureFixture) -> None:
    """With the file one transaction behind, and without the file."""
    writer, path = FakeRowWriter(), write_customers(tmp_path, 25)
    run(writer, path, limit=10)
    older = Path(CHECKPOINT).read_text()
    run(writer, path, limit=10)
    assert writer.stored
    marked = MarkedProgress(writer.stored, is_certain=True)
    for stored in (older, None):
        Path(CHECKPOINT).unlink()
        if stored:
            Path(CHECKPOINT).write_text(stored)
        again = FakeRowWriter(marked=marked)
        sent = run(again, path)
        assert (sent.resumed_from, again.keys(), again.searches) == (20, customer_ids((20, 25)), [stored is not None])
        assert "has deleted the progress of this pass; according to its records, row 20 was the last" in log.text
        assert "continuing from Kafka's row" not in log.text


def test_run_sends_nothing_when_its_mark_has_it_finished(tmp_path: Path) -> None:
    writer, path = FakeRowWriter(), write_customers(tmp_path, 25)
    run(writer, path, run="mon")
    Path(CHECKPOINT).unlink()
    assert writer.stored
    for is_certain in (True, False):
        assert run(FakeRowWriter(marked=MarkedProgress(writer.stored, is_certain)), path, run="mon").rows == 0


def test_pass_starts_again_when_its_mark_has_it_finished(tmp_path: Path) -> None:
    writer, path = FakeRowWriter(), write_customers(tmp_path, 25)
    run(writer, path)
    assert writer.stored
    assert run(FakeRowWriter(marked=MarkedProgress(writer.stored, is_certain=True)), path).rows == 25


@pytest.mark.parametrize("has_file", [True, False])
def test_pass_is_refused_when_newer_marks_may_be_gone(tmp_path: Path, *, has_file: bool) -> None:
    writer, path = FakeRowWriter(), write_customers(tmp_path, 25)
    run(writer, path, limit=10)
    if not has_file:
        Path(CHECKPOINT).unlink()
    assert writer.stored
    with pytest.raises(DataError, match=r"doesn't show how far it came.*--restart") as refusal:
        run(FakeRowWriter(marked=MarkedProgress(writer.stored, is_certain=False)), path)
    assert ("at-least-once" in str(refusal.value)) == has_file


def test_pass_resumes_from_its_mark_when_offsets_expire_in_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As after an outage longer than Kafka keeps offsets: the mark shows that the uncertain commit happened."""
    monkeypatch.setattr("telco_stream.produce.loop._ROWS_PER_CONFIRMATION", 10)
    writer = FakeRowWriter(loses={1: "unclear"})

    def expire(writer: FakeRowWriter) -> None:
        if len(writer.sizes) == 2 and writer.stored:
            writer.marked, writer.stored = MarkedProgress(writer.stored, is_certain=True), None

    writer.after = expire
    assert run(writer, write_customers(tmp_path, 35)).rows == 35
    assert writer.keys() == customer_ids((0, 35))


@pytest.mark.parametrize(("rows", "expected"), [(20, [(9, False), (19, True)]), (15, [(9, False), (14, True)])])
def test_pass_is_finished_with_the_confirmation_of_its_last_row(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, rows: int, expected: list[tuple[int, bool]]
) -> None:
    """So the mark of the last record has `complete`."""
    monkeypatch.setattr("telco_stream.produce.loop._ROWS_PER_CONFIRMATION", 10)
    confirmed: list[tuple[int, bool]] = []
    writer = FakeRowWriter(after=lambda at: confirmed.append((at.stored.last_processed_index, at.stored.complete)))  # type: ignore[union-attr]
    run(writer, write_customers(tmp_path, rows), size=5)
    assert confirmed == expected


def test_run_resumes_when_its_file_has_moved(writer: FakeRowWriter, tmp_path: Path) -> None:
    path, elsewhere = write_customers(tmp_path, 25), tmp_path / "mount" / "renamed.csv"
    elsewhere.parent.mkdir()
    elsewhere.write_bytes(path.read_bytes())
    run(writer, path, run="mon", limit=10)
    assert run(writer, elsewhere, run="mon").resumed_from == 10
    assert run(writer, path, run="mon").rows == 0
    assert writer.keys() == customer_ids((0, 25))


def test_run_sends_each_content_once(writer: FakeRowWriter, tmp_path: Path) -> None:
    for rows, sent in ((5, 5), (6, 6), (5, 0), (6, 0)):
        assert run(writer, write_customers(tmp_path, rows), run="mon").rows == sent


def test_run_starts_again_when_its_topic_was_recreated(
    writer: FakeRowWriter, tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    path = write_customers(tmp_path, 5)
    assert run(writer, path, run="mon", topic_id="1").rows == 5
    writer.stored = None  # Kafka deletes the offsets of a topic with it
    assert run(writer, path, run="mon", topic_id="2").rows == 5
    assert "deleted and created again" in log.text
    assert run(writer, path, run="mon", topic_id="2").rows == 0


@pytest.mark.parametrize("run_id", ["mon", None])
def test_pass_is_refused_when_its_topic_was_recreated(
    writer: FakeRowWriter, tmp_path: Path, run_id: str | None
) -> None:
    path = write_customers(tmp_path, 5)
    run(writer, path, run=run_id, topic_id="1", limit=3)
    writer.stored = None
    with pytest.raises(DataError, match="deleted and created again since row 3"):
        run(writer, path, run=run_id, topic_id="2")
    assert run(writer, path, run=run_id, topic_id="2", restart=True).rows == 5


@pytest.mark.parametrize("limit", [10, None])
def test_pass_logs_nothing_when_file_and_kafka_agree(
    tmp_path: Path, log: pytest.LogCaptureFixture, limit: int | None
) -> None:
    """A finished pass is begun again, which is logged before its first row; a pass that is continued is not."""
    writer, path = FakeRowWriter(), write_customers(tmp_path, 25)
    run(writer, path, limit=limit)
    run(writer, path)
    assert len(set(log.messages)) == (limit is None)
    Path(CHECKPOINT).unlink()
    log.clear()
    run(writer, path)
    (message,) = set(log.messages)
    assert message.startswith("an earlier run has sent customers.csv")


def test_pass_resumes_from_kafka_when_the_file_is_gone(tmp_path: Path) -> None:
    writer, path = FakeRowWriter(), write_customers(tmp_path, 25)
    run(writer, path, limit=10)
    Path(CHECKPOINT).unlink()
    assert run(writer, path).resumed_from == 10


def test_pass_is_refused_when_another_file_is_unfinished(writer: FakeRowWriter, tmp_path: Path) -> None:
    run(writer, write_customers(tmp_path, 25), limit=10)
    (tmp_path / "b").mkdir()
    other = write_customers(tmp_path / "b", 5)
    with pytest.raises(DataError, match="unfinished pass of"):
        run(FakeRowWriter(stores_progress=writer.stores_progress), other)
    assert run(FakeRowWriter(stores_progress=writer.stores_progress), other, restart=True).rows == 5


def test_run_starts_when_another_run_is_in_the_file(tmp_path: Path) -> None:
    """Tasks of a scheduler share a folder; the progress of each is in Kafka."""
    run(FakeRowWriter(), write_customers(tmp_path, 25), run="a", limit=10)
    (tmp_path / "b").mkdir()
    assert run(FakeRowWriter(), write_customers(tmp_path / "b", 5), run="b").rows == 5


def test_run_stays_finished_when_a_pass_rewrites_the_file(tmp_path: Path) -> None:
    path, by_file = write_customers(tmp_path, 5), FakeRowWriter(stores_progress=False)
    run(by_file, path, run="mon")
    run(FakeRowWriter(), path)
    assert run(by_file, path, run="mon").rows == 0


def test_pass_starts_when_kafka_has_progress_without_rows(tmp_path: Path) -> None:
    path = write_customers(tmp_path, 5)
    writer = FakeRowWriter(stored=PassProgress(PassKey(str(path), "other content", "raw")))
    assert run(writer, path).rows == 5


def _stop_at_send(writer: FakeRowWriter, stop: Stop, count: int) -> Any:
    """Return a `send` that requests a stop in its call number `count`."""
    calls = iter(range(1, 1_000))

    def send(topic: str, messages: Any) -> None:
        FakeRowWriter.send(writer, topic, messages)
        if next(calls) == count:
            stop.request()

    return send
