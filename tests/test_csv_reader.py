"""Reading a CSV file into the values of the raw topic: rows, order, numbers, chunks and memory."""

import csv
import hashlib
import io
import json
import random
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telco_stream.contract.rows import Row
from telco_stream.csv.reader import count_lines_after_header, fingerprint
from telco_stream.csv.sampler import open_sampler
from telco_stream.errors import DataError
from telco_stream.sample.synthetic import synthesize
from tests.support.csv_chunks import read_chunks
from tests.support.csv_files import HEADER, customer, write_table
from tests.support.memory import peak_memory
from tests.support.telco import CATEGORIES, COLUMNS, FORMAT, decode, encode_row, value_of

NOW = "2024-05-01T12:00:00.000Z"

IDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1).filter(str.strip)
WHOLE = st.integers(0, 1).map(str)
AMOUNTS = st.decimals(0, 10_000, places=2).map(str) | st.integers(0, 10_000).map(str)
CUSTOMERS = st.fixed_dictionaries(
    {name: st.sampled_from(values) for name, values in CATEGORIES.items()}
    | {"customerID": IDS, "SeniorCitizen": WHOLE, "tenure": st.integers(0, 1_000).map(str), "MonthlyCharges": AMOUNTS}
    | {"TotalCharges": AMOUNTS | st.sampled_from(["", " "]), "Churn": st.sampled_from(["Yes", "No", ""])}
    | {"remark": st.text(st.characters(codec="utf-8", exclude_characters="\0"))}
)


def rows(path: Path, size: int = 1_000, skip: int = 0) -> list[Row]:
    return [row for chunk in read_chunks(path, size, FORMAT, skip=skip) for row in chunk]


def value(row: Row) -> dict[str, object]:
    return dict(json.loads(encode_row(row, NOW)))


@given(
    customers=st.lists(CUSTOMERS, min_size=1, max_size=5),
    columns=st.permutations([*COLUMNS, "remark"]),
    line_end=st.sampled_from(["\n", "\r\n", "\r"]),
    mark=st.sampled_from(["", "\ufeff"]),
)
def test_consumer_reads_the_values_of_the_csv(
    tmp_path_factory: pytest.TempPathFactory,
    customers: list[dict[str, str]],
    columns: list[str],
    line_end: str,
    mark: str,
) -> None:
    """In any column order, with any line ends and quotes; extra columns are dropped."""
    text = io.StringIO(newline="")
    # Before Python 3.13 the writer quotes only its own kind of line break.
    broken = any(set(field) & set("\r\n") for row in customers for field in row.values())
    writer = csv.DictWriter(
        text, columns, lineterminator=line_end, quoting=csv.QUOTE_ALL if broken else csv.QUOTE_MINIMAL
    )
    writer.writeheader()
    writer.writerows(customers)
    path = tmp_path_factory.getbasetemp() / "round.csv"
    path.write_bytes((mark + text.getvalue()).encode())

    values = [encode_row(row, NOW) for row in rows(path)]

    for expected, sent in zip(customers, values, strict=True):
        assert list(json.loads(sent)) == [*COLUMNS, "event_ts"]
        read = decode(sent)
        assert [value_of(read, name) for name in CATEGORIES] == [expected[name] for name in CATEGORIES]
        assert (read.key, read.event_ts) == (expected["customerID"], NOW)
        assert [value_of(read, name) for name in ("SeniorCitizen", "tenure")] == [
            int(expected[name]) for name in ("SeniorCitizen", "tenure")
        ]
        assert value_of(read, "MonthlyCharges") == float(expected["MonthlyCharges"])
        assert value_of(read, "TotalCharges") == float(expected["TotalCharges"].strip() or 0)
    with open_sampler(path, FORMAT) as sampler:
        assert {encode_row(row, NOW) for row in sampler.draw(random.Random(1), 50)} <= set(values)


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        *(("29.85", "29.85"), ("20", "20"), ("1889.50", "1889.50"), ("-3", "-3"), ("1e3", "1e3"), ("0.0", "0.0")),
        *(
            ("05", "5"),
            ("+5", "5"),
            (".5", "0.5"),
            ("5.", "5"),
            ("-.50", "-0.50"),
            ("00", "0"),
            ("+0.5E+07", "0.5e+07"),
        ),
        *(("1e400", "1e400"), ("99999999999999999999", "99999999999999999999")),
    ],
)
def test_read_chunks_keeps_digits_when_text_is_a_number(tmp_path: Path, text: str, sent: str) -> None:
    """Even of a number that no float can hold: the consumer decides which range is allowed."""
    (row,) = rows(write_table(tmp_path, customer(MonthlyCharges=text)))
    assert f'"MonthlyCharges":{sent},"TotalCharges"' in encode_row(row, NOW).decode()


