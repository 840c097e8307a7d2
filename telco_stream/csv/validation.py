"""Checks the form of a CSV before its rows are sent: columns, widths, keys and numbers. Pure.

Unknown categories and numbers out of range pass: the consumer rejects them. Whole columns are checked at once, which is
several times faster than row by row; single rows are checked only to find the bad one.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeAlias

from telco_stream.contract.document import builtin_contract
from telco_stream.contract.numbers import json_numbers, match_number, match_plain
from telco_stream.contract.outcomes import outcome_aliases, outcome_contract
from telco_stream.contract.rows import Row, RowCodec
from telco_stream.contract.schema import Boolean, Carried, Category, Contract, Integer, Number
from telco_stream.contract.timestamps import parse_timestamp
from telco_stream.runtime.humanize import count_of

_NUMBER_EXPECTED = "a number"
#: Columns that a message names.
_MAX_NAMED = 3
_BOOLEANS = {"true": "true", "t": "true", "1": "true", "false": "false", "f": "false", "0": "false"}

#: Returns the values of a column as the row codec takes them, or None if one of the texts is wrong.
Convert: TypeAlias = Callable[[Sequence[str]], Sequence[str | None] | None]


@dataclass(frozen=True, slots=True)
class CsvFormat:
    """Expected content of a file: the contract's columns, with the label or maybe without.

    With `number_rows` the file lacks a key, and the number of a row in the file, from 1, is its key. The time of the
    event is the file's, if it has the column, unless `ignores_time`. With `known_values` a category must have one
    of its values. `aliases` are other names of columns, each with the name in the contract.
    """

    contract: Contract = field(default_factory=builtin_contract)
    delimiter: str = ","
    number_rows: bool = False
    requires_label: bool = False
    ignores_time: bool = False
    known_values: bool = False
    aliases: tuple[tuple[str, str], ...] = ()

    def alias_of(self, name: str) -> str:
        """Return the other name of a column, or its name in the contract if it has none."""
        return next((alias for alias, column in self.aliases if column == name), name)


def outcome_format(contract: Contract, delimiter: str = ",") -> CsvFormat:
    """Return the format of a file of outcomes, given the contract of the predictions."""
    return CsvFormat(outcome_contract(contract), delimiter, known_values=True, aliases=outcome_aliases(contract))


@dataclass(frozen=True, slots=True)
class CsvColumn:
    """Column of the file: its name there, its position in a row, and the conversion of its texts."""

    name: str
    position: int
    convert: Convert
    #: Expected content, for the error about a text that cannot be converted.
    expected: str


@dataclass(frozen=True, slots=True)
class Layout:
    """The number of fields in a row, and the columns to read, in the order of `codec`."""

    width: int
    columns: tuple[CsvColumn, ...]
    codec: RowCodec
    number_rows: bool = False
    #: Names of the file's columns that the contract does not have.
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RowError:
    """The index of a bad row, and what is wrong with it, without its values."""

    index: int
    reason: str


def rename_columns(names: Sequence[str], csv_format: CsvFormat) -> Sequence[str]:
    """Return the names with the contract's instead of an alias, unless the file has both."""
    meant = {alias: name for alias, name in csv_format.aliases if name not in names}
    return [meant.get(name, name) for name in names]


def read_header(header: Sequence[str], csv_format: CsvFormat) -> Layout | RowError:
    """Find the columns of the contract; columns beyond them are ignored."""
    contract = csv_format.contract
    if csv_format.number_rows:
        header = [contract.key.name, *header]
    names = rename_columns(header, csv_format)
    if missing := missing_columns(names, csv_format):
        return RowError(0, f"missing column {list_names([csv_format.alias_of(name) for name in missing])}")
    columns = {column.name: column for column in contract.columns}
    codec = RowCodec(contract, set(names) - ({contract.time.name} if csv_format.ignores_time else set()))
    if repeated := [column for column in codec.names if names.count(column) > 1]:
        return RowError(0, f"repeated column {list_names(repeated)}")
    converted = (
        CsvColumn(header[position], position, *_conversion(name, columns.get(name), csv_format))
        for name, position in ((name, names.index(name)) for name in codec.names)
    )
    known = {*codec.names, contract.time.name}
    ignored = tuple(dict.fromkeys(name for name in names if name not in known and name.strip()))
    return Layout(len(names), tuple(converted), codec, csv_format.number_rows, ignored)


def missing_columns(names: Sequence[str], csv_format: CsvFormat) -> list[str]:
    """Return the columns that the file should have and that are not among these names."""
    contract = csv_format.contract
    required = [] if csv_format.number_rows else [contract.key.name]
    required += [column.name for column in contract.columns if not column.optional]
    if csv_format.requires_label:
        required.append(contract.label.name)
    return [name for name in required if name not in names]


def list_names(names: Sequence[str], quote: str = "") -> str:
    """Return the first names, and how many more there are."""
    shown = ", ".join(f"{quote}{name}{quote}" for name in names[:_MAX_NAMED])
    return f"{shown} and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else shown


