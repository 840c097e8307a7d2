"""Draws random rows from a CSV file without holding it in memory."""

import csv
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from io import BufferedReader
from pathlib import Path
from random import Random

from telco_stream.contract.rows import Row
from telco_stream.csv.blank_rows import start_of_text
from telco_stream.csv.reader import STRIDE, CsvFile, CsvReader, no_rows_error, open_file, read_lines
from telco_stream.csv.validation import CsvFormat, Layout, validate_rows
from telco_stream.errors import DataError


class RowSampler:
    """Draws rows of a checked CSV file. Holds 8 bytes for each row; the rows are read from the file."""

    def __init__(self, path: Path, file: BufferedReader, layout: Layout, starts: "array[int]", delimiter: str) -> None:
        """`starts` holds the byte that each row begins at, and the size of the file."""
        self.layout = layout
        self._path, self._file, self._starts, self._delimiter = path, file, starts, delimiter

    def __len__(self) -> int:
        return len(self._starts) - 1

    def draw(self, random: Random, count: int) -> list[Row]:
        """Draw `count` rows with replacement; the same state of `random` draws the same rows. Raises DataError."""
        drawn = [int(random.random() * len(self)) for _ in range(count)]
        texts = map(bytes.decode, map(self._read, drawn))
        try:
            fields = list(csv.reader(texts, delimiter=self._delimiter, strict=True))
            rows, errors = validate_rows(self.layout, fields, numbers=[index + 1 for index in drawn])
        except (ValueError, csv.Error):
            raise self._changed() from None
        if errors or len(rows) != count:
            raise self._changed()
        return rows

    def _read(self, index: int) -> bytes:
        start, end = self._starts[index : index + 2]
        self._file.seek(start)
        return self._file.read(end - start)

    def _changed(self) -> DataError:
        return DataError(f"{self._path} has changed since it was checked: start again")


@contextmanager
def open_sampler(path: Path, csv_format: CsvFormat) -> Iterator[RowSampler]:
    """Check the whole CSV file and open it for drawing; raises DataError."""
    with open_file(path) as file:
        layout, starts = _index(path, file, csv_format)
        if len(starts) == 1:
            raise no_rows_error(path)
        yield RowSampler(path, file.buffer, layout, starts, csv_format.delimiter)


def _index(path: Path, file: CsvFile, csv_format: CsvFormat) -> tuple[Layout, "array[int]"]:
    """Return the layout, and the byte that each row begins at, followed by the size of the file."""
    line_starts, starts = array("Q", [start_of_text(file.buffer)]), array("Q")
    lines = _record_starts(read_lines(file, csv_format.delimiter), line_starts)
    reader = CsvReader(path, lines, replace(csv_format, ignores_time=True))
    while (chunk := reader.take(STRIDE)).rows:
        starts.extend(line_starts[line - 1] for line in chunk.lines)
    starts.append(line_starts[-1])
    return reader.layout, starts


def _record_starts(lines: Iterator[str], starts: "array[int]") -> Iterator[str]:
    """Yield the lines; append the byte at which each one ends, where the next one begins."""
    for line in lines:
        starts.append(starts[-1] + len(line.encode(errors="surrogateescape")))
        yield line
