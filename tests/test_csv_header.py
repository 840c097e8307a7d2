"""What an error says about a file whose header lacks columns, and which columns are ignored."""

import bz2
import gzip
import logging
import lzma
import zipfile
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest

from telco_stream.csv.header import log_ignored_columns, parse_delimiter
from telco_stream.csv.reader import CsvReader, HeaderError, open_reader, read_layout
from telco_stream.csv.validation import CsvFormat
from telco_stream.errors import DataError, UsageError
from tests.support.contracts import small
from tests.support.csv_cases import FOLDER, needs_cases
from tests.support.csv_files import HEADER, customer, write_table
from tests.support.telco import FORMAT

SMALL = CsvFormat(small())
SMALL_HEADER = "account_id,plan,monthly_fee,data_gb,complaints,device"


def count_rows(path: Path, csv_format: CsvFormat = FORMAT) -> int:
    with open_reader(path, csv_format) as reader:
        return len(reader.take(1_000).rows)


def error_of(header: str, csv_format: CsvFormat = FORMAT) -> str:
    with pytest.raises(HeaderError) as caught:
        CsvReader(Path("c.csv"), iter([header]), csv_format)
    return str(caught.value)


@needs_cases
@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("04-semicolon", "line 1: missing column customerID, gender, SeniorCitizen and 17 more; is the file separated"),
        ("10-header-with-blanks", "the file has ` customerID`, ` tenure`, `MultipleLines ` and 3 more: did you mean"),
        ("11-lower-case-header", "did you mean `customerID`, `SeniorCitizen`, `Partner` and 15 more?"),
        ("27-kaggle-id", "missing column customerID; rename the column that identifies a customer (`id`?), or number"),
        ("30-gz", "30-gz.csv is compressed; gunzip it first"),
    ],
)
def test_case_is_refused_with_what_to_do(name: str, error: str) -> None:
    with pytest.raises(DataError) as caught:
        count_rows(FOLDER / f"{name}.csv")
    assert error in str(caught.value)


@needs_cases
@pytest.mark.parametrize(
    ("name", "csv_format"),
    [
        ("04-semicolon", replace(FORMAT, delimiter=";")),
        ("08-no-churn-column", FORMAT),
        ("09-excel-blank-rows-at-end", FORMAT),
        ("27-kaggle-id", replace(FORMAT, number_rows=True)),
    ],
)
def test_case_is_read_with_its_options(name: str, csv_format: CsvFormat) -> None:
    assert count_rows(FOLDER / f"{name}.csv", csv_format) == 5


@pytest.mark.parametrize(
    ("delimiter", "advice"),
    [
        (";", "is the file separated by `;`? Use --delimiter ';'"),
        ("\t", "is the file separated by tabs? Use --delimiter tab"),
        ("|", "is the file separated by `|`? Use --delimiter '|'"),
    ],
)
def test_reader_names_the_delimiter_when_it_is_another(tmp_path: Path, delimiter: str, advice: str) -> None:
    assert error_of(HEADER.replace(",", delimiter)).endswith(advice)
    assert error_of(HEADER.lower().replace(",", delimiter)).endswith(advice)
    assert error_of(HEADER, replace(FORMAT, delimiter=delimiter)).endswith("separated by `,`? Use --delimiter ','")
    path = write_table(tmp_path, customer().replace(",", delimiter), header=HEADER.replace(",", delimiter))
    assert count_rows(path, replace(FORMAT, delimiter=delimiter)) == 1


@pytest.mark.parametrize("name", ["customerid", " customerID", "customerID ", "customer_id", "customerId", "custmerID"])
def test_reader_suggests_a_name_when_one_is_similar(name: str) -> None:
    error = error_of(HEADER.replace("customerID", name))
    assert f"missing column customerID; the file has `{name}`: did you mean `customerID`?" in error


def test_reader_names_the_contract_when_its_columns_are_missing() -> None:
    error = error_of(f"{SMALL_HEADER},total_eve_charges")
    assert "the contract telco-churn requires them. Is the file of another contract? Use --contract FILE" in error
    assert "the contract mobile-churn requires them" in error_of(HEADER, SMALL)
    assert "missing column plan; the contract mobile-churn requires it." in error_of(
        SMALL_HEADER.replace("plan,", ""), SMALL
    )


def test_reader_quotes_nothing_when_the_header_is_a_row() -> None:
    error = error_of("7590-SECRET,Female,0,Yes,No,1,SECRET")
    assert "SECRET" not in error


def test_reader_refuses_numbered_rows_when_the_file_has_the_key() -> None:
    with pytest.raises(UsageError, match=r"c\.csv has the column `customerID`, which is the key: omit --number-rows"):
        CsvReader(Path("c.csv"), iter([HEADER]), replace(FORMAT, number_rows=True))


def test_reader_suggests_the_label_when_training_needs_it() -> None:
    error = error_of(HEADER.replace("Churn", "churn"), replace(FORMAT, requires_label=True))
    assert "missing column Churn; the file has `churn`: did you mean `Churn`?" in error


@pytest.mark.parametrize(
    ("extra", "ignored"),
    [
        ("", None),
        (",Extra", "Extra"),
        (",plans", "plans"),
        (",", None),
        (",Extra,roamin,Left", "Extra, roamin (did you mean `roaming`?), Left (did you mean `left`?)"),
        (",left,region,roaming,event_ts", None),
        ("".join(f",x{number}" for number in range(12)), ", ".join(f"x{n}" for n in range(10)) + " and 2 more"),
    ],
)
def test_ignored_columns_are_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, extra: str, ignored: str | None
) -> None:
    """Not the label, and none that a file may lack."""
    layout = read_layout(write_table(tmp_path, header=SMALL_HEADER + extra), SMALL)
    with caplog.at_level(logging.INFO, "telco_stream.csv"):
        log_ignored_columns(layout, SMALL)
    assert caplog.messages == ([f"ignored columns: {ignored}"] if ignored else [])


def _zipped() -> bytes:
    content = BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("c.csv", HEADER)
    return content.getvalue()


@pytest.mark.parametrize(
    ("content", "advice"),
    [
        (gzip.compress(HEADER.encode(), mtime=0), "is compressed; gunzip it first"),
        (lzma.compress(HEADER.encode()), "is compressed; unxz it first"),
        (bz2.compress(HEADER.encode()), "is compressed; bunzip2 it first"),
        (_zipped(), "is a ZIP archive or an Excel workbook; unzip it, or save it as CSV"),
        (HEADER.encode("utf-16"), "is UTF-16; save it as UTF-8"),
    ],
    ids=["gzip", "xz", "bzip2", "zip", "utf-16"],
)
def test_open_reader_names_the_kind_when_a_file_is_not_text(tmp_path: Path, content: bytes, advice: str) -> None:
    path = tmp_path / "c.csv"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught, open_reader(path, FORMAT):
        pass
    assert str(caught.value) == f"{path} {advice}"


@pytest.mark.parametrize(("text", "delimiter"), [(";", ";"), ("tab", "\t"), ("\\t", "\t"), ("\t", "\t"), ("|", "|")])
def test_parse_delimiter_returns_one_character(text: str, delimiter: str) -> None:
    assert parse_delimiter(text) == delimiter


@pytest.mark.parametrize("text", ["", ";;", '"', "\n", " ", "é", "semicolon"])
def test_parse_delimiter_fails_when_it_is_not_a_character(text: str) -> None:
    with pytest.raises(UsageError, match="`--delimiter`"):
        parse_delimiter(text)
