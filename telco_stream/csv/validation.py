"""The form that a CSV must have before its rows may be sent. Pure: fields in, rows or the first fault out.

Unknown categories and numbers out of range have good form: they are the consumer's to reject. Whole columns are judged
at once, several times faster than row by row; only rows that fail are walked for the guilty one.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from telco_stream.contracts.customer import COLUMNS, NUMBERS
from telco_stream.contracts.raw import Row, are_json_numbers, make_rows

#: Columns that may be blank: not billed yet.
_MAY_BE_BLANK = ("TotalCharges",)
_NUMBER = re.compile(r"\s*([+-]?)(?=\.?\d)0*(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d+))?\s*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Layout:
    """How wide a table is, and where in it each of the 21 columns stands, in the public order."""

    width: int
    positions: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class RowError:
    """What is wrong with a row, without its values, and which of the rows it is."""

    index: int
    reason: str


def read_header(names: Sequence[str]) -> Layout | RowError:
    """Where the columns stand; columns beyond the 21 are passed over."""
    if missing := [column for column in COLUMNS if column not in names]:
        return RowError(0, f"missing column {', '.join(missing)}")
    if repeated := [column for column in COLUMNS if names.count(column) > 1]:
        return RowError(0, f"repeated column {', '.join(repeated)}")
    return Layout(len(names), tuple(names.index(column) for column in COLUMNS))


def check_rows(layout: Layout, rows: Sequence[Sequence[str]]) -> list[Row] | RowError:
    """All rows, typed, or the first fault among them."""
    return _typed_rows(layout, rows) or _first_fault(layout, rows)


def _typed_rows(layout: Layout, rows: Sequence[Sequence[str]]) -> list[Row] | None:
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
    """The column's numbers as JSON writes them, None if one of them is none."""
    written = [text for text in texts if text.strip()] if name in _MAY_BE_BLANK else texts
    if not are_json_numbers(written):
        numbers = [number for text in texts if (number := _json_number(name, text))]
        return numbers if len(numbers) == len(texts) else None
    return texts if len(written) == len(texts) else [text if text.strip() else "null" for text in texts]


def _json_number(name: str, text: str) -> str | None:
    """The number as JSON writes it, None where there is none: JSON knows no `+5`, `05`, `.5` or `5.`."""
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


def _first_fault(layout: Layout, rows: Sequence[Sequence[str]]) -> RowError:
    faults = (RowError(index, reason) for index, row in enumerate(rows) if (reason := _fault_of(layout, row)))
    return next(faults)


def _fault_of(layout: Layout, row: Sequence[str]) -> str | None:
    if len(row) != layout.width:
        return f"{len(row)} fields instead of {layout.width}"
    fields = {name: row[position] for name, position in zip(COLUMNS, layout.positions, strict=True)}
    if not fields["customerID"].strip():
        return "no customerID"
    bad = [name for name in NUMBERS if not _json_number(name, fields[name])]
    return f"{bad[0]} is not a number" if bad else None
