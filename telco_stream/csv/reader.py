"""Reads a CSV file forward in constant memory. Errors name the line, counted as an editor counts lines."""

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
from telco_stream.csv.records import ENCODING_ERRORS, RecordReader, Records
from telco_stream.csv.validation import CsvFormat, Layout, RowError, read_header, validate_rows
from telco_stream.errors import DataError

#: Text, whose `buffer` gives the bytes.
CsvFile: TypeAlias = "TextIOWrapper[BufferedReader]"
#: Rows to take at a time: 20,000 cost twice as much each, because they exceed the processor's cache.
STRIDE = 1_000
#: Characters. Bounds the memory for a file without line breaks; the fields of a longer line exceed csv's limit.
_MAX_LINE = 1 << 22
#: Bytes to count lines in at a time.
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that can't be sent: the line that it begins on, what is wrong with it, and its text in the file.

    Bytes of the text that are not UTF-8 are escaped by `surrogateescape`.
    """

    line: int
    reason: str
    text: str = field(repr=False)

    def describe(self, path: Path) -> str:
        """Return a message that says what to do, without the row's values."""
        return _describe_error(path, self.line, self.reason)


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
        bad = [BadRow(records.lines[error.index], error.reason, records.text_of(error.index)) for error in errors]
        return Chunk(rows, bad, records.lines)

    def _check_header(self, header: Records) -> Layout:
        if not header.fields:
            raise DataError(f"{self._path} is empty: {self._expected()}")
        if header.broken:
            raise HeaderError(self._path, header.lines[0], header.broken[0])
        layout = read_header(header.fields[0], self._format)
        if isinstance(layout, RowError):
            raise HeaderError(self._path, header.lines[0], layout.reason, self._expected())
        return layout

    def _expected(self) -> str:
        columns = len(self._format.contract.columns) + (not self._format.number_rows) + self._format.requires_label
        separator = {",": "commas", ";": "semicolons", "\t": "tabs"}.get(self._format.delimiter, "the delimiter")
        return f"a header line with the {columns} columns of the contract, separated by {separator}, is expected"


class HeaderError(DataError):
    """The header is not that of a customer file."""

    def __init__(self, path: Path, line: int, reason: str, remedy: str | None = None) -> None:
        super().__init__(_describe_error(path, line, reason, remedy))
        self.line, self.reason = line, reason


@contextmanager
def open_file(path: Path) -> Iterator[CsvFile]:
    """Open a CSV file; an OSError inside the block becomes a DataError."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise DataError(f"{path} is not a file: give the path of a CSV file")
        with (
            path.open("rb") as file,
            TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="") as text,
        ):
            yield text
    except OSError as error:
        raise DataError(f"Cannot read {path}: {error.strerror or error}") from error


def read_lines(file: CsvFile) -> Iterator[str]:
    """Return the lines of a file that `open_file` has opened, each with its line end."""
    return iter(partial(file.readline, _MAX_LINE), "")


@contextmanager
def open_reader(path: Path, csv_format: CsvFormat) -> Iterator[CsvReader]:
    """Open a CSV file after its header, as `open_file` does; raise `DataError` for a bad header."""
    with open_file(path) as file:
        yield CsvReader(path, read_lines(file), csv_format)


def read_chunks(path: Path, size: int, csv_format: CsvFormat, *, skip: int = 0) -> Iterator[list[Row]]:
    """Yield validated rows after the first `skip`, `size` at a time; raise `DataError` before it yields a bad chunk."""
    with open_reader(path, csv_format) as reader:
        reader.skip(skip)
        while rows := reader.take(size).rows:
            yield rows


def fingerprint(path: Path) -> str:
    """Return the file's sha256 in hexadecimal; raises DataError."""
    with open_file(path) as file:
        return hashlib.file_digest(file.buffer, "sha256").hexdigest()


def count_lines_after_header(path: Path) -> int:
    """Estimate the number of rows: blank lines and line breaks inside quotes count too. Raise `DataError`."""
    lines, last = 0, b"\n"
    with open_file(path) as file:
        for block in iter(partial(file.buffer.read, _BLOCK), b""):
            lines, last = lines + block.count(b"\n"), block[-1:]
    return max(0, lines - 1 + (last != b"\n"))


def no_rows_error(path: Path) -> DataError:
    """Return the error for a file with a header only."""
    return DataError(f"{path} has no rows after its header; nothing was sent")


def resolved_path(path: Path) -> str:
    """Return the path without links; bytes that are not UTF-8 are escaped, because JSON cannot hold them."""
    return os.fsencode(path.resolve()).decode(errors="backslashreplace")


def _describe_error(path: Path, line: int, reason: str, remedy: str | None = None) -> str:
    default = "save the file as UTF-8" if reason in ENCODING_ERRORS else "fix or remove this line"
    return f"{path}, line {line}: {reason}; {remedy or default}"
