"""The way from the CSV to the raw topic's values: what is sent, what is drawn, in how much memory."""

import csv
import hashlib
import io
import json
import os
import random
import tracemalloc
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telco_stream.contracts.customer import CATEGORIES, COLUMNS, decode_customer
from telco_stream.contracts.raw import Row, encode_row
from telco_stream.csv.reader import count_lines_after_header, fingerprint, read_chunks
from telco_stream.csv.sampler import open_sampler
from telco_stream.errors import DataError
from telco_stream.sample.synthetic import synthesize
from tests.support.cli import ROOT
from tests.support.csv_files import HEADER, customer, table

REAL = Path(os.environ.get("TELCO_STREAM_TEST_DATA", ROOT.parent / "shared/data/telco_customer_churn.csv"))
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
    return [row for chunk in read_chunks(path, size, skip=skip) for row in chunk]


def value(row: Row) -> dict[str, object]:
    return dict(json.loads(encode_row(row, NOW)))


@given(
    customers=st.lists(CUSTOMERS, min_size=1, max_size=5),
    columns=st.permutations([*COLUMNS, "remark"]),
    line_end=st.sampled_from(["\n", "\r\n", "\r"]),
    mark=st.sampled_from(["", "\ufeff"]),
)
@settings(deadline=None)
def test_what_a_csv_says_is_what_the_consumer_reads(
    tmp_path_factory: pytest.TempPathFactory,
    customers: list[dict[str, str]],
    columns: list[str],
    line_end: str,
    mark: str,
) -> None:
    """In whatever order, line ends and quotes; what isn't a column of ours stays behind."""
    text = io.StringIO(newline="")
    # Before Python 3.13 the writer leaves other line breaks than its own without quotes.
    broken = any(set(field) & set("\r\n") for row in customers for field in row.values())
    writer = csv.DictWriter(
        text, columns, lineterminator=line_end, quoting=csv.QUOTE_ALL if broken else csv.QUOTE_MINIMAL
    )
    writer.writeheader()
    writer.writerows(customers)
    path = tmp_path_factory.getbasetemp() / "round.csv"
    path.write_bytes((mark + text.getvalue()).encode())

    values = [encode_row(row, NOW) for row in rows(path)]

    for said, sent in zip(customers, values, strict=True):
        assert list(json.loads(sent)) == [*COLUMNS, "event_ts"]
        read = decode_customer(sent)
        assert [getattr(read, name) for name in CATEGORIES] == [said[name] for name in CATEGORIES]
        assert (read.customerID, read.event_ts) == (said["customerID"], NOW)
        assert (read.SeniorCitizen, read.tenure) == (int(said["SeniorCitizen"]), int(said["tenure"]))
        assert read.MonthlyCharges == float(said["MonthlyCharges"])
        assert str(read.TotalCharges) == str(float(said["TotalCharges"].strip() or "nan"))
    with open_sampler(path) as population:
        assert {encode_row(row, NOW) for row in population.draw(random.Random(1), 50)} <= set(values)


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
def test_a_number_keeps_its_text_where_json_knows_it(tmp_path: Path, text: str, sent: str) -> None:
    """Also one that no float can hold: how large it may be is the consumer's to say."""
    (row,) = rows(table(tmp_path, customer(MonthlyCharges=text)))
    assert f'"MonthlyCharges":{sent},"TotalCharges"' in encode_row(row, NOW).decode()


@pytest.mark.parametrize("blank", ["", " ", "\t "])
def test_a_blank_total_is_sent_as_null_and_the_others_as_they_are(tmp_path: Path, blank: str) -> None:
    path = table(tmp_path, customer(TotalCharges="1.50"), customer(TotalCharges=blank), customer(TotalCharges="+2"))
    assert [value(row)["TotalCharges"] for row in rows(path)] == [1.5, None, 2]


def test_what_is_wrong_in_meaning_only_is_sent(tmp_path: Path) -> None:
    """Unknown categories, numbers out of range, no label: the consumer judges them."""
    odd = customer(gender="Other", tenure="-7", SeniorCitizen="1.5", Contract="", Churn="")
    (row,) = rows(table(tmp_path, odd))
    sent = value(row)
    assert [sent[name] for name in ("gender", "tenure", "SeniorCitizen", "Contract", "Churn")] == [
        "Other",
        -7,
        1.5,
        "",
        "",
    ]


def test_the_key_is_the_customer(tmp_path: Path) -> None:
    (row,) = rows(table(tmp_path, customer(customerID='"Zoë ""7"""')))
    assert row.key == value(row)["customerID"] == 'Zoë "7"'


def test_chunks_are_full_whatever_blank_lines_stand_between(tmp_path: Path) -> None:
    path = table(tmp_path, "", customer(), "", "", customer(), customer(), "")
    assert [len(chunk) for chunk in read_chunks(path, 2)] == [2, 1]


