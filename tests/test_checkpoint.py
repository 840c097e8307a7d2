import json
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from telco_stream.errors import DataError, UsageError
from telco_stream.produce.progress import (
    CheckpointFile,
    PassKey,
    PassProgress,
    decode_progress,
    encode_metadata,
    encode_progress,
    latest_progress,
)
from telco_stream.produce.start import start_of
from tests.support.waiting import wait_until

KEY = PassKey("/data/a.csv", "sha", "raw")
HALF_WAY = PassProgress(KEY).advanced(500, "2026-01-01T00:00:00.000Z")


def test_checkpoint_reads_what_it_wrote(tmp_path: Path) -> None:
    file = CheckpointFile(tmp_path / "new" / "folder" / "c.json")
    written = replace(HALF_WAY, of=replace(KEY, run_id="ä")).completed()
    file.write(written)
    assert file.read() == written


def test_checkpoint_has_last_row_last_time_and_total(tmp_path: Path) -> None:
    file = CheckpointFile(tmp_path / "c.json")
    file.write(HALF_WAY)
    stored = json.loads(file.path.read_text())
    assert (stored["last_processed_index"], stored["last_event_ts"], stored["total_sent"]) == (
        499,
        "2026-01-01T00:00:00.000Z",
        500,
    )


def test_checkpoint_is_none_without_a_file(tmp_path: Path) -> None:
    assert CheckpointFile(tmp_path / "c.json").read() is None


def test_checkpoint_leaves_no_other_file(tmp_path: Path) -> None:
    file = CheckpointFile(tmp_path / "c.json")
    for _ in range(3):
        file.write(HALF_WAY)
    assert [path.name for path in tmp_path.iterdir()] == ["c.json"]


def test_checkpoint_is_whole_when_the_writer_is_killed(tmp_path: Path) -> None:
    """The file is whole, old or new, whenever the writer is killed."""
    file = CheckpointFile(tmp_path / "c.json")
    file.write(HALF_WAY)
    if (child := os.fork()) == 0:
        number = 0
        while True:
            number += 1
            file.write(HALF_WAY.advanced(number, None))
    first = file.path.stat().st_ino
    wait_until(lambda: file.path.stat().st_ino != first, what="a write of the other process")
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    stored = file.read()
    assert stored
    assert stored.total_sent >= 500


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "5",
        "null",
        '"text"',
        "[" * 100_000,
        "customerID,gender\n",
        '{"last_processed_index": 3}',
        encode_progress(HALF_WAY).replace("499", "-7"),
        encode_progress(HALF_WAY).replace("499", '"499"'),
        encode_progress(HALF_WAY).replace("499", "1e400"),
        encode_progress(HALF_WAY).replace('"batch"', '"other"'),
        encode_progress(HALF_WAY).replace('"sha"', "null"),
        encode_progress(HALF_WAY)[:-5],
        "\udcff",
    ],
)
def test_checkpoint_is_refused_when_damaged(tmp_path: Path, text: str) -> None:
    """It may be another file, given by mistake, so it is not overwritten."""
    path = tmp_path / "c.json"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(DataError, match=r"is not a checkpoint \(.*remove it.*--restart"):
        CheckpointFile(path).read()


def test_checkpoint_is_refused_when_it_is_a_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="can't be read: Is a directory"):
        CheckpointFile(tmp_path).read()
    with pytest.raises(UsageError, match="Cannot write"):
        CheckpointFile(tmp_path).write(HALF_WAY)


def test_checkpoint_raises_usage_error_when_not_writable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"Cannot write .*c\.json"):
        CheckpointFile(tmp_path / "file" / "c.json").write(HALF_WAY)


def test_start_resumes_an_unfinished_pass() -> None:
    assert start_of(KEY, HALF_WAY) == HALF_WAY


def test_start_leaves_changed_rows_to_their_hash() -> None:
    """The whole file may differ in later rows."""
    stored = replace(HALF_WAY, rows_hash="hash")
    start = start_of(replace(KEY, fingerprint="other"), stored)
    assert (start.of.fingerprint, start.last_processed_index, start.rows_hash) == ("other", 499, "hash")