@pytest.mark.parametrize("blank", ["", " ", "\t "])
def test_read_chunks_sends_null_when_total_is_blank(tmp_path: Path, blank: str) -> None:
    path = write_table(
        tmp_path, customer(TotalCharges="1.50"), customer(TotalCharges=blank), customer(TotalCharges="+2")
    )
    assert [value(row)["TotalCharges"] for row in rows(path)] == [1.5, None, 2]


def test_read_chunks_accepts_rows_that_consumer_rejects(tmp_path: Path) -> None:
    """Unknown categories, numbers out of range, no label."""
    odd = customer(gender="Other", tenure="-7", SeniorCitizen="1.5", Contract="", Churn="")
    (row,) = rows(write_table(tmp_path, odd))
    sent = value(row)
    assert [sent[name] for name in ("gender", "tenure", "SeniorCitizen", "Contract", "Churn")] == [
        "Other",
        -7,
        1.5,
        "",
        "",
    ]


def test_row_key_is_the_customer_id(tmp_path: Path) -> None:
    (row,) = rows(write_table(tmp_path, customer(customerID='"Zoë ""7"""')))
    assert row.key == value(row)["customerID"] == 'Zoë "7"'


def test_read_chunks_fills_chunks_when_lines_are_blank(tmp_path: Path) -> None:
    path = write_table(tmp_path, "", customer(), "", "", customer(), customer(), "")
    assert [len(chunk) for chunk in read_chunks(path, 2, FORMAT)] == [2, 1]


@pytest.mark.parametrize(
    ("size", "skip"), [(1, 0), (7, 0), (2_500, 0), (100, 1), (100, 1_234), (100, 2_999), (9, 3_000)]
)
def test_read_chunks_yields_all_rows_after_the_skipped(tmp_path: Path, size: int, skip: int) -> None:
    path = write_table(tmp_path, *(",".join(fields) for fields in islice(synthesize(1), 3_000)))
    chunks = list(read_chunks(path, size, FORMAT, skip=skip))
    assert [row.key for chunk in chunks for row in chunk] == [
        fields[0] for fields in islice(synthesize(1), skip, 3_000)
    ]
    assert {len(chunk) for chunk in chunks[:-1]} <= {size}


def test_read_chunks_yields_no_row_of_a_bad_chunk(tmp_path: Path) -> None:
    """It does yield the chunk before: a resumed pass starts after it."""
    path = write_table(tmp_path, *[customer()] * 5, customer(tenure="x"))
    chunks = read_chunks(path, 3, FORMAT)
    assert len(next(chunks)) == 3
    with pytest.raises(DataError, match="line 7: tenure is not a number"):
        next(chunks)


def test_read_chunks_memory_is_constant_when_file_grows(tmp_path: Path) -> None:
    """Ten times the rows need the same memory."""
    lines = [",".join(fields) for fields in islice(synthesize(1), 20_000)]

    def peak(count: int) -> int:
        return peak_memory(read_all, write_table(tmp_path, *lines[:count]), count)

    assert peak(20_000) < 1.2 * peak(2_000)


def read_all(path: Path, count: int) -> None:
    assert sum(1 for chunk in read_chunks(path, 500, FORMAT) for _ in chunk) == count


def test_read_chunks_yields_nothing_when_only_header(tmp_path: Path) -> None:
    assert list(read_chunks(write_table(tmp_path), 10, FORMAT)) == []


def test_fingerprint_is_the_sha256_of_the_bytes(tmp_path: Path) -> None:
    path = tmp_path / "any"
    path.write_bytes(b"\0\xff" * 100_000)
    assert fingerprint(path) == hashlib.sha256(b"\0\xff" * 100_000).hexdigest()


@pytest.mark.parametrize(
    ("text", "rows"), [(b"", 0), (b"head\n", 0), (b"head", 0), (b"head\na\nb\n", 2), (b"head\na\nb", 2)]
)
def test_count_lines_after_header_counts_lines(text: bytes, rows: int, tmp_path: Path) -> None:
    path = tmp_path / "any"
    path.write_bytes(text)
    assert count_lines_after_header(path, ",") == rows


def test_read_chunks_reads_the_public_data_set(real_data: Path) -> None:
    with real_data.open(encoding="utf-8", newline="") as file:
        expected = list(csv.DictReader(file))
    sent = [value(row) for row in rows(real_data)]
    assert len(sent) == 7_043
    assert [str(row["TotalCharges"]) for row in sent if row["TotalCharges"] is None] == ["None"] * 11
    for name in COLUMNS[:-2]:
        assert [str(row[name]) for row in sent] == [row[name] for row in expected], name


def test_read_chunks_reads_a_large_file_when_lines_end_in_cr(tmp_path: Path) -> None:
    """More than 2 MB without a line feed."""
    lines = [HEADER, *(",".join(fields) for fields in islice(synthesize(1), 20_000))]
    path = tmp_path / "old.csv"
    path.write_text("\r".join(lines))
    assert [row.key for row in rows(path)] == [line.partition(",")[0] for line in lines[1:]]