@pytest.mark.parametrize(
    ("size", "skip"), [(1, 0), (7, 0), (2_500, 0), (100, 1), (100, 1_234), (100, 2_999), (9, 3_000)]
)
def test_chunks_join_to_the_rows_after_those_skipped(tmp_path: Path, size: int, skip: int) -> None:
    path = table(tmp_path, *(",".join(fields) for fields in islice(synthesize(1), 3_000)))
    chunks = list(read_chunks(path, size, skip=skip))
    assert [row.key for chunk in chunks for row in chunk] == [
        fields[0] for fields in islice(synthesize(1), skip, 3_000)
    ]
    assert {len(chunk) for chunk in chunks[:-1]} <= {size}


def test_no_row_of_a_chunk_comes_when_its_last_is_broken(tmp_path: Path) -> None:
    """The chunk before it does come: a resumed pass starts after it."""
    path = table(tmp_path, *[customer()] * 5, customer(tenure="x"))
    chunks = read_chunks(path, 3)
    assert len(next(chunks)) == 3
    with pytest.raises(DataError, match="line 7: tenure is not a number"):
        next(chunks)


def test_reading_takes_the_same_memory_however_long_the_file_is(tmp_path: Path) -> None:
    """Ten times the rows, the same peak."""
    lines = [",".join(fields) for fields in islice(synthesize(1), 20_000)]

    def peak(count: int) -> int:
        path = table(tmp_path, *lines[:count])
        tracemalloc.start()
        assert sum(1 for chunk in read_chunks(path, 500) for _ in chunk) == count
        highest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return highest

    assert peak(20_000) < 1.2 * peak(2_000)


def test_the_same_seed_draws_the_same_customers(tmp_path: Path) -> None:
    """Another one others; each can come up, some of them twice."""
    path = table(tmp_path, *(",".join(fields) for fields in islice(synthesize(1), 50)))
    with open_sampler(path) as population:
        first, again, other = ([row.key for row in population.draw(random.Random(s), 2_000)] for s in (1, 1, 2))
    assert first == again != other
    assert len(population) == len(set(first)) == 50


def test_draws_in_parts_are_those_in_one(tmp_path: Path) -> None:
    """So that a seed means the same whatever the batch."""
    path = table(tmp_path, *(",".join(fields) for fields in islice(synthesize(1), 50)))
    one, parts = random.Random(3), random.Random(3)
    with open_sampler(path) as population:
        whole = [row.key for row in population.draw(one, 30)]
        assert whole == [row.key for size in (1, 9, 20) for row in population.draw(parts, size)]


class InTurn(random.Random):
    """Draws the first of `count`, then the second, and so on."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self._places = iter([(place + 0.5) / count for place in range(count)])

    def random(self) -> float:
        return next(self._places)


def test_the_index_finds_rows_across_blocks_quoted_line_breaks_and_blank_lines(tmp_path: Path) -> None:
    """5,000 rows are ten blocks of the file."""
    ids = [f"{number}\nsecond, line" if number % 3 else f"{number}" for number in range(5_000)]
    path = table(tmp_path, *(line for text in ids for line in (customer(customerID=f'"{text}"'), "")), mark="\ufeff")
    with open_sampler(path) as population:
        assert [row.key for row in population.draw(InTurn(5_000), 5_000)] == ids


def test_a_file_that_changes_while_drawn_from_is_noticed(tmp_path: Path) -> None:
    path = table(tmp_path, *[customer()] * 9)
    with open_sampler(path) as population:
        path.write_text(HEADER + "\n")
        with pytest.raises(DataError, match="has changed"):
            population.draw(random.Random(1), 5)


def test_no_customers_are_no_population(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no customers"), open_sampler(table(tmp_path)):
        pass


def test_a_header_alone_is_a_table_without_rows(tmp_path: Path) -> None:
    assert list(read_chunks(table(tmp_path), 10)) == []


def test_the_fingerprint_is_the_sha256_of_the_bytes(tmp_path: Path) -> None:
    path = tmp_path / "any"
    path.write_bytes(b"\0\xff" * 100_000)
    assert fingerprint(path) == hashlib.sha256(b"\0\xff" * 100_000).hexdigest()


@pytest.mark.parametrize(
    ("text", "rows"), [(b"", 0), (b"head\n", 0), (b"head", 0), (b"head\na\nb\n", 2), (b"head\na\nb", 2)]
)
def test_lines_after_the_header_are_counted_without_being_read_as_rows(text: bytes, rows: int, tmp_path: Path) -> None:
    path = tmp_path / "any"
    path.write_bytes(text)
    assert count_lines_after_header(path) == rows


@pytest.mark.skipif(not REAL.exists(), reason=f"the public data set isn't at {REAL}: see TELCO_STREAM_TEST_DATA")
def test_the_public_data_set_is_read_as_it_stands() -> None:
    with REAL.open(encoding="utf-8", newline="") as file:
        said = list(csv.DictReader(file))
    sent = [value(row) for row in rows(REAL)]
    assert len(sent) == 7_043
    assert [str(row["TotalCharges"]) for row in sent if row["TotalCharges"] is None] == ["None"] * 11
    for name in COLUMNS[:-2]:
        assert [str(row[name]) for row in sent] == [row[name] for row in said], name