@pytest.mark.parametrize(
    "stored",
    [
        None,
        HALF_WAY.completed(),
        PassProgress(KEY),
        PassProgress(replace(KEY, file="/data/b.csv")),
        PassProgress(replace(KEY, fingerprint="other")),
        replace(HALF_WAY, mode="streaming"),
        replace(HALF_WAY.completed(), of=replace(KEY, file="/data/b.csv")),
    ],
)
def test_start_is_row_0_when_nothing_is_unfinished(
    stored: PassProgress | None,
) -> None:
    """A file whose first line was corrected starts again."""
    start = start_of(KEY, stored)
    assert (start.of, start.last_processed_index, start.total_sent, start.complete) == (KEY, -1, 0, False)
    assert stored is None or start.pass_id != stored.pass_id


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"file": "/data/b.csv"}, "unfinished pass of /data/a.csv to raw; finish it"),
        ({"topic": "other"}, "unfinished pass of /data/a.csv to raw; finish it"),
        ({"fingerprint": "other"}, "first 500 rows of /data/a.csv has changed"),
        ({"run_id": "monday"}, "the unfinished pass without --run-id"),
    ],
)
def test_start_is_refused_when_another_pass_is_unfinished(change: dict[str, str], text: str) -> None:
    pass_key = replace(KEY, **change)
    with pytest.raises(DataError, match=text) as caught:
        start_of(pass_key, HALF_WAY)
    assert "--restart" in str(caught.value)
    assert start_of(pass_key, HALF_WAY, restart=True).last_processed_index == -1


def test_start_names_the_run_when_it_is_unfinished() -> None:
    with pytest.raises(DataError, match="the unfinished run monday"):
        start_of(KEY, replace(HALF_WAY, of=replace(KEY, run_id="monday")))


MONDAY = replace(KEY, run_id="monday")
FIRST_MONDAY = replace(MONDAY, topic_id="1")
LATER: list[Callable[[PassProgress], PassProgress]] = [
    lambda done: done,
    lambda done: start_of(replace(KEY, run_id="tuesday"), done).advanced(3, None),
    lambda done: start_of(replace(KEY, run_id="tuesday"), done).advanced(3, None).completed(),
    lambda done: start_of(KEY, done).advanced(3, None),
    lambda done: start_of(replace(MONDAY, fingerprint="other"), done).advanced(3, None),
    lambda done: start_of(replace(MONDAY, fingerprint="other"), done).advanced(3, None).completed(),
    lambda done: start_of(PassKey("/data/b.csv", "sha", "other"), done),
    lambda done: start_of(replace(KEY, run_id="wednesday"), done, restart=True),
]


@pytest.mark.parametrize("later", LATER)
def test_start_is_complete_when_other_passes_followed(later: Callable[[PassProgress], PassProgress]) -> None:
    """Passes of other files or to other topics can share the checkpoint file."""
    stored = decode_progress(encode_progress(later(PassProgress(MONDAY).advanced(9, None).completed())))
    assert start_of(MONDAY, stored).complete


def test_metadata_has_the_finished_contents_of_its_run() -> None:
    """Kafka stores the progress of each run separately."""
    tuesday = PassProgress(replace(MONDAY, run_id="tuesday")).completed()
    first = start_of(MONDAY, tuesday).advanced(9, None).completed()
    second = start_of(replace(MONDAY, fingerprint="other"), first).advanced(9, None)
    stored = decode_progress(encode_metadata(second))
    assert start_of(MONDAY, stored).complete
    assert not stored.has_finished(tuesday.of)


def test_start_is_complete_when_the_file_has_moved() -> None:
    done = PassProgress(MONDAY).advanced(9, None).completed()
    assert start_of(replace(MONDAY, file="/mnt/b.csv"), done).complete


@pytest.mark.parametrize(
    "change", [{"topic": "other"}, {"run_id": "x"}, {"run_id": None}, {"fingerprint": "other"}, {"topic_id": "2"}]
)
def test_start_is_row_0_when_another_run_has_finished(change: dict[str, Any]) -> None:
    done = PassProgress(FIRST_MONDAY).advanced(9, None).completed()
    start = start_of(replace(FIRST_MONDAY, **change), done)
    assert (start.complete, start.last_processed_index) == (False, -1)


