"""Reads a CSV file forward in constant memory. Errors name the line, counted as an editor counts lines.

Blank rows at the end, with no character but blanks and delimiters, are not read: Excel writes them.
"""

import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from io import BufferedReader, TextIOWrapper
from pathlib import Path
from typing import TypeAlias

from telco_stream.contract.rows import Row
from telco_stream.csv.blank_rows import end_of_rows, start_of_text
from telco_stream.csv.header import explain_missing, list_aliases
from telco_stream.csv.records import ENCODING_ERRORS, RecordReader, Records
from telco_stream.csv.validation import (
    CsvFormat,
    Layout,
    RowError,
    missing_columns,
    read_header,
    rename_columns,
    validate_rows,
)
from telco_stream.errors import DataError, UsageError

#: Text, whose `buffer` gives the bytes.
CsvFile: TypeAlias = "TextIOWrapper[BufferedReader]"
#: Rows to take at a time: 20,000 cost twice as much each, because they exceed the processor's cache.
STRIDE = 1_000
#: Characters. Bounds the memory for a file without line breaks; the fields of a longer line exceed csv's limit.
_MAX_LINE = 1 << 22
#: Bytes to count lines in at a time.
_BLOCK = 1 << 20
#: First bytes of files that are not CSV, and what to do about them.
_SIGNATURES = {
    b"\x1f\x8b": "is compressed; gunzip it first",
    b"PK\x03\x04": "is a ZIP archive or an Excel workbook; unzip it, or save it as CSV",
    b"\xfd7zXZ\0": "is compressed; unxz it first",
    b"BZh": "is compressed; bunzip2 it first",
    b"\x28\xb5\x2f\xfd": "is compressed; unzstd it first",
    b"\xff\xfe": "is UTF-16; save it as UTF-8",
    b"\xfe\xff": "is UTF-16; save it as UTF-8",
}


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that can't be sent: its number among the rows, its first line, what is wrong with it, and its text.

    Bytes of the text that are not UTF-8 are escaped by `surrogateescape`.
    """

    number: int
    line: int
    reason: str
    text: str = field(repr=False)

    def describe(self, path: Path) -> str:
        """Return a message that says what to do, without the row's values."""
        return describe_error(path, self.line, self.reason)


@dataclass(frozen=True, slots=True)
class Chunk:
    """Validated rows, the bad rows among them, and the line that each row begins on, good or bad."""

    rows: list[Row]
    bad: Sequence[BadRow]
    lines: Sequence[int]


class CsvReader:
    """The rows of an open CSV file, after its header. Blank lines are skipped."""

    def __init__(self, path: Path, lines: Iterator[str], csv_format: CsvFormat) -> None:
        """Read and check the header; `lines` are those of `read_lines`, and `path` is for errors."""
        self._path, self._format = path, csv_format
        self._records, self._rows = RecordReader(lines, csv_format.delimiter), 0
        header = self._records.read(1)
        self.layout = self._check_header(header)
        #: The header line as it is in the file.
        self.header = header.text_of(0)

    def skip(self, count: int) -> None:
        """Skip `count` rows without checking them."""
        while count > 0 and (rows := self._records.read(min(count, STRIDE)).fields):
            count -= len(rows)
            self._rows += len(rows)

    def read(self, size: int) -> Chunk:
        """Return the next rows, at most `size`, good and bad; none at the end of the file."""
        chunk = self._read_stride(min(size, STRIDE))
        while STRIDE <= len(chunk.lines) < size:
            more = self._read_stride(min(size - len(chunk.lines), STRIDE))
            if not more.lines:
                break
            chunk = Chunk(chunk.rows + more.rows, [*chunk.bad, *more.bad], [*chunk.lines, *more.lines])
        return chunk

    def take(self, size: int) -> Chunk:
        """Return the next rows, at most `size`; raise `DataError` for a bad one."""
        chunk = self.read(size)
        if chunk.bad:
            raise DataError(chunk.bad[0].describe(self._path))
        return chunk

    def digest(self) -> str:
        """Return a hash of the file's bytes up to the end of the last row, without a byte order mark."""
        return self._records.digest()

    def _read_stride(self, size: int) -> Chunk:
        records = self._records.read(size)
        first, self._rows = self._rows + 1, self._rows + len(records.fields)
        numbers = range(first, self._rows + 1)
        rows, errors = validate_rows(self.layout, records.fields, records.broken, numbers=numbers)
        bad = [
            BadRow(numbers[error.index], records.lines[error.index], error.reason, records.text_of(error.index))
            for error in errors
        ]
        return Chunk(rows, bad, records.lines)

    def _check_header(self, header: Records) -> Layout:
        if not header.fields:
            raise DataError(f"{self._path} is empty: {self._expected()}")
        if header.broken:
            raise HeaderError(self._path, header.lines[0], header.broken[0])
        names, key = rename_columns(header.fields[0], self._format), self._format.contract.key.name
        if self._format.number_rows and key in names:
            raise UsageError(f"{self._path} has the column `{key}`, which is the key: omit --number-rows")
        layout = read_header(header.fields[0], self._format)
        if isinstance(layout, RowError):
            is_missing = missing_columns(names, self._format)
            advice = explain_missing(header.text_of(0), names, self._format) if is_missing else "keep one of them"
            raise HeaderError(self._path, header.lines[0], layout.reason, advice)
        return layout

    def _expected(self) -> str:
        if self._format.aliases:
            return f"a header line with {list_aliases(self._format)} is expected"
        columns = len(missing_columns([], self._format))
        return f"a header line with the {columns} columns of the contract {self._format.contract.name} is expected"


