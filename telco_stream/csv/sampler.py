"""Random rows of a CSV file."""

import csv
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from itertools import accumulate
from pathlib import Path
from random import Random

from telco_stream.contracts.raw import Row
from telco_stream.csv.reader import STRIDE, CsvReader, open_file
from telco_stream.csv.validation import Layout, RowError, check_rows
from telco_stream.errors import DataError


class RowSampler:
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
        if isinstance(rows, RowError) or len(rows) != count:
            raise self._changed()
        return rows

    def _text(self, index: int) -> bytes:
        start, end = self._starts[index : index + 2]
        self._file.seek(start)
        return self._file.read(end - start)

    def _changed(self) -> DataError:
        return DataError(f"{self._path} has changed since it was checked: start again")


@contextmanager
def open_sampler(path: Path) -> Iterator[RowSampler]:
    """The CSV's customers for drawing, after a check of the whole file; raises DataError."""
    with open_file(path) as file:
        layout, starts = _index(path, file)
        if len(starts) == 1:
            raise DataError(f"{path} holds no customers to draw from")
        yield RowSampler(path, file, layout, starts)


def _index(path: Path, file: BufferedReader) -> tuple[Layout, "array[int]"]:
    """The layout, the byte that each row begins at, and the file's end."""
    sizes, starts = array("Q"), array("Q")
    table = CsvReader(path, file, sizes)
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
