"""Customers from a CSV, in its order or at random: checked rows that `encode_row` turns into the raw topic's values."""

import csv
import hashlib
import os
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from itertools import accumulate
from pathlib import Path
from random import Random

from telco_stream.contracts.raw import Row, encode_row
from telco_stream.errors import DataError
from telco_stream.form import Fault, Layout, check_rows
from telco_stream.rows.table import STRIDE, Table, open_file

__all__ = ["Population", "Row", "encode_row", "fingerprint", "lines_after_header", "load_rows", "read_chunks"]

#: Bytes that are looked through at a time.
_BLOCK = 1 << 20


def read_chunks(path: Path, size: int, *, skip: int = 0) -> Iterator[list[Row]]:
    """Rows after the first `skip`, `size` at a time, a whole chunk checked before it comes; raises DataError."""
    with open_file(path) as file:
        table = Table(path, file)
        table.skip(skip)
        while rows := _take(table, size):
            yield rows


def fingerprint(path: Path) -> str:
    """The file's sha256 in hexadecimal; raises DataError."""
    with open_file(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def lines_after_header(path: Path) -> int:
    """How many rows the file seems to have: blank lines and line breaks inside quotes count too; raises DataError."""
    lines, last = 0, b"\n"
    with open_file(path) as file:
        while block := file.read(_BLOCK):
            lines, last = lines + block.count(b"\n"), block[-1:]
    return max(0, lines + (last != b"\n") - 1)


def full_name(path: Path) -> str:
    """Where the file is, whatever way led to it; bytes that are no UTF-8 are spelt out, since JSON knows none."""
    return os.fsencode(path.resolve()).decode(errors="backslashreplace")


class Population:
    """A checked CSV to draw customers from: 8 bytes a row in memory, the rows stay in the file."""

    def __init__(self, path: Path, file: BufferedReader, layout: Layout, starts: "array[int]") -> None:
        """`starts` holds the byte that each row begins at, and the file's end."""
        self._path, self._file, self._layout, self._starts = path, file, layout, starts

    def __len__(self) -> int:
        return len(self._starts) - 1

    def draw(self, random: Random, count: int) -> list[Row]:
        """`count` customers with replacement; the same state of `random` draws the same ones. Raises DataError."""
        texts = [self._text(int(random.random() * len(self))) for _ in range(count)]
        try:
            rows = check_rows(self._layout, list(csv.reader(map(bytes.decode, texts), strict=True)))
        except (ValueError, csv.Error):
            raise self._changed() from None
        if isinstance(rows, Fault) or len(rows) != count:
            raise self._changed()
        return rows

    def _text(self, index: int) -> bytes:
        start, end = self._starts[index : index + 2]
        self._file.seek(start)
        return self._file.read(end - start)

    def _changed(self) -> DataError:
        return DataError(f"{self._path} has changed since it was checked: start again")


@contextmanager
def load_rows(path: Path) -> Iterator[Population]:
    """The CSV's customers for drawing, after a check of the whole file; raises DataError."""
    with open_file(path) as file:
        layout, starts = _index(path, file)
        if len(starts) == 1:
            raise DataError(f"{path} holds no customers to draw from")
        yield Population(path, file, layout, starts)


def _take(table: Table, size: int) -> list[Row]:
    rows: list[Row] = []
    while len(rows) < size and (more := table.take(min(STRIDE, size - len(rows))).rows):
        rows += more
    return rows


def _index(path: Path, file: BufferedReader) -> tuple[Layout, "array[int]"]:
    """The layout, the byte that each row begins at, and the file's end."""
    sizes, starts = array("Q"), array("Q")
    table = Table(path, file, sizes)
    # The line and the byte that `sizes` begins with; lines left behind are dropped from it.
    line, offset = 1, 0
    while (chunk := table.take(STRIDE)).rows:
        begins = list(accumulate(sizes, initial=offset))
        starts.extend(begins[at - line] for at in chunk.lines)
        passed = chunk.lines[-1] - line
        line, offset = line + passed, begins[passed]
        del sizes[:passed]
    starts.append(offset + sum(sizes))
    return table.layout, starts
