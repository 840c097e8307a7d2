"""A pass over a file with bad rows: corrected and sent again, or with the bad rows in a file of their own."""

import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from telco_stream.errors import DataError, UsageError
from telco_stream.produce.loop import produce_pass
from telco_stream.produce.progress import decode_progress
from telco_stream.produce.results import SendResult
from telco_stream.runtime.signals import Stop
from tests.support.csv_chunks import read_chunks
from tests.support.csv_files import HEADER, customer, write_table
from tests.support.produce_harness import (
    CHECKPOINT,
    FakeRowWriter,
    customer_ids,
    make_deps,
    make_plan,
    write_customers,
)
from tests.support.telco import FORMAT

BAD_ROW = customer(customerID="bad", tenure="many")
BAD_ROWS = Path("bad.csv")


@pytest.fixture(params=[True, False], ids=["progress in kafka", "progress in the file"])
def writer(request: pytest.FixtureRequest) -> FakeRowWriter:
    return FakeRowWriter(stores_progress=request.param)


def run(writer: FakeRowWriter, path: Path, stop: Stop | None = None, **more: Any) -> SendResult:
    return produce_pass(make_plan(path, **more), make_deps(writer, stop))


@pytest.mark.parametrize("run_id", [None, "mon"])
def test_pass_continues_when_the_bad_row_was_corrected(writer: FakeRowWriter, tmp_path: Path, run_id: str) -> None:
    with pytest.raises(DataError, match=r"line 17: .*10 rows were sent; the same command continues"):
        run(writer, write_customers(tmp_path, 15, BAD_ROW), run=run_id)
    sent = run(writer, write_customers(tmp_path, 20), run=run_id)
    assert (sent.rows, sent.resumed_from, sent.stopped_by, sent.position) == (10, 10, "end", 20)
    assert writer.keys() == customer_ids((0, 20))
    assert run(writer, write_customers(tmp_path, 20), run="mon").stopped_by == ("already-complete" if run_id else "end")


@pytest.mark.parametrize("later", [12, 10])
def test_pass_continues_when_later_rows_were_removed(writer: FakeRowWriter, tmp_path: Path, later: int) -> None:
    run(writer, write_customers(tmp_path, 25), limit=10)
    assert run(writer, write_customers(tmp_path, later)).rows == later - 10
    assert writer.keys() == customer_ids((0, later))


def _changed(change: Callable[[list[str]], object]) -> Callable[[Path], None]:
    def apply(path: Path) -> None:
        lines = path.read_text().splitlines()
        change(lines)
        path.write_text("".join(f"{line}\n" for line in lines))

    return apply


