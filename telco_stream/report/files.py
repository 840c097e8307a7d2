"""Output files of `report`: opened before anything is read, complete or absent, and the CSV table."""

import csv
import io
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from operator import attrgetter
from pathlib import Path
from typing import BinaryIO

from telco_stream.errors import UsageError
from telco_stream.messages.prediction import Prediction
from telco_stream.runtime.files import atomic_write

COLUMNS = Prediction.__struct_fields__

#: Spreadsheets run a text that begins with one of these characters as a formula.
_FORMULA = frozenset("=+-@\t\r\n")
_values = attrgetter(*COLUMNS)


@contextmanager
def open_outputs(*paths: Path | None) -> Iterator[list[BinaryIO | None]]:
    """Open a file for each path; raise `UsageError` if one can't be written or two paths are the same file."""
    resolved = [path.resolve() for path in paths if path]
    if len(set(resolved)) < len(resolved):
        raise UsageError(f"Two output files can't both be {resolved[0]}; give each a different name")
    with ExitStack() as files:
        yield [files.enter_context(atomic_write(path)) if path else None for path in paths]


class PredictionTable:
    """CSV table of predictions with a header line: RFC 4180 in UTF-8."""

    def __init__(self, file: BinaryIO) -> None:
        self._write = csv.writer(_Utf8Writer(file)).writerow
        self._write(COLUMNS)

    def add(self, prediction: Prediction, _time: float) -> None:
        """Write a prediction."""
        self._write([harmless(value) for value in _values(prediction)])


def harmless(value: str | float) -> str | float:
    """Return the value for a spreadsheet: texts that it would run as a formula get an apostrophe in front."""
    return f"'{value}" if isinstance(value, str) and value[:1] in _FORMULA else value


def csv_line(values: Iterable[str | float]) -> str:
    """Return one line of a table without its line end."""
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(map(harmless, values))
    return text.getvalue()


class _Utf8Writer:
    """Text writer for a binary file."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, text: str) -> int:
        return self._file.write(text.encode(errors="backslashreplace"))
