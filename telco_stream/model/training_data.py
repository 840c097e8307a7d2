"""Reads labelled customers from a CSV file, with the decoder that `consume` uses."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from telco_stream.contract.customer import BAD_DATA, Customer, decode_customer, explain
from telco_stream.contract.raw_row import Row, encode_row
from telco_stream.csv.reader import STRIDE, CsvReader, fingerprint, open_file, read_lines
from telco_stream.errors import DataError

#: The model does not use the time of the event, but the decoder requires one.
_EVENT_TS = "1970-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True)
class LabelledCustomers:
    """Customers, whether each of them has churned, and the sha256 of the file."""

    customers: list[Customer]
    churned: list[bool]
    sha256: str


def read_labelled_customers(path: Path) -> LabelledCustomers:
    """Read all rows of the file; raises DataError with the line of a row that is bad or has no label."""
    sha256 = fingerprint(path)
    pairs = [_decode(path, line, row) for line, row in _numbered_rows(path)]
    return LabelledCustomers([customer for customer, _ in pairs], [churned for _, churned in pairs], sha256)


def _numbered_rows(path: Path) -> Iterator[tuple[int, Row]]:
    with open_file(path) as file:
        reader = CsvReader(path, read_lines(file))
        while (chunk := reader.take(STRIDE)).rows:
            yield from zip(chunk.lines, chunk.rows, strict=True)


def _decode(path: Path, line: int, row: Row) -> tuple[Customer, bool]:
    if row.Churn not in {"Yes", "No"}:
        raise DataError(f"{path}, line {line}: Churn is neither Yes nor No; training needs a label in every row")
    value = encode_row(row, _EVENT_TS)
    try:
        return decode_customer(value), row.Churn == "Yes"
    except BAD_DATA as error:
        raise DataError(f"{path}, line {line}: {explain(value, error)[2]}") from None
