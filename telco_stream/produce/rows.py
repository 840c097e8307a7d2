"""Rows of the file that a pass has left to send, and the file of its bad rows."""

import csv
import io
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from telco_stream.contract.rows import Row, RowCodec
from telco_stream.csv.reader import STRIDE, BadRow, CsvReader, open_reader
from telco_stream.csv.validation import CsvFormat
from telco_stream.errors import DataError, UsageError
from telco_stream.produce.progress import PassKey, PassProgress
from telco_stream.runtime.signals import Stop

#: First columns of the file of bad rows, before those of the data file.
_COLUMNS = ("line", "reason")
#: The start of a file of bad rows, with any delimiter.
_BAD_ROWS = re.compile(rb"line.reason")


@dataclass(frozen=True, slots=True)
class Step:
    """The next rows of a pass, at most a chunk: good and bad ones, and the hash of the file up to their end."""

    rows: Sequence[Row]
    bad: Sequence[BadRow]
    rows_hash: str
    ends_file: bool


class BadRowsFile:
    """CSV file of the bad rows of a pass: line, reason, and the row as it is in the data file.

    `produce` ignores the first two columns, so that the file can be sent once its rows are corrected. If the rows of
    the data file are numbered, a third column has their numbers as keys.
    """

    def __init__(self, path: Path, data_path: Path, csv_format: CsvFormat) -> None:
        """Refuse to replace the data file, or another file that does not hold bad rows; raise `UsageError`."""
        self._path, self._format = path, csv_format
        with _writing(path):
            if not path.exists():
                if not path.parent.is_dir():
                    raise UsageError(f"Cannot write {path}: the folder {path.parent} does not exist; create it first")
                return
            if path.samefile(data_path):
                raise UsageError("--bad-rows is the file to send; give the path of another file")
            start = None
            if path.is_file():
                with path.open("rb") as file:
                    start = file.read(len("line,reason"))
        if start and not _BAD_ROWS.fullmatch(start):
            raise UsageError(f"--bad-rows: {path} exists and does not hold bad rows; remove it or use another path")

    @contextmanager
    def replaced(self, header: str) -> Iterator[None]:
        """Write the header; rows can be added while the block runs."""
        with _writing(self._path):
            self._file = self._path.open("wb", buffering=0)
        try:
            key = [self._format.contract.key.name] if self._format.number_rows else []
            self._write(self._format_line([*_COLUMNS, *key], header))
            yield
            with _writing(self._path):
                os.fsync(self._file.fileno())
        finally:
            self._file.close()

    def add(self, rows: Sequence[BadRow]) -> None:
        """Append rows."""
        numbers = [[row.number] if self._format.number_rows else [] for row in rows]
        self._write(
            b"".join(
                self._format_line([row.line, row.reason, *number], row.text)
                for row, number in zip(rows, numbers, strict=True)
            )
        )

    def _format_line(self, columns: Sequence[object], text: str) -> bytes:
        """Return a line with these columns, followed by a line of the data file."""
        line, delimiter = io.StringIO(), self._format.delimiter
        csv.writer(line, delimiter=delimiter, lineterminator=delimiter).writerow(columns)
        return f"{line.getvalue()}{text}\n".encode(errors="surrogateescape")

    def _write(self, data: bytes) -> None:
        with _writing(self._path):
            while data:  # an unbuffered write may be partial
                data = data[self._file.write(data) :]


class PassRows:
    """The open file of a pass, after the rows that were sent."""

    def __init__(self, reader: CsvReader, bad_rows: BadRowsFile | None) -> None:
        self._reader = reader
        self._bad_rows = bad_rows

    @property
    def codec(self) -> RowCodec:
        """Encoder of the rows."""
        return self._reader.layout.codec

    def steps(self, size: int, limit: float) -> Iterator[Step]:
        """Yield the next rows up to the limit, `size` at a time; yield one step without rows if none are left.

        Reads one step ahead, because the confirmation of the last row also marks the pass as finished.
        """
        chunk = self._reader.read(int(min(size, limit)))
        remaining = limit - len(chunk.lines)
        while True:
            rows_hash = self._reader.digest()
            following = self._reader.read(int(min(size, remaining)) or 1)
            yield Step(chunk.rows, chunk.bad, rows_hash, ends_file=not following.lines)
            if not following.lines or remaining <= 0:
                return
            chunk, remaining = following, remaining - len(following.lines)

    def set_aside(self, bad: Sequence[BadRow]) -> bool:
        """Write bad rows to their file; return False without such a file."""
        if self._bad_rows:
            self._bad_rows.add(bad)
        return self._bad_rows is not None


@contextmanager
def open_rows(
    path: Path, csv_format: CsvFormat, progress: PassProgress, bad_rows: BadRowsFile | None, stop: Stop
) -> Iterator[PassRows]:
    """Open the file after the rows that were sent; raise `DataError` if those have changed.

    The file of bad rows is written from the beginning, so that its content does not depend on an earlier run.
    """
    with ExitStack() as open_files:
        reader = open_files.enter_context(open_reader(path, csv_format))
        with stop.interrupting():  # many rows can take long
            reader.skip(progress.rows_done)
            if progress.rows_hash not in {None, reader.digest()}:
                raise DataError(describe_changed_rows(progress.of, progress.rows_done))
            if bad_rows:
                open_files.enter_context(bad_rows.replaced(reader.header))
                _write_earlier_bad_rows(path, csv_format, progress.rows_done, bad_rows)
        yield PassRows(reader, bad_rows)


def describe_changed_rows(pass_key: PassKey, rows: int) -> str:
    """Return the message for a file in which rows have changed after they were sent."""
    if pass_key.run_id is None:
        return (
            f"The header or one of the first {rows} rows of {pass_key.file} has changed since they were sent; restore"
            " them to continue (later rows may change), or start over with --restart"
        )
    return (
        f"The unfinished run {pass_key.run_id} has sent {rows} rows, which this file does not begin with; continue with"
        " the run's file (its later rows may change), use another --run-id, or start over with --restart"
    )


def _write_earlier_bad_rows(path: Path, csv_format: CsvFormat, count: int, bad_rows: BadRowsFile) -> None:
    """Write the bad rows among the first `count` rows of the file."""
    with open_reader(path, csv_format) as reader:
        while count > 0 and (chunk := reader.read(min(count, STRIDE))).lines:
            bad_rows.add(chunk.bad)
            count -= len(chunk.lines)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UsageError(f"Cannot write {path}: {error.strerror or error}") from error
