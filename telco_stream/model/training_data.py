"""Labelled customers from a CSV, through the one decode that serving uses too."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from telco_stream.contracts.customer import BAD_DATA, Customer, decode_customer, explain
from telco_stream.contracts.raw import Row, encode_row
from telco_stream.csv.reader import STRIDE, CsvReader, fingerprint, open_file
from telco_stream.errors import DataError

#: The model doesn't see the time of the event, but there is no customer without one.
_ANY_TIME = "1970-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True)
class LabelledCustomers:
    """Customers, whether each has churned, and the file's sha256."""

    customers: list[Customer]
    churned: list[bool]
    sha256: str


def read_labelled_customers(path: Path) -> LabelledCustomers:
    """All rows of the CSV; raises DataError, with the line, for a row that can't be learnt from."""
    sha256 = fingerprint(path)
    pairs = [_labelled(path, line, row) for line, row in _numbered_rows(path)]
    return LabelledCustomers([customer for customer, _ in pairs], [churned for _, churned in pairs], sha256)


def _numbered_rows(path: Path) -> Iterator[tuple[int, Row]]:
    with open_file(path) as file:
        table = CsvReader(path, file)
        while (chunk := table.take(STRIDE)).rows:
            yield from zip(chunk.lines, chunk.rows, strict=True)


def _labelled(path: Path, line: int, row: Row) -> tuple[Customer, bool]:
    if row.Churn not in {"Yes", "No"}:
        raise DataError(f"{path}, line {line}: Churn is neither Yes nor No; a model learns from customers with a label")
    value = encode_row(row, _ANY_TIME)
    try:
        return decode_customer(value), row.Churn == "Yes"
    except BAD_DATA as error:
        raise DataError(f"{path}, line {line}: {explain(value, error)[2]}") from None
