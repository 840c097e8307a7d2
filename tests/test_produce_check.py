"""`produce --check`, which needs no broker, and what `produce` says at its end."""

import gzip
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from telco_stream.display.produce_end import describe_end
from telco_stream.produce.results import ProduceResult
from telco_stream.produce.run import ProduceOptions
from tests.support.csv_files import HEADER, customer, write_table
from tests.support.in_process import run_in_process
from tests.support.telco import FORMAT

NOWHERE = "127.0.0.1:1"
BAD_ROW = customer(customerID="SECRET", tenure="many")


def check(path: Path, *options: str) -> tuple[int, dict[str, Any], str]:
    """Return the exit code, the result and stderr."""
    command = ("produce", "--check", "--data-path", str(path), "--output", "json", "--broker", NOWHERE, *options)
    done = run_in_process(*command)
    return done.code, json.loads(done.out or "{}"), done.err


def test_check_exits_0_when_all_rows_are_good(tmp_path: Path) -> None:
    path = write_table(tmp_path, *[customer()] * 3, "", customer())
    assert check(path) == (
        0,
        {"file": str(path), "rows": 4, "bad_rows": 0, "errors": []},
        f"All 4 rows of {path} can be sent.\n",
    )


def test_check_lists_each_bad_row_when_there_are_some(tmp_path: Path) -> None:
    path = write_table(tmp_path, customer(), BAD_ROW, "", "ragged", customer(Churn='"open'), customer(), BAD_ROW)
    code, result, stderr = check(path, "--mode", "batch")
    assert (code, result["rows"], result["bad_rows"]) == (5, 6, 4)
    assert [(error["line"], error["reason"]) for error in result["errors"]] == [
        (3, "tenure is not a number"),
        (5, "1 field instead of 21"),
        (6, "unexpected end of data"),
        (8, "tenure is not a number"),
    ]
    assert stderr == (
        f"Error: 4 bad rows in {path}, which has 6 rows; correct the file, or skip them with --bad-rows FILE\n"
    )


def test_check_lists_20_bad_rows_when_there_are_more(tmp_path: Path) -> None:
    code, result, _ = check(write_table(tmp_path, *[customer()] * 1_500, *[BAD_ROW] * 3_000))
    assert (code, result["rows"], result["bad_rows"], len(result["errors"])) == (5, 4_500, 3_000, 20)
    assert [error["line"] for error in result["errors"]] == list(range(1_502, 1_522))


def test_check_shows_a_table_without_values(tmp_path: Path) -> None:
    done = run_in_process("produce", "--check", "--data-path", str(write_table(tmp_path, customer(), BAD_ROW)))
    assert done.code == 5
    assert "3   tenure is not a number" in done.out
    assert "SECRET" not in done.out + done.err


@pytest.mark.parametrize(
    ("header", "line", "reason"),
    [
        (HEADER.replace(",tenure", ""), 1, "missing column tenure"),
        (HEADER.replace(",", ";"), 1, "missing column customerID"),
        (HEADER.encode("utf-16-le").decode(), 1, "holds a NUL byte"),
    ],
)
def test_check_names_the_error_when_the_header_is_bad(tmp_path: Path, header: str, line: int, reason: str) -> None:
    path = tmp_path / "customers.csv"
    path.write_text(header)
    code, result, stderr = check(path)
    assert (code, result["rows"], result["errors"][0]["line"]) == (5, 0, line)
    assert result["errors"][0]["reason"].startswith(reason)
    assert "wrong header" in stderr


