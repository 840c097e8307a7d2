"""Reads a whole CSV file, of which nothing is known but its delimiter, into profiles of its columns."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from telco_stream.contract.inference.profile import ColumnProfile
from telco_stream.csv.header import likely_delimiter
from telco_stream.csv.reader import describe_error, no_rows_error, open_file, read_lines
from telco_stream.csv.records import RecordReader, Records
from telco_stream.errors import DataError

#: Rows that are read at a time.
_STRIDE = 5_000
_DELIMITER_NAMES = {",": "commas", ";": "semicolons", "\t": "tabs"}


class DelimiterError(DataError):
    """The header has more columns with another delimiter."""

    def __init__(self, path: Path, delimiter: str, likely: str) -> None:
        used, other = (_DELIMITER_NAMES.get(each, f"`{each}`") for each in (delimiter, likely))
        super().__init__(f"{path} is separated by {other}, not by {used}")
        self.likely = likely


@dataclass(frozen=True, slots=True)
class FileOptions:
    """Options for reading a file; `label` and `positive` are the name of its label and the label's positive value."""

    delimiter: str = ","
    label: str | None = None
    positive: str | None = None


def read_profiles(
    path: Path, options: FileOptions, check_header: Callable[[Sequence[str]], None], advance: Callable[[int], None]
) -> list[ColumnProfile]:
    """Return a profile of each column.

    `check_header` gets the names of the columns before the rows are read, and `advance` the number of rows that were
    read. Raises `DelimiterError` for another delimiter, `DataError` for a malformed row or a file without rows.
    """
    with open_file(path) as file:
        records = RecordReader(read_lines(file, options.delimiter), options.delimiter)
        header = _read_header(path, records, options.delimiter)
        check_header(header)
        profiles = list(map(ColumnProfile, header))
        position = header.index(options.label) if options.label else 0
        while (chunk := records.read(_STRIDE)).fields:
            rows = _check_rows(path, chunk, len(header))
            by_label: tuple[list[list[str]], list[list[str]]] = [], []
            for row in rows:
                by_label[row[position] == options.positive].append(row)
            for label, labelled in enumerate(by_label):
                for profile, texts in zip(profiles, zip(*labelled, strict=True), strict=False):  # maybe no rows
                    profile.add(label, texts)
            advance(len(rows))
    if not profiles[0].total:
        raise no_rows_error(path)
    return profiles


def _read_header(path: Path, records: RecordReader, delimiter: str) -> list[str]:
    chunk = records.read(1)
    if not chunk.fields:
        raise DataError(f"{path} is empty: a header line with the names of the columns is expected")
    if chunk.broken:
        raise DataError(describe_error(path, chunk.lines[0], chunk.broken[0]))
    if likely := likely_delimiter(chunk.text_of(0), delimiter):
        raise DelimiterError(path, delimiter, likely)
    if len(chunk.fields[0]) == 1:
        raise DataError(f"{path} has one column only: a key, a label and features are needed")
    return chunk.fields[0]


def _check_rows(path: Path, chunk: Records, width: int) -> list[list[str]]:
    """Return the rows; raise `DataError` for a bad one, or a blank one, which can only be at the end of a file."""
    rows = chunk.fields
    if not chunk.broken and all(row[0].strip() for row in rows) and set(map(len, rows)) == {width}:
        return rows
    for index, (line, row) in enumerate(zip(chunk.lines, rows, strict=True)):
        reason = chunk.broken.get(index)
        if not reason and not any(map(str.strip, row)):
            reason = "all fields are blank"
        if not reason and len(row) != width:
            reason = f"{len(row)} fields instead of {width}"
        if reason:
            raise DataError(describe_error(path, line, reason))
    return rows
