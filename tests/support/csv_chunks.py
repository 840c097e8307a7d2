"""Rows of a whole CSV file."""

from collections.abc import Iterator
from pathlib import Path

from telco_stream.contract.rows import Row
from telco_stream.csv.reader import open_reader
from telco_stream.csv.validation import CsvFormat


def read_chunks(path: Path, size: int, csv_format: CsvFormat, *, skip: int = 0) -> Iterator[list[Row]]:
    """Yield validated rows after the first `skip`, `size` at a time; raise `DataError` before it yields a bad chunk."""
    with open_reader(path, csv_format) as reader:
        reader.skip(skip)
        while rows := reader.take(size).rows:
            yield rows
