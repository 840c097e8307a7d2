"""`report --csv`: predictions as a table for spreadsheets."""

import csv
import io
from collections.abc import Iterable
from operator import attrgetter
from typing import BinaryIO

from telco_stream.messages.prediction import Prediction

COLUMNS = Prediction.__struct_fields__

#: A spreadsheet takes a text that begins so for a formula, and runs it.
_FORMULA = frozenset("=+-@\t\r\n")
_values = attrgetter(*COLUMNS)


class PredictionTable:
    """Writes a line for each prediction to `file`, below a heading: RFC 4180 in UTF-8."""

    def __init__(self, file: BinaryIO) -> None:
        self._write = csv.writer(_Utf8(file)).writerow
        self._write(COLUMNS)

    def add(self, prediction: Prediction, _time: float) -> None:
        """Write a prediction."""
        self._write([harmless(value) for value in _values(prediction)])


def harmless(value: str | float) -> str | float:
    """The value as a spreadsheet may open it: what it would run as a formula gets an apostrophe before it."""
    return f"'{value}" if isinstance(value, str) and value[:1] in _FORMULA else value


def csv_line(values: Iterable[str | float]) -> str:
    """One line of such a table, without its end."""
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(map(harmless, values))
    return text.getvalue()


class _Utf8:
    """Takes text for a file of bytes."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, text: str) -> int:
        return self._file.write(text.encode(errors="backslashreplace"))
