"""Reads a whole CSV file, of which nothing is known but its delimiter, into profiles of its columns."""

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from telco_stream.contract.inference.profile import ColumnProfile
from telco_stream.csv.reader import BadRow, CsvFile, no_rows_error, open_file, read_lines
from telco_stream.csv.records import RecordReader, Records
from telco_stream.errors import DataError

#: Rows that are read at a time.
_STRIDE = 5_000
#: Characters of a header in which delimiters are counted; the fields of a longer one may exceed the limit of csv.
_MAX_HEADER = 65_536
#: Delimiters of columns.
_DELIMITERS = ",;\t|"
_DELIMITER_NAMES = {",": "commas", ";": "semicolons", "\t": "tabs"}
#: First bytes of files that are not CSV, and what to do about them.
_SIGNATURES = {
    b"\x1f\x8b": "is compressed; gunzip it first",
    b"PK\x03\x04": "is a ZIP archive or an Excel workbook; save it as CSV first",
}


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
    """Return a profile of each column; blank rows at the end of the file are skipped.

    `check_header` gets the names of the columns before the rows are read, and `advance` the number of rows that were
    read. Raises `DelimiterError` for another delimiter, `DataError` for a malformed row or a file without rows.
    """
    with open_file(path) as file:
        _check_signature(path, file)
        records = RecordReader(read_lines(file), options.delimiter)
        header = _read_header(path, records, options.delimiter)
        check_header(header)
        profiles, blank = list(map(ColumnProfile, header)), None
        position = header.index(options.label) if options.label else 0
        while (chunk := records.read(_STRIDE)).fields:
            rows, blank = _filled_rows(path, chunk, len(header), blank)
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


def _check_signature(path: Path, file: CsvFile) -> None:
    start = file.buffer.peek(4)
    for signature, advice in _SIGNATURES.items():
        if start.startswith(signature):
            raise DataError(f"{path} {advice}")


def _read_header(path: Path, records: RecordReader, delimiter: str) -> list[str]:
    chunk = records.read(1)
    if not chunk.fields:
        raise DataError(f"{path} is empty: a header line with the names of the columns is expected")
    if chunk.broken:
        raise DataError(BadRow(chunk.lines[0], chunk.broken[0], "").describe(path))
    lines = chunk.text_of(0)[:_MAX_HEADER].splitlines(keepends=True)
    columns = {other: len(next(csv.reader(lines, delimiter=other))) for other in (delimiter, *_DELIMITERS)}
    likely = max(columns, key=columns.__getitem__)
    if columns[likely] > columns[delimiter]:
        raise DelimiterError(path, delimiter, likely)
    if columns[delimiter] == 1:
        raise DataError(f"{path} has one column only: a key, a label and features are needed")
    return chunk.fields[0]


def _filled_rows(path: Path, chunk: Records, width: int, blank: BadRow | None) -> tuple[list[list[str]], BadRow | None]:
    """Return the rows that are not blank, and the first of the blank rows so far; raise `DataError` for a bad row.

    A blank row is bad if a row follows that is not.
    """
    is_filled = not chunk.broken and not blank and all(row[0].strip() for row in chunk.fields)
    if is_filled and set(map(len, chunk.fields)) == {width}:
        return chunk.fields, None
    rows = []
    for index, (line, row) in enumerate(zip(chunk.lines, chunk.fields, strict=True)):
        reason = chunk.broken.get(index)
        if not reason and not any(map(str.strip, row)):
            blank = blank or BadRow(line, "all fields are blank", "")
            continue
        if not reason and len(row) != width:
            reason = f"{len(row)} fields instead of {width}"
        if blank or reason:
            raise DataError((blank or BadRow(line, str(reason), "")).describe(path))
        rows.append(row)
    return rows, blank