class HeaderError(DataError):
    """The header does not have the columns of the contract; `advice` says what to do."""

    def __init__(self, path: Path, line: int, reason: str, advice: str | None = None) -> None:
        super().__init__(describe_error(path, line, reason, advice))
        self.line, self.reason = line, f"{reason}; {advice}" if advice else reason


@contextmanager
def open_file(path: Path) -> Iterator[CsvFile]:
    """Open a CSV file; an OSError inside the block becomes a DataError, and so does a file that is not text."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise DataError(f"{path} is not a file: give the path of a CSV file")
        with (
            path.open("rb") as file,
            TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="") as text,
        ):
            start = file.peek(8)
            for signature, advice in _SIGNATURES.items():
                if start.startswith(signature):
                    raise DataError(f"{path} {advice}")
            yield text
    except OSError as error:
        raise DataError(f"Cannot read {path}: {error.strerror or error}") from error


def read_lines(file: CsvFile, delimiter: str) -> Iterator[str]:
    """Return the lines of a file that `open_file` has opened, each with its line end, up to the last row."""
    end = end_of_rows(file.buffer, delimiter)
    lines = iter(partial(file.readline, _MAX_LINE), "")
    return lines if end is None else _lines_before(lines, start_of_text(file.buffer), end)


@contextmanager
def open_reader(path: Path, csv_format: CsvFormat) -> Iterator[CsvReader]:
    """Open a CSV file after its header, as `open_file` does; raise `DataError` for a bad header."""
    with open_file(path) as file:
        yield CsvReader(path, read_lines(file, csv_format.delimiter), csv_format)


def fingerprint(path: Path) -> str:
    """Return the file's sha256 in hexadecimal; raises DataError."""
    with open_file(path) as file:
        return hashlib.file_digest(file.buffer, "sha256").hexdigest()


def read_layout(path: Path, csv_format: CsvFormat) -> Layout:
    """Return the layout of a file's rows; raise `DataError` for a bad header."""
    with open_reader(path, csv_format) as reader:
        return reader.layout


def count_lines_after_header(path: Path, delimiter: str) -> int:
    """Estimate the number of rows: blank lines before the last row and line breaks in quotes count too.

    Raises `DataError`.
    """
    lines, last = 0, b"\n"
    with open_file(path) as file:
        end = end_of_rows(file.buffer, delimiter)
        left = path.stat().st_size if end is None else end
        while left > 0 and (block := file.buffer.read(min(left, _BLOCK))):
            lines, last, left = lines + block.count(b"\n"), block[-1:], left - len(block)
    return max(0, lines - 1 + (last != b"\n"))


def no_rows_error(path: Path) -> DataError:
    """Return the error for a file with a header only."""
    return DataError(f"{path} has no rows after its header; nothing was sent")


def resolved_path(path: Path) -> str:
    """Return the path without links; bytes that are not UTF-8 are escaped, because JSON cannot hold them."""
    return os.fsencode(path.resolve()).decode(errors="backslashreplace")


def describe_error(path: Path, line: int, reason: str, advice: str | None = None) -> str:
    """Return a message about a line, with what to do."""
    default = "save the file as UTF-8" if reason in ENCODING_ERRORS else "fix or remove this line"
    return f"{path}, line {line}: {reason}; {advice or default}"


def _lines_before(lines: Iterator[str], position: int, end: int) -> Iterator[str]:
    """Yield the lines that begin before the byte `end`, given the byte at which the first one begins."""
    for line in lines:
        if position >= end:
            return
        position += len(line.encode(errors="surrogateescape"))
        yield line
