"""Checks the form of a CSV before its rows are sent: columns, widths, customer IDs and numbers. Pure.

Unknown categories and numbers out of range pass: the consumer rejects them. Whole columns are checked at once, which is
several times faster than row by row; single rows are checked only to find the bad one.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from telco_stream.contract.customer import COLUMNS, NUMBERS
from telco_stream.contract.raw_row import Row, are_json_numbers, make_rows

#: Blank for a customer who has not been billed yet.
_MAY_BE_BLANK = ("TotalCharges",)
_NUMBER = re.compile(r"\s*([+-]?)(?=\.?\d)0*(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d+))?\s*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Layout:
    """The number of fields in a row, and the positions of the 21 columns among them, in the public order."""

    width: int
    positions: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class RowError:
    """The index of a bad row, and what is wrong with it, without its values."""

    index: int
    reason: str


def read_header(names: Sequence[str]) -> Layout | RowError:
    """Find the 21 columns; columns beyond them are ignored."""
    if missing := [column for column in COLUMNS if column not in names]:
        return RowError(0, f"missing column {', '.join(missing)}")
    if repeated := [column for column in COLUMNS if names.count(column) > 1]:
        return RowError(0, f"repeated column {', '.join(repeated)}")
    return Layout(len(names), tuple(names.index(column) for column in COLUMNS))


def validate_rows(
    layout: Layout, rows: Sequence[Sequence[str]], broken: Mapping[int, str] | None = None
) -> tuple[list[Row], list[RowError]]:
    """Return the good rows, typed, and the errors of the others; `broken` rows are bad for another reason."""
    typed = None if broken else _typed_rows(layout, rows)
    if typed is not None:
        return typed, []
    broken = broken or {}
    reasons = [broken.get(index) or _reason(layout, row) for index, row in enumerate(rows)]
    good = [row for row, reason in zip(rows, reasons, strict=True) if reason is None]
    errors = [RowError(index, reason) for index, reason in enumerate(reasons) if reason]
    return _typed_rows(layout, good) or [], errors


def _typed_rows(layout: Layout, rows: Sequence[Sequence[str]]) -> list[Row] | None:
    """Return all rows, or None if one of them is bad or there are no rows."""
    if set(map(len, rows)) != {layout.width}:
        return None
    table = list(zip(*rows, strict=True))
    columns: list[Sequence[str]] = []
    for name, position in zip(COLUMNS, layout.positions, strict=True):
        column = _json_column(name, table[position]) if name in NUMBERS else table[position]
        if column is None:
            return None
        columns.append(column)
    return make_rows(columns) if all(map(str.strip, columns[0])) else None


def _json_column(name: str, texts: Sequence[str]) -> Sequence[str] | None:
    """Return a column's numbers as JSON writes them, or None if one of the texts is not a number."""
    filled = [text for text in texts if text.strip()] if name in _MAY_BE_BLANK else texts
    if not are_json_numbers(filled):
        numbers = [number for text in texts if (number := _json_number(name, text))]
        return numbers if len(numbers) == len(texts) else None
    return texts if len(filled) == len(texts) else [text if text.strip() else "null" for text in texts]


def _json_number(name: str, text: str) -> str | None:
    """Return a number as JSON writes it (`+5`, `05`, `.5` and `5.` are not JSON), or None if it is not a number."""
    if name in _MAY_BE_BLANK and not text.strip():
        return "null"
    if not (match := _NUMBER.fullmatch(text)):
        return None
    sign, whole, fraction, exponent = match.groups()
    return (
        ("-" if sign == "-" else "")
        + (whole or "0")
        + (f".{fraction}" if fraction else "")
        + (f"e{exponent}" if exponent else "")
    )


def _reason(layout: Layout, row: Sequence[str]) -> str | None:
    if len(row) != layout.width:
        return f"{len(row)} fields instead of {layout.width}"
    fields = {name: row[position] for name, position in zip(COLUMNS, layout.positions, strict=True)}
    if not fields["customerID"].strip():
        return "no customerID"
    return next((f"{name} is not a number" for name in NUMBERS if not _json_number(name, fields[name])), None)