def validate_rows(
    layout: Layout,
    rows: Sequence[Sequence[str]],
    broken: Mapping[int, str] | None = None,
    *,
    numbers: Sequence[int] = (),
) -> tuple[list[Row], list[RowError]]:
    """Return the good rows, typed, and the errors of the others; `broken` rows are bad for another reason.

    `numbers` are those of the rows in the file, which are their keys if the layout says so.
    """
    if layout.number_rows:
        rows = [[str(number), *row] for number, row in zip(numbers, rows, strict=True)]
    typed = None if broken else _typed_rows(layout, rows)
    if typed is not None:
        return typed, []
    broken = broken or {}
    reasons = [broken.get(index) or _reason(layout, row) for index, row in enumerate(rows)]
    good = [row for row, reason in zip(rows, reasons, strict=True) if reason is None]
    errors = [RowError(index, reason) for index, reason in enumerate(reasons) if reason]
    return _typed_rows(layout, good) or [], errors


def _typed_rows(layout: Layout, rows: Sequence[Sequence[str]]) -> list[Row] | None:
    """Return all rows, or None if one of them is bad or the file is empty."""
    if set(map(len, rows)) != {layout.width}:
        return None
    table = list(zip(*rows, strict=True))
    values: list[Sequence[str | None]] = []
    for column in layout.columns:
        converted = column.convert(table[column.position])
        if converted is None:
            return None
        values.append(converted)
    return layout.codec.make(values)


def _conversion(name: str, column: Carried | None, csv_format: CsvFormat) -> tuple[Convert, str]:
    """Return the conversion of a column's texts, and what it expects, for errors."""
    contract = csv_format.contract
    missing = frozenset(contract.missing)
    if name == contract.key.name:
        return (_whole_keys, "a whole number") if contract.key.kind == "integer" else (_keys, "")
    if isinstance(column, Number | Integer):
        return partial(_numbers, nullable=column.nullable, missing=missing), _NUMBER_EXPECTED
    if isinstance(column, Boolean):
        return partial(_booleans, nullable=column.nullable, missing=missing), "true or false"
    if name == contract.time.name:
        return _times, "a time as in RFC 3339"
    if isinstance(column, Category) and csv_format.known_values:
        return partial(_known, values=frozenset(column.values)), " or ".join(column.values)
    is_nullable = column is not None and column.nullable
    return partial(_texts, missing=missing) if is_nullable else _unchanged, ""


def _unchanged(texts: Sequence[str]) -> Sequence[str]:
    return texts


def _keys(texts: Sequence[str]) -> Sequence[str] | None:
    return texts if all(map(str.strip, texts)) else None


def _known(texts: Sequence[str], *, values: frozenset[str]) -> Sequence[str] | None:
    return texts if values.issuperset(texts) else None


def _whole_keys(texts: Sequence[str]) -> Sequence[str] | None:
    return texts if all(map(match_plain, texts)) else None


def _times(texts: Sequence[str]) -> Sequence[str] | None:
    try:
        for text in texts:
            parse_timestamp(text)
    except ValueError:
        return None
    return texts


def _texts(texts: Sequence[str], *, missing: frozenset[str]) -> list[str | None]:
    return [None if not text.strip() or text in missing else text for text in texts]


def _booleans(texts: Sequence[str], *, nullable: bool, missing: frozenset[str]) -> list[str] | None:
    return _rewritten(
        "null" if nullable and (not text.strip() or text in missing) else _BOOLEANS.get(text.strip().lower())
        for text in texts
    )


def _numbers(texts: Sequence[str], *, nullable: bool, missing: frozenset[str]) -> Sequence[str] | None:
    """Return the numbers as JSON writes them."""
    filled = [text for text in texts if text.strip() and text not in missing] if nullable else texts
    if len(filled) == len(texts):
        return texts if json_numbers(texts) is not None else _rewritten(map(_json_number, texts))
    is_json = json_numbers(filled) is not None
    return _rewritten(
        "null" if not text.strip() or text in missing else text if is_json else _json_number(text) for text in texts
    )


def _rewritten(numbers: Iterable[str | None]) -> list[str] | None:
    rewritten = list(numbers)
    return None if None in rewritten else [number for number in rewritten if number is not None]


def _json_number(text: str) -> str | None:
    """Return a number as JSON writes it (`+5`, `05`, `.5` and `5.` are not JSON), or None if it is not a number."""
    if not (match := match_number(text)):
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
        return f"{count_of(len(row) - layout.number_rows, 'field')} instead of {layout.width - layout.number_rows}"
    bad = next((column for column in layout.columns if column.convert([row[column.position]]) is None), None)
    if bad is None:
        return None
    is_key = bad is layout.columns[0]
    if not bad.expected or (is_key and not row[bad.position].strip()):
        return f"no {bad.name}"
    comma = bad.expected == _NUMBER_EXPECTED and _json_number(row[bad.position].replace(",", ".", 1))
    return f"{bad.name} is not {bad.expected}{': it has a decimal comma' if comma else ''}"
