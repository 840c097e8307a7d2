import json
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from telco_stream.errors import DataError, UsageError
from telco_stream.produce.checkpoint import CheckpointFile, start_of
from telco_stream.produce.progress import (
    PassKey,
    PassProgress,
    decode_progress,
    encode_note,
    encode_progress,
    latest_progress,
)
from tests.support.waiting import wait_until

OF = PassKey("/data/a.csv", "sha", "raw")
HALF_WAY = PassProgress(OF).advanced(500, "2026-01-01T00:00:00.000Z")


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    file = CheckpointFile(tmp_path / "new" / "folder" / "c.json")
    written = replace(HALF_WAY, of=replace(OF, run_id="ä")).completed()
    file.write(written)
    assert file.read() == written


def test_the_file_names_the_last_row_the_last_time_and_the_total(tmp_path: Path) -> None:
    file = CheckpointFile(tmp_path / "c.json")
    file.write(HALF_WAY)
    kept = json.loads(file.path.read_text())
    assert (kept["last_processed_index"], kept["last_event_ts"], kept["total_sent"]) == (
        499,
        "2026-01-01T00:00:00.000Z",
        500,
    )


def test_no_file_is_no_progress(tmp_path: Path) -> None:
    assert CheckpointFile(tmp_path / "c.json").read() is None


def test_nothing_but_the_file_is_left_in_its_folder(tmp_path: Path) -> None:
    file = CheckpointFile(tmp_path / "c.json")
    for _ in range(3):
        file.write(HALF_WAY)
    assert [path.name for path in tmp_path.iterdir()] == ["c.json"]


def test_a_process_killed_while_it_writes_leaves_the_old_file(tmp_path: Path) -> None:
    """SIGKILL at any moment of a hundred writes: the file is whole, old or new."""
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
    kept = file.read()
    assert kept
    assert kept.total_sent >= 500


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
def test_a_damaged_checkpoint_is_refused_with_a_way_out(tmp_path: Path, text: str) -> None:
    """It may be another file given by mistake, so it is neither guessed at nor overwritten."""
    path = tmp_path / "c.json"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(DataError, match=r"is no checkpoint \(.*remove it.*--restart"):
        CheckpointFile(path).read()


def test_a_folder_in_the_file_s_place_is_a_data_error_to_read_and_a_usage_error_to_write(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="can't be read: Is a directory"):
        CheckpointFile(tmp_path).read()
    with pytest.raises(UsageError, match="Cannot write"):
        CheckpointFile(tmp_path).write(HALF_WAY)


def test_a_place_that_cannot_be_written_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"Cannot write .*c\.json"):
        CheckpointFile(tmp_path / "file" / "c.json").write(HALF_WAY)


def test_an_unfinished_pass_goes_on() -> None:
    assert start_of(OF, HALF_WAY) == HALF_WAY


@pytest.mark.parametrize(
    "found",
    [
        None,
        HALF_WAY.completed(),
        PassProgress(OF),
        PassProgress(replace(OF, file="/data/b.csv")),
        PassProgress(replace(OF, fingerprint="other")),
        replace(HALF_WAY, mode="streaming"),
        replace(HALF_WAY.completed(), of=replace(OF, file="/data/b.csv")),
    ],
)
def test_nothing_an_ended_pass_a_stream_and_a_pass_that_sent_nothing_let_a_new_one_begin(
    found: PassProgress | None,
) -> None:
    """Somebody who mends the first line of a bad file must not meet a checkpoint of it."""
    start = start_of(OF, found)
    assert (start.of, start.last_processed_index, start.total_sent, start.complete) == (OF, -1, 0, False)
    assert found is None or start.pass_id != found.pass_id


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"file": "/data/b.csv"}, "unfinished pass of /data/a.csv to raw; finish that one"),
        ({"topic": "other"}, "unfinished pass of /data/a.csv to raw; finish that one"),
        ({"fingerprint": "other"}, "/data/a.csv has changed since row 500"),
        ({"run_id": "monday"}, "the unfinished run without an id"),
    ],
)
def test_an_unfinished_pass_of_something_else_is_an_error_unless_it_starts_over(
    change: dict[str, str], words: str
) -> None:
    wanted = replace(OF, **change)
    with pytest.raises(DataError, match=words) as caught:
        start_of(wanted, HALF_WAY)
    assert "--restart" in str(caught.value)
    assert start_of(wanted, HALF_WAY, restart=True).last_processed_index == -1


def test_the_error_names_the_run_that_is_unfinished() -> None:
    with pytest.raises(DataError, match="the unfinished run monday"):
        start_of(OF, replace(HALF_WAY, of=replace(OF, run_id="monday")))