CHANGES: dict[str, Callable[[Path], object]] = {
    "a sent row": _changed(lambda lines: lines.__setitem__(3, customer(customerID="other"))),
    "the last sent row": _changed(lambda lines: lines.__setitem__(10, customer(customerID="9", gender="Other"))),
    "a row before": _changed(lambda lines: lines.insert(1, customer(customerID="new"))),
    "a row less": _changed(lambda lines: lines.pop(5)),
    "too few rows": _changed(lambda lines: lines.__delitem__(slice(8, None))),
    "order of columns": _changed(
        lambda lines: lines.__setitem__(0, HEADER.replace("Partner,Dependents", "Dependents,Partner"))
    ),
    "line ends": lambda path: path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n")),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
@pytest.mark.parametrize("run_id", [None, "mon"])
def test_pass_is_refused_when_sent_rows_have_changed(
    writer: FakeRowWriter, tmp_path: Path, change: Callable[[Path], object], run_id: str
) -> None:
    path = write_customers(tmp_path, 25)
    run(writer, path, run=run_id, limit=10)
    content, stored = path.read_bytes(), Path(CHECKPOINT).read_text()
    change(path)
    with pytest.raises(DataError, match=r"10 rows.*--restart"):
        run(writer, path, run=run_id)
    assert (Path(CHECKPOINT).read_text(), writer.keys()) == (stored, customer_ids((0, 10)))
    path.write_bytes(content)
    assert run(writer, path, run=run_id).rows == 15
    assert writer.keys() == customer_ids((0, 25))


def test_pass_continues_when_a_byte_order_mark_was_added(writer: FakeRowWriter, tmp_path: Path) -> None:
    """As Excel adds one; it is not part of a row."""
    path = write_customers(tmp_path, 25)
    run(writer, path, limit=10)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert run(writer, path).rows == 15


def test_pass_restarts_when_sent_rows_have_changed(writer: FakeRowWriter, tmp_path: Path) -> None:
    run(writer, write_customers(tmp_path, 25), limit=10)
    changed = write_table(tmp_path, *[customer()] * 25)
    assert run(writer, changed, restart=True, limit=5).rows == 5
    assert run(writer, changed).rows == 20


NUMBERED = replace(FORMAT, number_rows=True)


def write_without_key(folder: Path, *lines: str) -> Path:
    return write_table(folder, *lines, header=HEADER.replace("customerID", "id"))


def test_pass_is_refused_when_its_format_is_another(writer: FakeRowWriter, tmp_path: Path) -> None:
    """The messages of the other rows would be others; `--restart` sends all of them again."""
    path = write_without_key(tmp_path, *[customer()] * 25)
    run(writer, path, limit=10, csv_format=NUMBERED)
    path = write_customers(tmp_path, 25)
    with pytest.raises(DataError, match="has sent 10 rows with --number-rows, and this command has the built-in"):
        run(writer, path)
    assert run(writer, path, restart=True, limit=5).rows == 5
    with pytest.raises(DataError, match=r"has sent 5 rows with the built-in .* --delimiter ';', --number"):
        run(writer, path, csv_format=replace(NUMBERED, delimiter=";"))


def test_pass_continues_when_an_earlier_version_stored_no_format(writer: FakeRowWriter, tmp_path: Path) -> None:
    path = write_customers(tmp_path, 25)
    run(writer, path, limit=10)
    stored = json.loads(Path(CHECKPOINT).read_text())
    del stored["of"]["row_format"]
    Path(CHECKPOINT).write_text(json.dumps(stored))
    if writer.stores_progress:
        writer.stored = decode_progress(json.dumps(stored))
    assert run(writer, path).rows == 15


def test_bad_rows_have_their_numbers_as_keys_when_numbered(writer: FakeRowWriter, tmp_path: Path) -> None:
    path = write_without_key(tmp_path, customer(), customer(tenure="many"), '"', customer())
    run(writer, path, bad_rows=BAD_ROWS, csv_format=NUMBERED)
    assert [line[:40].split(",")[:3] for line in bad_lines()] == [
        ["line", "reason", "customerID"],
        ["3", "tenure is not a number", "2"],
        ["4", "unexpected end of data", "3"],
    ]
    assert writer.keys() == ["1", "4"]


def test_bad_rows_have_the_delimiter_of_the_file(writer: FakeRowWriter, tmp_path: Path) -> None:
    path = write_table(tmp_path, BAD_ROW.replace(",", ";"), header=HEADER.replace(",", ";"))
    semicolons = replace(FORMAT, delimiter=";")
    run(writer, path, bad_rows=BAD_ROWS, csv_format=semicolons)
    BAD_ROWS.write_text(BAD_ROWS.read_text().replace("many", "12"))
    assert run(writer, BAD_ROWS, csv_format=semicolons).rows == 1
    assert run(writer, path, bad_rows=BAD_ROWS, csv_format=semicolons, restart=True).bad_rows == 1


def _forget_hash(writer: FakeRowWriter) -> None:
    """Store the progress as an earlier version did."""
    stored = json.loads(Path(CHECKPOINT).read_text())
    del stored["rows_hash"]
    Path(CHECKPOINT).write_text(json.dumps(stored))
    writer.stored = writer.stored and replace(writer.stored, rows_hash=None)


def test_pass_continues_when_an_earlier_version_sent_rows(writer: FakeRowWriter, tmp_path: Path) -> None:
    """It stored no hash of the rows, and continues with the same file only."""
    path = write_customers(tmp_path, 25)
    run(writer, path, limit=10)
    _forget_hash(writer)
    with pytest.raises(DataError, match="first 10 rows"):
        run(writer, write_customers(tmp_path, 26))
    assert run(writer, write_customers(tmp_path, 25), limit=5).rows == 5
    assert run(writer, write_customers(tmp_path, 26)).rows == 11
    assert writer.keys() == customer_ids((0, 26))


def test_pass_says_that_nothing_was_sent_when_row_1_is_bad(writer: FakeRowWriter, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="Nothing was sent yet; the same command without --restart continues"):
        run(writer, write_table(tmp_path, BAD_ROW), restart=True)


MIXED = [
    *(customer(customerID=str(number)) for number in range(3)),
    BAD_ROW,
    "",
    customer(customerID="3"),
    "ragged,row",
    customer(customerID='"4"'),
    customer(customerID="bad", gender='"never closed'),
    *(customer(customerID=str(number)) for number in range(5, 8)),
    customer(customerID=" "),
]
#: Line, reason and the start of the row.
EXPECTED = [
    ("5", "tenure is not a number", "bad,Female"),
    ("8", "2 fields instead of 21", "ragged,row"),
    ("10", "unexpected end of data", 'bad,"never'),
    ("14", "no customerID", " ,Female"),
]


def bad_lines() -> list[str]:
    return BAD_ROWS.read_text().splitlines()


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_pass_skips_bad_rows_when_they_have_a_file(writer: FakeRowWriter, tmp_path: Path, size: int) -> None:
    sent = run(writer, write_table(tmp_path, *MIXED), size=size, bad_rows=BAD_ROWS)
    assert writer.keys() == customer_ids((0, 8))
    assert (sent.rows, sent.bad_rows, sent.position, sent.stopped_by) == (8, 4, 12, "end")
    assert bad_lines()[0] == f"line,reason,{HEADER}"
    assert all(line.startswith(",".join(row)) for line, row in zip(bad_lines()[1:], EXPECTED, strict=True))


@pytest.mark.parametrize("seed", range(20))
def test_pass_resumes_exactly_when_bad_rows_are_skipped(
    writer: FakeRowWriter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Runs end after some rows, or lose a transaction; the last run has the whole file of bad rows."""
    monkeypatch.setattr("telco_stream.produce.loop._ROWS_PER_CONFIRMATION", 2)
    chance, path, bad_rows, count = random.Random(seed), write_table(tmp_path, *MIXED), 0, 0
    if writer.stores_progress:
        writer.loses = {number: chance.choice(["committed", "aborted", "unclear"]) for number in range(8)}
    for _ in range(20):
        sent = run(writer, path, size=chance.randint(1, 3), limit=chance.randint(1, 5), bad_rows=BAD_ROWS, run="mon")
        bad_rows, count = bad_rows + sent.bad_rows, count + sent.rows
        assert len(bad_lines()) == 1 + bad_rows
        if chance.random() < 0.3:
            BAD_ROWS.write_text("")  # lost, as on another machine
        if sent.stopped_by == "end":
            break
    assert (bad_rows, count, writer.keys()) == (4, 8, customer_ids((0, 8)))
    assert run(writer, path, bad_rows=BAD_ROWS, run="mon").stopped_by == "already-complete"


def test_bad_rows_are_those_before_a_stop_when_resumed(writer: FakeRowWriter, tmp_path: Path) -> None:
    """A killed run may have written later rows than it has sent."""
    path = write_table(tmp_path, *MIXED)
    run(writer, path, limit=4, size=1, bad_rows=BAD_ROWS)
    BAD_ROWS.write_text(BAD_ROWS.read_text() + "8,2 fields instead of 21,ragged,row\n14,cut of")
    run(writer, path, size=1, bad_rows=BAD_ROWS)
    assert [line.split(",")[0] for line in bad_lines()] == ["line", *(line for line, _, _ in EXPECTED)]


def test_bad_rows_can_be_sent_when_corrected(writer: FakeRowWriter, tmp_path: Path) -> None:
    run(writer, write_table(tmp_path, customer(), BAD_ROW), bad_rows=BAD_ROWS)
    BAD_ROWS.write_text(BAD_ROWS.read_text().replace("many", "12"))
    assert run(writer, BAD_ROWS).rows == 1
    assert writer.keys()[-1] == "bad"


def test_bad_rows_keep_their_bytes(writer: FakeRowWriter, tmp_path: Path) -> None:
    path = write_customers(tmp_path, 2)
    broken = customer(customerID="Zoë").encode("latin-1")
    path.write_bytes(path.read_bytes() + broken + b"\r\n" + customer(customerID="2").encode())
    run(writer, path, bad_rows=BAD_ROWS)
    assert BAD_ROWS.read_bytes().splitlines()[1] == b"4,not UTF-8," + broken
    assert writer.keys() == customer_ids((0, 3))


def test_bad_rows_file_has_a_header_only_when_all_are_good(writer: FakeRowWriter, tmp_path: Path) -> None:
    BAD_ROWS.write_text("line,reason,a\n5,old,x\n")
    assert run(writer, write_customers(tmp_path, 2), bad_rows=BAD_ROWS).bad_rows == 0
    assert bad_lines() == [f"line,reason,{HEADER}"]


def test_pass_counts_bad_rows_when_none_is_good(writer: FakeRowWriter, tmp_path: Path) -> None:
    sent = run(writer, write_table(tmp_path, BAD_ROW), bad_rows=BAD_ROWS)
    assert (sent.rows, sent.bad_rows, sent.stopped_by) == (0, 1, "end")


@pytest.mark.parametrize(
    ("name", "reason"), [("customers.csv", "is the file to send"), ("note.txt", "does not hold bad rows"), ("x/y", "x")]
)
def test_bad_rows_file_is_refused_when_it_is_another(tmp_path: Path, name: str, reason: str) -> None:
    path = write_customers(tmp_path, 2)
    (tmp_path / "note.txt").write_text("line 1")
    before = path.read_bytes()
    with pytest.raises(UsageError, match=reason):
        make_plan(path, bad_rows=tmp_path / name)
    assert (path.read_bytes(), (tmp_path / "note.txt").read_text()) == (before, "line 1")


def test_bad_rows_stay_when_the_file_to_send_is_refused(writer: FakeRowWriter, tmp_path: Path) -> None:
    run(writer, write_table(tmp_path, *MIXED), limit=4, bad_rows=BAD_ROWS)
    before = BAD_ROWS.read_text()
    with pytest.raises(DataError, match="first 4 rows"):
        run(writer, write_table(tmp_path, *MIXED[1:]), bad_rows=BAD_ROWS)
    assert BAD_ROWS.read_text() == before


def test_reader_resumes_after_a_quote_that_is_not_closed(tmp_path: Path) -> None:
    """Only its line is bad, also if a later quote seems to close it."""
    lines = [customer(customerID=str(number)) for number in range(2_000)]
    lines[700] = customer(customerID='"700')
    lines[900] = customer(customerID='"900, ""x"""')
    path = write_table(tmp_path, *lines)
    sent = FakeRowWriter()
    result = run(sent, path, size=1_000, bad_rows=BAD_ROWS)
    assert (result.rows, result.bad_rows) == (1_999, 1)
    good = write_table(tmp_path, *(line for number, line in enumerate(lines) if number != 700))
    assert sent.keys() == [row.key for chunk in read_chunks(good, 1_000, FORMAT) for row in chunk]
    assert [line.split(",")[0] for line in bad_lines()] == ["line", "702"]


@pytest.mark.parametrize(
    ("before", "run_id", "change", "repeats"),
    [(None, None, 0, True), (None, "mon", 0, False), (None, None, 1, False), (2, None, 0, False)],
)
def test_pass_says_when_it_repeats_an_earlier_one(
    writer: FakeRowWriter, tmp_path: Path, before: int | None, run_id: str | None, change: int, *, repeats: bool
) -> None:
    path = write_customers(tmp_path, 5)
    assert not run(writer, path, limit=before).is_repeat
    if writer.stores_progress and run_id:
        writer.stored = None  # each run has its own
    path = write_customers(tmp_path, 5 + change)
    assert run(writer, path, run=run_id).is_repeat is repeats
