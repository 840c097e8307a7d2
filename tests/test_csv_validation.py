"""Which CSV files are refused, and the line that the error names."""

import csv
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from telco_stream.csv.reader import fingerprint
from telco_stream.csv.sampler import open_sampler
from telco_stream.errors import DataError
from tests.support.csv_chunks import read_chunks
from tests.support.csv_files import HEADER, customer, write_table
from tests.support.telco import COLUMNS, FORMAT

TWO_LINES = customer(customerID='"two\nlines"')


def error_of(path: Path, skip: int = 0) -> str:
    """Return the error, which is the same for reading and for sampling."""
    with pytest.raises(DataError) as caught:
        list(read_chunks(path, 1_000, FORMAT, skip=skip))
    if not skip:
        with pytest.raises(DataError) as sampling, open_sampler(path, FORMAT):
            pass
        assert str(sampling.value) == str(caught.value)
    assert caught.value.exit_code == 5
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (customer() + ",more", "22 fields instead of 21"),
        (customer().removesuffix(",No"), "20 fields instead of 21"),
        (customer(customerID=""), "no customerID"),
        (customer(customerID="  "), "no customerID"),
        (customer(MonthlyCharges=""), "MonthlyCharges is not a number"),
        (customer(SeniorCitizen=" "), "SeniorCitizen is not a number"),
        (customer(TotalCharges="unknown"), "TotalCharges is not a number"),
        (customer(gender='"Fem"ale'), "expected"),
        (customer(gender="Fe\0male"), "holds a NUL byte"),
        (customer(gender=f'"{"x" * 200_000}"'), "field larger than field limit"),
        (customer(gender="x" * 3_000_000), "field larger than field limit"),
        (customer(Churn='"never closed'), "unexpected end of data"),
    ],
)
@pytest.mark.parametrize(
    ("before", "line"),
    [([], 2), ([customer()] * 3, 5), ([TWO_LINES, "", customer()], 6), ([customer()] * 2_500, 2_502)],
)
def test_read_chunks_names_the_line_when_a_row_is_bad(
    tmp_path: Path, broken: str, reason: str, before: list[str], line: int
) -> None:
    """Lines are counted as in an editor: quoted line breaks and blank lines count."""
    path = write_table(tmp_path, *before, broken)
    assert f"{path}, line {line}: " in error_of(path)
    assert reason in error_of(path)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "NaN",
            "nan",
            "Infinity",
            "-Infinity",
            "inf",
            "null",
            "true",
            "1_000",
            "1 000",
            "0x10",
            "٣",
            "1e",
            ".",
            "-",
            "+",
        ),
        *("--5", "5-", "1.2.3", "29,85", "[1]", '"1"', "$5", "5%", "1e5.5", "e5", "1\xa0"),
    ],
)
@pytest.mark.parametrize("name", ["SeniorCitizen", "tenure", "MonthlyCharges", "TotalCharges"])
def test_read_chunks_fails_when_text_is_not_a_number(tmp_path: Path, name: str, text: str) -> None:
    escaped = text.replace('"', '""')
    path = write_table(tmp_path, customer(), customer(**{name: f'"{escaped}"'}))
    assert f"line 3: {name} is not a number" in error_of(path)


def test_read_chunks_says_so_when_a_number_has_a_decimal_comma(tmp_path: Path) -> None:
    path = write_table(tmp_path, customer(MonthlyCharges='"29,85"'))
    assert "line 2: MonthlyCharges is not a number: it has a decimal comma; fix or remove this line" in error_of(path)


def test_read_chunks_fails_when_a_number_holds_a_comma(tmp_path: Path) -> None:
    """A column is checked as one text, joined with commas; a blank must not hide the extra one."""
    path = write_table(tmp_path, customer(TotalCharges='"1,2"'), customer(TotalCharges=" "))
    assert "line 2: TotalCharges is not a number" in error_of(path)


def test_read_chunks_refuses_a_long_cell_of_zeros_in_linear_time(tmp_path: Path) -> None:
    path = write_table(tmp_path, customer(TotalCharges=f"{'0' * 20_000}x"))
    started = time.process_time()
    assert "line 2: TotalCharges is not a number" in error_of(path)
    assert time.process_time() - started < 2


def test_read_chunks_names_the_first_of_several_errors(tmp_path: Path) -> None:
    assert "line 3: tenure" in error_of(
        write_table(tmp_path, customer(), customer(tenure="x"), "ragged", customer(tenure="y"))
    )


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
@pytest.mark.parametrize("before", [1, 2_000])
def test_read_chunks_names_the_line_that_is_not_utf8(tmp_path: Path, encoding: str, before: int) -> None:
    path = write_table(tmp_path, *[customer()] * before)
    with path.open("ab") as file:
        file.write((customer(customerID="Zoë") + "\n").encode(encoding) + customer().encode())
    assert f"line {before + 2}: not UTF-8" in error_of(path)


