"""A CSV file, read forward in constant memory, with the standard library's reader; every complaint names its line.

Bytes are decoded line by line, so that wrong encoding has a line number too. Lines are counted as an editor does,
quoted line breaks included; a row's line is the one that it begins on. Blank lines are passed over.
"""

import csv
import hashlib
import os
import re
import stat
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from itertools import chain, islice
from pathlib import Path

from telco_stream.contracts.raw import Row
from telco_stream.csv.validation import Layout, RowError, check_rows, read_header
from telco_stream.errors import DataError

#: Bytes read at a time; a line may be longer by `_MAX_LINE`.
_BLOCK = 1 << 16
_MAX_LINE = 1 << 20
#: Rows that are best taken at a time: of 20,000 each costs twice as much, outside the processor's cache.
STRIDE = 1_000
_EXPECTED = "a header line with the 21 columns, separated by commas, is expected"
_BOM = b"\xef\xbb\xbf"
_LINE_BREAK = re.compile(r"\r\n?|\n")


@contextmanager
def open_file(path: Path) -> Iterator[BufferedReader]:
    """The file's bytes; what the system refuses, now or while reading, is a DataError."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise DataError(f"{path} is not a file: give the path of a CSV file")
        with path.open("rb") as file:
            yield file
    except OSError as error:
        raise DataError(f"Cannot read {path}: {error.strerror or error}") from error


def read_chunks(path: Path, size: int, *, skip: int = 0) -> Iterator[list[Row]]:
    """Rows after the first `skip`, `size` at a time, a whole chunk checked before it comes; raises DataError."""
    with open_file(path) as file:
        table = CsvReader(path, file)
        table.skip(skip)
        while rows := _take(table, size):
            yield rows


def fingerprint(path: Path) -> str:
    """The file's sha256 in hexadecimal; raises DataError."""
    with open_file(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def count_lines_after_header(path: Path) -> int:
    """How many rows the file seems to have: blank lines and line breaks inside quotes count too; raises DataError."""
    lines, last = 0, b"\n"
    with open_file(path) as file:
        while block := file.read(1 << 20):
            lines, last = lines + block.count(b"\n"), block[-1:]
    return max(0, lines + (last != b"\n") - 1)


def resolved_path(path: Path) -> str:
    """Where the file is, whatever way led to it; bytes that are no UTF-8 are spelt out, since JSON knows none."""
    return os.fsencode(path.resolve()).decode(errors="backslashreplace")


@dataclass(frozen=True, slots=True)
class Chunk:
    """Checked rows, and the line that each begins on."""

    rows: list[Row]
    lines: Sequence[int]


class CsvReader:
    """The rows of an open CSV, whose header has been checked."""

    def __init__(self, path: Path, file: BufferedReader, line_sizes: "array[int] | None" = None) -> None:
        """Reads the header; the bytes of each line read are added to `line_sizes`. Raises DataError."""
        self._path = path
        self._texts = chain.from_iterable(_blocks(file, line_sizes))
        self._lines_read = 0
        self.layout = self._read_header()

    def skip(self, count: int) -> None:
        """Leaves `count` rows behind, unchecked but for encoding and quotes."""
        while count > 0 and (fields := self._parse(min(count, STRIDE))):
            count -= sum(map(bool, fields))

    def take(self, size: int) -> Chunk:
        """The next rows, `size` or less where lines are blank; no rows at the end. Raises DataError."""
        line = self._lines_read + 1
        while fields := self._parse(size):
            if rows := list(filter(None, fields)):
                return self._checked(rows, self._lines(fields, line))
            line = self._lines_read + 1
        return Chunk([], ())

    def _checked(self, rows: list[list[str]], lines: Sequence[int]) -> Chunk:
        checked = check_rows(self.layout, rows)
        if isinstance(checked, RowError):
            raise self._refusal(lines[checked.index], checked.reason)
        return Chunk(checked, lines)

    def _parse(self, size: int) -> list[list[str]]:
        texts: list[str] = []
        try:
            texts.extend(islice(self._texts, size))
        except ValueError as error:
            raise self._unreadable(len(texts), error) from None
        # Without quotes a row is a line and its commas separate: to split it takes half the reader's time.
        if '"' in "".join(texts) or max(map(len, texts), default=0) > csv.field_size_limit():
            return self._parse_quoted(texts)
        self._lines_read += len(texts)
        return [line.split(",") if (line := text.rstrip("\r\n")) else [] for text in texts]

    def _parse_quoted(self, texts: list[str]) -> list[list[str]]:
        """The rows that begin in these lines; the last one may reach beyond them."""
        fields: list[list[str]] = []
        reader = csv.reader(chain(texts, self._texts), strict=True)
        try:
            fields.extend(islice(reader, len(texts)))
        except csv.Error as error:
            # What was read before the error tells where the row begins that it arose in.
            raise self._refusal(self._lines_read + 1 + sum(map(_height, fields)), str(error)) from None
        except ValueError as error:
            raise self._unreadable(reader.line_num, error) from None
        self._lines_read += reader.line_num
        return fields

    def _lines(self, fields: list[list[str]], line: int) -> Sequence[int]:
        """The line that each row begins on, given the first one's."""
        if all(fields) and self._lines_read + 1 == line + len(fields):
            return range(line, line + len(fields))
        lines = []
        for row in fields:
            if row:
                lines.append(line)
            line += _height(row)
        return lines

    def _read_header(self) -> Layout:
        while header := self._parse(1):
            if header[0]:
                layout = read_header(header[0])
                if isinstance(layout, RowError):
                    raise self._refusal(self._lines_read, layout.reason, _EXPECTED)
                return layout
        raise DataError(f"{self._path} is empty: {_EXPECTED}")

    def _unreadable(self, lines: int, error: ValueError) -> DataError:
        """A line that is no text, after so many that are."""
        line = self._lines_read + lines + 1
        if isinstance(error, UnicodeDecodeError):
            return self._refusal(line, "not UTF-8", "save the file as UTF-8")
        return self._refusal(line, str(error))

    def _refusal(self, line: int, reason: str, way_out: str = "mend the file, or leave that line out") -> DataError:
        return DataError(f"{self._path}, line {line}: {reason}; {way_out}")


def _blocks(file: BufferedReader, line_sizes: "array[int] | None") -> Iterator[Iterator[str]]:
    """The lines of one block after the other, each with its line end."""
    block = file.read(_BLOCK) + file.readline(_MAX_LINE)
    mark = len(_BOM) if block.startswith(_BOM) else 0
    while block:
        lines = block.splitlines(keepends=True)
        if line_sizes is not None:
            line_sizes.extend(map(len, lines))
        lines[0] = lines[0][mark:]
        yield map(_decode_without_nul if b"\0" in block else bytes.decode, lines)
        block, mark = file.read(_BLOCK) + file.readline(_MAX_LINE), 0


def _decode_without_nul(line: bytes) -> str:
    text = line.decode()
    if "\0" in text:
        raise ValueError("holds a NUL byte")
    return text


def _height(row: list[str]) -> int:
    """Lines of the file that a row takes."""
    return 1 + sum(len(_LINE_BREAK.findall(field)) for field in row)


def _take(table: CsvReader, size: int) -> list[Row]:
    rows: list[Row] = []
    while len(rows) < size and (more := table.take(min(STRIDE, size - len(rows))).rows):
        rows += more
    return rows
