"""Reads a CSV file forward in constant memory. Errors name the line, counted as an editor counts lines."""

import csv
import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from io import BufferedReader, TextIOWrapper
from itertools import chain, islice
from pathlib import Path
from typing import TypeAlias

from telco_stream.contract.raw_row import Row
from telco_stream.csv.validation import Layout, RowError, read_header, validate_rows
from telco_stream.errors import DataError

#: Text, whose `buffer` gives the bytes.
CsvFile: TypeAlias = "TextIOWrapper[BufferedReader]"
#: Rows to take at a time: 20,000 cost twice as much each, because they exceed the processor's cache.
STRIDE = 1_000
#: Characters. Bounds the memory for a file without line breaks; the fields of a longer line exceed csv's limit.
_MAX_LINE = 1 << 22
_EXPECTED = "a header line with the 21 columns, separated by commas, is expected"


@dataclass(frozen=True, slots=True)
class Chunk:
    """Validated rows, and the line that each of them begins on."""

    rows: list[Row]
    lines: Sequence[int]


class CsvReader:
    """The rows of an open CSV file, after its header. Blank lines are skipped; every method raises DataError."""

    def __init__(self, path: Path, lines: Iterator[str]) -> None:
        """Read and check the header; `lines` are those of `read_lines`, and `path` is for errors."""
        self._path, self._lines = path, lines
        self._line = 1  # where the next row begins
        self.layout = self._read_header()

    def skip(self, count: int) -> None:
        """Skip `count` rows, checking only their encoding and quotes."""
        while count > 0 and (rows := self._read(min(count, STRIDE))[0]):
            count -= len(rows)

    def take(self, size: int) -> Chunk:
        """Return the next rows, at most `size`; no rows at the end of the file."""
        fields, lines = self._read(size)
        rows = validate_rows(self.layout, fields)
        if isinstance(rows, RowError):
            raise self._error(lines[rows.index], rows.reason)
        return Chunk(rows, lines)

    def _read(self, size: int) -> tuple[list[list[str]], Sequence[int]]:
        """Return the fields of at most `size` rows, and the line that each row begins on."""
        texts = list(islice(self._lines, size))
        rows = _split(texts)
        if rows is None:
            return self._parse(texts)
        lines = range(self._line, self._line + len(rows))
        self._line = lines.stop
        return rows, lines

    def _parse(self, texts: list[str]) -> tuple[list[list[str]], Sequence[int]]:
        """Parse as many rows as there are texts, which needs further lines if a row has several or lines are blank."""
        rows: list[list[str]] = []
        lines: list[int] = []
        reader, line = csv.reader(map(_check_line, chain(texts, self._lines)), strict=True), self._line
        try:
            for fields in reader:
                if fields:
                    rows.append(fields)
                    lines.append(line)
                line = self._line + reader.line_num
                if len(rows) == len(texts):
                    break
        except csv.Error as error:
            raise self._error(line, str(error)) from None
        except ValueError as error:
            raise self._error(self._line + reader.line_num, str(error), "save the file as UTF-8") from None
        self._line = line
        return rows, lines

    def _read_header(self) -> Layout:
        rows, lines = self._read(1)
        if not rows:
            raise DataError(f"{self._path} is empty: {_EXPECTED}")
        layout = read_header(rows[0])
        if isinstance(layout, RowError):
            raise self._error(lines[0], layout.reason, _EXPECTED)
        return layout

    def _error(self, line: int, reason: str, remedy: str = "fix or remove this line") -> DataError:
        return DataError(f"{self._path}, line {line}: {reason}; {remedy}")


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


def read_chunks(path: Path, size: int, *, skip: int = 0) -> Iterator[list[Row]]:
    """Yield validated rows after the first `skip`, `size` at a time; raises DataError before it yields a bad chunk."""
    with open_file(path) as file:
        reader = CsvReader(path, read_lines(file))
        reader.skip(skip)
        while rows := _take(reader, size):
            yield rows


def fingerprint(path: Path) -> str:
    """Return the file's sha256 in hexadecimal; raises DataError."""
    with open_file(path) as file:
        return hashlib.file_digest(file.buffer, "sha256").hexdigest()


def count_lines_after_header(path: Path) -> int:
    """Estimate the number of rows: blank lines and line breaks inside quotes count too. Raises DataError."""
    with open_file(path) as file:
        return max(0, sum(1 for _ in iter(partial(file.buffer.readline, _MAX_LINE), b"")) - 1)


def resolved_path(path: Path) -> str:
    """Return the path without links; bytes that are not UTF-8 are escaped, because JSON cannot hold them."""
    return os.fsencode(path.resolve()).decode(errors="backslashreplace")


def _take(reader: CsvReader, size: int) -> list[Row]:
    rows: list[Row] = []
    while len(rows) < size and (more := reader.take(min(STRIDE, size - len(rows))).rows):
        rows += more
    return rows


def _split(lines: list[str]) -> list[list[str]] | None:
    """Split plain lines, in half the time of csv.reader; None if a line is blank, has quotes or is not text."""
    text = "".join(lines)
    if '"' in text or _encoding_error(text) or max(map(len, lines), default=0) > csv.field_size_limit():
        return None
    rows = [line.rstrip("\r\n").split(",") for line in lines]
    return None if [""] in rows else rows


def _check_line(line: str) -> str:
    """Return the line; raises ValueError if it is not text."""
    if reason := _encoding_error(line):
        raise ValueError(reason)
    return line


def _encoding_error(text: str) -> str | None:
    """Return what is wrong with a text in which `surrogateescape` has replaced bytes that are not UTF-8."""
    try:
        return "holds a NUL byte" if b"\0" in text.encode() else None
    except UnicodeEncodeError:
        return "not UTF-8"