@pytest.mark.parametrize("column", COLUMNS[:-1])
def test_read_chunks_names_the_column_when_it_is_missing(tmp_path: Path, column: str) -> None:
    header = HEADER.replace(column, "other", 1)
    assert f"line 1: missing column {column};" in error_of(write_table(tmp_path, customer(), header=header))


def test_read_chunks_accepts_a_file_without_the_label(tmp_path: Path) -> None:
    path = write_table(tmp_path, customer().rpartition(",")[0], header=HEADER.rpartition(",")[0])
    (row,) = next(read_chunks(path, 10, FORMAT))
    assert not hasattr(row, "label")
    with pytest.raises(DataError, match="missing column Churn"):
        list(read_chunks(path, 10, replace(FORMAT, requires_label=True)))


@pytest.mark.parametrize("time", ["2026-01-31 12:00:00Z", "2026-01-31T12:00:00", "yesterday", "", "1769860800"])
def test_read_chunks_fails_when_a_time_is_not_rfc_3339(tmp_path: Path, time: str) -> None:
    """The times of a stream are those of sending, so its file may have any."""
    lines = [f"{customer()},{text}" for text in ("2026-01-31T12:00:00Z", time)]
    path = write_table(tmp_path, *lines, header=f"{HEADER},event_ts")
    with pytest.raises(DataError, match="line 3: event_ts is not a time as in RFC 3339; fix or remove this line"):
        list(read_chunks(path, 10, FORMAT))
    with open_sampler(path, FORMAT) as sampler:
        assert len(sampler) == 2


def test_read_chunks_names_the_column_when_it_is_repeated(tmp_path: Path) -> None:
    path = write_table(tmp_path, customer() + ",Yes", header=HEADER + ",Churn")
    assert "line 1: repeated column Churn;" in error_of(path)


def test_read_chunks_asks_for_a_correction_when_a_row_is_bad(tmp_path: Path) -> None:
    assert error_of(write_table(tmp_path, customer(tenure="x"))).endswith("; fix or remove this line")


@pytest.mark.parametrize(
    ("encoding", "error"),
    [
        ("utf-16", " is UTF-16; save it as UTF-8"),
        ("utf-16-le", ", line 1: holds a NUL byte; save the file as UTF-8"),
        ("latin-1", ", line 2: not UTF-8; save the file as UTF-8"),
    ],
)
def test_read_chunks_asks_for_utf8_when_it_is_not(tmp_path: Path, encoding: str, error: str) -> None:
    path = tmp_path / "other.csv"
    path.write_bytes(f"{HEADER}\n{customer(customerID='Zoë')}\n".encode(encoding))
    assert error_of(path).endswith(error)


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xef\xbb\xbf", b"\xef\xbb\xbf\r\n"])
def test_read_chunks_fails_when_the_file_is_empty(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "empty.csv"
    path.write_bytes(content)
    assert "is empty" in error_of(path)


def test_read_chunks_counts_lines_of_skipped_rows(tmp_path: Path) -> None:
    path = write_table(tmp_path, TWO_LINES, "", customer(), customer(tenure="x"))
    assert "line 6: tenure" in error_of(path, skip=2)


def test_read_chunks_fails_when_path_is_not_a_readable_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for name, reason in {
        ".": "is not a file",
        "pipe": "is not a file",
        "none": "No such file",
        "loop": "Too many",
    }.items():
        assert reason in error_of(tmp_path / name)
        with pytest.raises(DataError, match=reason):
            fingerprint(tmp_path / name)


def test_read_chunks_error_holds_no_values(tmp_path: Path) -> None:
    for broken in (
        customer(customerID="SECRET", tenure="SECRET"),
        "SECRET",
        customer(gender='"SECRET"x', Churn="SECRET"),
    ):
        assert "SECRET" not in error_of(write_table(tmp_path, broken))


@pytest.mark.parametrize("size", [1, 700, 1_000])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("quoted", [3, 900, 10_000])
def test_read_chunks_equals_csv_reader_when_some_have_quotes(tmp_path: Path, size: int, end: str, quoted: int) -> None:
    """Lines without quotes are split, others are parsed; a quoted row may continue in the next chunk."""
    names = [
        f'"{number}, ""of""{end}{number}"' if number % quoted == quoted - 1 else f" {number} "
        for number in range(2_500)
    ]
    path = tmp_path / "customers.csv"
    path.write_text(end.join([HEADER, *(customer(customerID=name) for name in names), ""]), newline="")
    with path.open(newline="") as file:
        expected = [row["customerID"] for row in csv.DictReader(file)]
    assert [row.key for chunk in read_chunks(path, size, FORMAT) for row in chunk] == expected