def test_start_resumes_when_a_restarted_run_is_unfinished() -> None:
    again = start_of(MONDAY, PassProgress(MONDAY).completed(), restart=True).advanced(3, None)
    assert start_of(MONDAY, again) == again
    assert start_of(MONDAY, again.completed()).complete


def test_start_resumes_a_run_when_the_file_has_moved() -> None:
    elsewhere = replace(MONDAY, file="/mnt/b.csv")
    start = start_of(elsewhere, replace(HALF_WAY, of=MONDAY))
    assert (start.of, start.last_processed_index) == (elsewhere, 499)


def test_start_is_refused_when_the_content_of_a_run_differs() -> None:
    with pytest.raises(DataError, match=r"run monday has sent 500 rows, which this file .*--run-id.*--restart"):
        start_of(replace(MONDAY, fingerprint="other"), replace(HALF_WAY, of=MONDAY))


@pytest.mark.parametrize("of", [KEY, MONDAY], ids=["unnamed", "named"])
def test_start_is_refused_when_the_topic_was_recreated(of: PassKey) -> None:
    with pytest.raises(DataError, match=r"deleted and created again since row 500.*--restart"):
        start_of(replace(of, topic_id="2"), replace(HALF_WAY, of=replace(of, topic_id="1")))


@pytest.mark.parametrize(("before", "now"), [(None, "1"), ("1", None), ("1", "1")])
def test_start_resumes_when_the_topic_may_be_the_same(before: str | None, now: str | None) -> None:
    stored = replace(HALF_WAY, of=replace(KEY, topic_id=before))
    assert start_of(replace(KEY, topic_id=now), stored).last_processed_index == 499


def test_decode_progress_reads_an_earlier_version() -> None:
    """Its list of finished runs had another form, which is ignored."""
    old = json.loads(encode_progress(HALF_WAY)) | {"finished_runs": [["/data/a.csv", "raw", "monday"]]}
    del old["finished"], old["of"]["topic_id"], old["rows_hash"]
    assert decode_progress(json.dumps(old)) == HALF_WAY


def test_metadata_has_at_most_4_kib() -> None:
    """With many finished contents and the longest file, topic and run ID."""
    of = PassKey("/" + "f" * 254, "0" * 64, "t" * 249, "\N{GRINNING FACE}" * 255, "1" * 22)
    done = PassProgress(of, pass_id="0" * 32, rows_hash="0" * 64)
    for number in range(200):
        done = (
            replace(done, of=replace(of, fingerprint=f"{number:064x}"[::-1]))
            .advanced(10**9, "t" * 24, rows_hash="0" * 64)
            .completed()
        )
    assert len(encode_metadata(done).encode()) <= 4_096
    assert start_of(replace(of, fingerprint=f"{199:064x}"[::-1]), decode_progress(encode_metadata(done))).complete


def _mark(pass_id: str, time: str, rows: int, **of: str) -> PassProgress:
    return replace(PassProgress(replace(MONDAY, **of), pass_id=pass_id).advanced(rows, time))


def test_latest_progress_is_of_the_newest_pass() -> None:
    first, second = _mark("a", "t1", 9, fingerprint="one").completed(), _mark("b", "t2", 5, fingerprint="two")
    latest = latest_progress([second, first])
    assert latest
    assert (latest.pass_id, latest.last_processed_index, latest.is_unfinished) == ("b", 4, True)
    assert latest.has_finished(first.of)
    assert not latest.has_finished(second.of)


def test_latest_progress_is_unfinished_when_a_run_started_over() -> None:
    latest = latest_progress([_mark("a", "t1", 9).completed(), _mark("b", "t2", 5)])
    start = start_of(MONDAY, latest)
    assert (start.last_processed_index, start.complete) == (4, False)


def test_latest_progress_is_none_without_marks() -> None:
    assert latest_progress([]) is None