@pytest.mark.parametrize(
    "content", [gzip.compress(HEADER.encode(), mtime=0), HEADER.encode("utf-16")], ids=["gzip", "utf-16"]
)
def test_check_exits_5_when_the_file_is_not_text(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "customers.csv"
    path.write_bytes(content)
    code, result, stderr = check(path)
    assert (code, result, stderr.count("\n")) == (5, {}, 1)


@pytest.mark.parametrize("content", ["", f"{HEADER}\n", None])
def test_check_exits_5_when_there_are_no_rows(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "customers.csv"
    if content is not None:
        path.write_text(content)
    code, result, stderr = check(path)
    assert (code, result, stderr.count("\n")) == (5, {}, 1)


@pytest.mark.parametrize("mode", ["batch", "streaming"])
def test_produce_exits_5_when_the_file_has_only_a_header(mode: str, embedded: Any, embedded_topics: Any) -> None:
    Path("empty.csv").write_text(f"{HEADER}\n")
    options = ("--mode", mode, "--data-path", "empty.csv", "--delivery", "at-least-once", "--quiet")
    done = run_in_process("produce", *options, env=embedded_topics.env(embedded.bootstrap))
    assert (done.code, done.out) == (5, "")
    assert done.err == "Error: empty.csv has no rows after its header; nothing was sent\n"


@pytest.mark.parametrize(
    "options", [("--check", "--bad-rows", "b.csv"), ("--mode", "streaming", "--bad-rows", "b.csv")]
)
def test_produce_exits_2_when_bad_rows_have_no_use(options: tuple[str, ...]) -> None:
    done = run_in_process("produce", *options, "--broker", NOWHERE)
    assert (done.code, done.err.count("\n"), "--bad-rows" in done.err) == (2, 1, True)


DONE = ProduceResult(
    mode="batch",
    topic="raw",
    run_id=None,
    sent=200_000,
    failed=0,
    resumed_from=None,
    end_offsets={},
    seconds=1.0,
    rate=1.0,
    stopped_by="end",
    bad_rows=0,
    rows_done=200_000,
    rows_total=200_000,
    sent_again=False,
)
BATCH = ProduceOptions("batch")
STREAM = replace(DONE, mode="streaming", sent=1, rows_done=None, rows_total=None)


@pytest.mark.parametrize(
    ("change", "options", "sentences"),
    [
        ({}, BATCH, ["c.csv is complete: 200,000 rows sent."]),
        (
            {"sent": 123_000, "resumed_from": 77_000, "run_id": "mon"},
            BATCH,
            ["Run mon is complete: 123,000 rows sent, after 77,000 rows in earlier runs."],
        ),
        (
            {"stopped_by": "signal", "rows_done": 77_000},
            BATCH,
            ["Interrupted at row 77,000 of 200,000. Run the same command to continue."],
        ),
        (
            {"stopped_by": "signal", "rows_done": 77_000, "rows_total": None},
            replace(BATCH, restart=True),
            ["Interrupted at row 77,000. Run the same command without --restart to continue."],
        ),
        (
            {"stopped_by": "limit", "rows_done": 10},
            BATCH,
            ["Stopped by --limit at row 10 of 200,000. Run the same command to continue."],
        ),
        (
            {"stopped_by": "signal", "rows_done": None},
            BATCH,
            ["Interrupted before a row was sent. Run the same command to continue."],
        ),
        (
            {"stopped_by": "already-complete", "run_id": "mon", "sent": 0},
            BATCH,
            ["Run mon is complete; nothing was sent. To send c.csv again, use another --run-id or --restart."],
        ),
        (
            {"sent_again": True},
            BATCH,
            [
                "c.csv is complete: 200,000 rows sent.",
                "An earlier run had sent this file, so its rows were sent again; --run-id ID sends a file once.",
            ],
        ),
        (
            {"sent": 199_999, "bad_rows": 1},
            replace(BATCH, bad_rows=Path("bad.csv")),
            [
                "c.csv is complete: 199,999 rows sent.",
                "1 bad row skipped. Correct bad.csv, then send it with --data-path bad.csv.",
            ],
        ),
        (
            {"sent": 199_998, "bad_rows": 2},
            replace(BATCH, bad_rows=Path("bad.csv"), csv_format=replace(FORMAT, number_rows=True)),
            [
                "c.csv is complete: 199,998 rows sent.",
                (
                    "2 bad rows skipped. Correct bad.csv, then send it with --data-path bad.csv and without"
                    " --number-rows: it has their numbers as keys."
                ),
            ],
        ),
    ],
)
def test_end_is_described_in_sentences(change: dict[str, Any], options: ProduceOptions, sentences: list[str]) -> None:
    assert list(describe_end(replace(DONE, **change), options, Path("data/c.csv"))) == sentences


@pytest.mark.parametrize(
    ("reason", "start"), [("limit", "Reached --limit: 1 row of c.csv"), ("signal", "Stopped: 1 row")]
)
def test_end_of_a_stream_is_described(reason: Any, start: str) -> None:
    (sentence,) = describe_end(replace(STREAM, stopped_by=reason), ProduceOptions("streaming"), Path("c.csv"))
    assert sentence.startswith(start)
