"""`produce --check`: validates a whole CSV file without sending it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from telco_stream.csv.header import log_ignored_columns
from telco_stream.csv.reader import STRIDE, CsvReader, HeaderError, no_rows_error, open_file, read_lines
from telco_stream.csv.validation import CsvFormat
from telco_stream.runtime.signals import Stop

#: Errors that are listed; all are counted.
_MAX_LISTED = 20


@dataclass(frozen=True, slots=True)
class ListedError:
    """The line that a bad row begins on, and what is wrong with it, without its values."""

    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class CheckResult:
    """Rows of the file and bad rows among them; `errors` lists the first 20, or the error of the header."""

    file: str
    rows: int = 0
    bad_rows: int = 0
    errors: Sequence[ListedError] = field(default_factory=list)


def check_file(path: Path, csv_format: CsvFormat, stop: Stop) -> CheckResult:
    """Validate all rows; raise `DataError` if the file can't be read or has no rows, `Stopped` if asked to stop."""
    rows, bad_rows, errors = 0, 0, list[ListedError]()
    with stop.interrupting(), open_file(path) as file:
        try:
            reader = CsvReader(path, read_lines(file, csv_format.delimiter), csv_format)
        except HeaderError as error:
            return CheckResult(str(path), errors=[ListedError(error.line, error.reason)])
        log_ignored_columns(reader.layout, csv_format)
        while (chunk := reader.read(STRIDE)).lines:
            rows, bad_rows = rows + len(chunk.lines), bad_rows + len(chunk.bad)
            errors += [ListedError(row.line, row.reason) for row in chunk.bad[: _MAX_LISTED - len(errors)]]
    if not rows:
        raise no_rows_error(path)
    return CheckResult(str(path), rows, bad_rows, errors)
