"""Blank rows at the end of a CSV file, as Excel writes them, are not rows."""

import random
from collections.abc import Iterable
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from telco_stream.csv.reader import count_lines_after_header, open_file, read_lines
from telco_stream.csv.records import RecordReader
from telco_stream.csv.sampler import open_sampler
from telco_stream.errors import DataError
from telco_stream.produce.loop import produce_pass
from tests.support.csv_chunks import read_chunks
from tests.support.csv_files import HEADER, customer, write_table
from tests.support.produce_harness import FakeRowWriter, customer_ids, make_deps, make_plan, write_customers
from tests.support.telco import FORMAT

BLANK = "," * 20
TAILS = {
    "excel": f"{BLANK}\n{BLANK}\n",
    "no line end": f"{BLANK}\n{BLANK}",
    "windows": f"{BLANK}\r\n\r\n{BLANK}\r\n",
    "white space": f"  \n\t\n \t,{BLANK[1:]}  \n",
    "quoted": ",".join(['""'] * 21) + "\n" + ",".join(['" "'] * 21) + "\n",
    "more fields": f"{BLANK},,,\n,\n",
    "empty line": f"{BLANK}\n\n",
    "large": f"{BLANK}\n" * 5_000,
}


def read_keys(path: Path, **more: object) -> list[str]:
    return [row.key for chunk in read_chunks(path, 2, replace(FORMAT, **more)) for row in chunk]  # type: ignore[arg-type]


@pytest.mark.parametrize("tail", TAILS.values(), ids=TAILS.keys())
@pytest.mark.parametrize("bom", ["", "\ufeff"])
def test_reader_skips_blank_rows_at_the_end(tmp_path: Path, tail: str, bom: str) -> None:
    path = write_table(tmp_path, *(customer(customerID=number) for number in "0123é"), bom=bom)
    path.write_bytes(path.read_bytes() + tail.encode())
    assert read_keys(path) == list("0123é")
    assert count_lines_after_header(path, ",") == 5
    with open_sampler(path, FORMAT) as sampler:
        assert len(sampler) == 5
        assert {row.key for row in sampler.draw(random.Random(1), 100)} == set("0123é")


@pytest.mark.parametrize("delimiter", [";", "\t", "|", "."])
def test_reader_skips_blank_rows_when_delimiter_is_another(tmp_path: Path, delimiter: str) -> None:
    lines = [HEADER, customer(customerID="a", MonthlyCharges="5", TotalCharges="5"), BLANK, BLANK]
    path = tmp_path / "c.csv"
    path.write_text("\n".join(lines).replace(",", delimiter) + "\n")
    assert read_keys(path, delimiter=delimiter) == ["a"]


@pytest.mark.parametrize("tail", TAILS.values(), ids=TAILS.keys())
def test_reader_refuses_blank_rows_when_a_row_follows(tmp_path: Path, tail: str) -> None:
    path = write_table(tmp_path, customer())
    path.write_text(path.read_text() + tail.rstrip("\n") + "\n" + customer() + "\n", newline="")
    with pytest.raises(DataError, match="line 3: "):
        read_keys(path)


@pytest.mark.parametrize(
    "last",
    [
        customer(customerID='"a"', TotalCharges='" "', Churn=""),
        customer(customerID="a", Churn=f'"\n{BLANK}\n{BLANK}\n"'),
        customer(customerID="a", Churn='"""\n\n"""'),
        customer(customerID="a", Churn='"\n"",""\n"'),
    ],
)
@pytest.mark.parametrize("tail", ["", f"{BLANK}\n", ",".join(['""'] * 21)])
def test_reader_keeps_the_last_row_when_its_end_is_blank(tmp_path: Path, last: str, tail: str) -> None:
    path = write_table(tmp_path, last)
    path.write_text(path.read_text() + tail)
    assert read_keys(path) == ["a"]


def test_reader_says_that_there_are_no_rows_when_all_are_blank(tmp_path: Path) -> None:
    path = write_table(tmp_path, BLANK, BLANK)
    assert read_keys(path) == []
    with pytest.raises(DataError, match="has no rows after its header"), open_sampler(path, FORMAT):
        pass


@pytest.mark.parametrize("content", [f"{BLANK}\n", " \n", f"\n{BLANK}"])
def test_reader_says_that_a_file_is_empty_when_all_is_blank(tmp_path: Path, content: str) -> None:
    path = tmp_path / "c.csv"
    path.write_text(content)
    with pytest.raises(DataError, match="is empty"):
        read_keys(path)


def read_fields(lines: Iterable[str], delimiter: str) -> list[list[str] | None]:
    """Return the fields of all rows; None for a broken row."""
    records = RecordReader(iter(lines), delimiter).read(1_000)
    return [None if index in records.broken else fields for index, fields in enumerate(records.fields)]


@given(
    text=st.lists(st.sampled_from(["a", "d", "d", '"', '""', "\n", "\r\n", " ", "é"]), max_size=14).map("".join),
    tail=st.sampled_from(["", "dd\ndd\n", '""d\n', '"']),
    delimiter=st.sampled_from([",", "\t"]),
)
@example(text='ad"x d\n"d "dd\n', tail="dd\n", delimiter="\t")
def test_rows_that_are_not_read_are_blank(
    tmp_path_factory: pytest.TempPathFactory, text: str, tail: str, delimiter: str
) -> None:
    """Whatever the quotes are: the rows before are the same."""
    path, content = tmp_path_factory.getbasetemp() / "c.csv", (text + tail).replace("d", delimiter)
    path.write_bytes(content.encode())
    with open_file(path) as file:
        read = read_fields(read_lines(file, delimiter), delimiter)
    expected = read_fields(StringIO(content, newline=""), delimiter)
    assert expected[: len(read)] == read
    assert not [fields for fields in expected[len(read) :] if fields is None or any(map(str.strip, fields))]


@pytest.mark.parametrize("size", [3, 10])
def test_pass_resumes_when_blank_rows_end_the_file(tmp_path: Path, size: int) -> None:
    """Also if they were added after the first run."""
    writer = FakeRowWriter()
    produce_pass(make_plan(write_customers(tmp_path, 10), limit=6, size=size), make_deps(writer))
    path = write_customers(tmp_path, 10, BLANK, BLANK)
    sent = produce_pass(make_plan(path, size=size), make_deps(writer))
    assert (sent.rows, sent.bad_rows, sent.stopped_by, sent.position) == (4, 0, "end", 10)
    assert writer.keys() == customer_ids((0, 10))