MONDAY = replace(OF, run_id="monday")
FIRST_MONDAY = replace(MONDAY, topic_id="1")
LATER: list[Callable[[PassProgress], PassProgress]] = [
    lambda done: done,
    lambda done: start_of(replace(OF, run_id="tuesday"), done).advanced(3, None),
    lambda done: start_of(replace(OF, run_id="tuesday"), done).advanced(3, None).completed(),
    lambda done: start_of(OF, done).advanced(3, None),
    lambda done: start_of(replace(MONDAY, fingerprint="other"), done).advanced(3, None),
    lambda done: start_of(replace(MONDAY, fingerprint="other"), done).advanced(3, None).completed(),
    lambda done: start_of(PassKey("/data/b.csv", "sha", "other"), done),
    lambda done: start_of(replace(OF, run_id="wednesday"), done, restart=True),
]


@pytest.mark.parametrize("later", LATER)
def test_a_finished_run_stays_finished_whatever_ran_after_it(later: Callable[[PassProgress], PassProgress]) -> None:
    """With another file or topic in between, too: one checkpoint file may serve many."""
    found = decode_progress(encode_progress(later(PassProgress(MONDAY).advanced(9, None).completed())))
    assert start_of(MONDAY, found).complete


def test_a_note_keeps_the_finished_contents_of_its_run() -> None:
    """In Kafka each run has a note to itself."""
    tuesday = PassProgress(replace(MONDAY, run_id="tuesday")).completed()
    first = start_of(MONDAY, tuesday).advanced(9, None).completed()
    second = start_of(replace(MONDAY, fingerprint="other"), first).advanced(9, None)
    kept = decode_progress(encode_note(second))
    assert start_of(MONDAY, kept).complete
    assert not kept.has_finished(tuesday.of)


def test_a_finished_run_is_known_wherever_its_file_is() -> None:
    done = PassProgress(MONDAY).advanced(9, None).completed()
    assert start_of(replace(MONDAY, file="/mnt/b.csv"), done).complete


@pytest.mark.parametrize(
    "change", [{"topic": "other"}, {"run_id": "x"}, {"run_id": None}, {"fingerprint": "other"}, {"topic_id": "2"}]
)
def test_a_finished_run_says_nothing_about_another(change: dict[str, Any]) -> None:
    done = PassProgress(FIRST_MONDAY).advanced(9, None).completed()
    start = start_of(replace(FIRST_MONDAY, **change), done)
    assert (start.complete, start.last_processed_index) == (False, -1)


def test_a_finished_run_that_starts_over_is_finished_only_when_it_ends_again() -> None:
    again = start_of(MONDAY, PassProgress(MONDAY).completed(), restart=True).advanced(3, None)
    assert start_of(MONDAY, again) == again
    assert start_of(MONDAY, again.completed()).complete


def test_an_unfinished_run_goes_on_wherever_its_file_is() -> None:
    elsewhere = replace(MONDAY, file="/mnt/b.csv")
    start = start_of(elsewhere, replace(HALF_WAY, of=MONDAY))
    assert (start.of, start.last_processed_index) == (elsewhere, 499)


def test_an_unfinished_run_is_refused_when_the_content_differs() -> None:
    with pytest.raises(DataError, match=r"run monday has sent 500 rows .* other content.*--run-id.*--restart"):
        start_of(replace(MONDAY, fingerprint="other"), replace(HALF_WAY, of=MONDAY))


@pytest.mark.parametrize("of", [OF, MONDAY], ids=["unnamed", "named"])
def test_an_unfinished_pass_is_refused_when_its_topic_is_new(of: PassKey) -> None:
    with pytest.raises(DataError, match=r"deleted and created again since row 500.*--restart"):
        start_of(replace(of, topic_id="2"), replace(HALF_WAY, of=replace(of, topic_id="1")))


@pytest.mark.parametrize(("before", "now"), [(None, "1"), ("1", None), ("1", "1")])
def test_a_pass_goes_on_when_its_topic_may_be_the_same(before: str | None, now: str | None) -> None:
    found = replace(HALF_WAY, of=replace(OF, topic_id=before))
    assert start_of(replace(OF, topic_id=now), found).last_processed_index == 499


def test_a_checkpoint_of_an_earlier_version_is_read() -> None:
    """It named its finished runs in another way, which is passed over."""
    old = json.loads(encode_progress(HALF_WAY)) | {"finished_runs": [["/data/a.csv", "raw", "monday"]]}
    del old["finished"], old["of"]["topic_id"]
    assert decode_progress(json.dumps(old)) == HALF_WAY


def test_a_note_fits_into_what_kafka_takes() -> None:
    """However much has finished, under the longest run ID and topic, in the client's longest letters."""
    of = PassKey("/" + "f" * 254, "0" * 64, "t" * 249, "\N{GRINNING FACE}" * 255, "1" * 22)
    done = PassProgress(of, pass_id="0" * 32)
    for number in range(200):
        done = replace(done, of=replace(of, fingerprint=f"{number:064x}"[::-1])).advanced(10**9, "t" * 24).completed()
    assert len(encode_note(done).encode()) <= 4_096
    assert start_of(replace(of, fingerprint=f"{199:064x}"[::-1]), decode_progress(encode_note(done))).complete


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
