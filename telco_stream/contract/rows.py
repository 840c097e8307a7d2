"""Rows of a CSV file and their encoding for the raw topic. Only their form is checked, not their values."""

import hashlib
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Raw

from telco_stream.contract.schema import Boolean, Contract, Integer, Number

_encode = msgspec.json.Encoder().encode


class Row(msgspec.Struct, frozen=True, gc=False):
    """One row of a file. Its type has a field for each column; numbers and booleans are raw JSON."""

    if TYPE_CHECKING:
        #: Text, or raw JSON if the contract's keys are whole numbers; `RowCodec.key` returns text.
        key: Any
        #: Only if the file has the column.
        label: str


class RowCodec:
    """Builder and encoder of the rows of a file that has some of a contract's columns."""

    def __init__(self, contract: Contract, present: Collection[str]) -> None:
        """Compile the columns with these names, in the order of the contract, followed by label and event time."""
        key, label, time = contract.key.name, contract.label.name, contract.time.name
        columns = {column.name: column for column in contract.columns}
        fields = {key: "key", **{name: f"f{number}" for number, name in enumerate(columns)}}
        fields |= {label: "label", time: "event_ts"}
        #: Names of the columns, in the order of `make`.
        self.names = tuple(name for name in fields if name in present)
        raw = {name for name, column in columns.items() if isinstance(column, Number | Integer | Boolean)}
        if contract.key.kind == "integer":
            raw.add(key)
        self._wrap: list[Any] = [Raw if name in raw else None for name in self.names]
        kinds: list[Any] = [wrap or str | None for wrap in self._wrap]
        self._type: Any = msgspec.defstruct(
            "Row",
            [(fields[name], kind, msgspec.field(name=name)) for name, kind in zip(self.names, kinds, strict=True)],
            bases=(Row,),
            frozen=True,
            gc=False,
        )
        self._has_raw_key = key in raw
        self._time = None if time in present else msgspec.json.encode(time).decode()

    def make(self, columns: Sequence[Sequence[str | None]]) -> list[Row]:
        """Build rows from the columns in the order of `names`; raw columns hold JSON."""
        wrapped = (map(wrap, column) if wrap else column for wrap, column in zip(self._wrap, columns, strict=True))
        return list(map(self._type, *wrapped))

    def encode(self, row: Row, event_ts: str) -> bytes:
        """Encode the row as a value of the raw topic, with this time unless the file has one.

        `event_ts` is as in RFC 3339, in UTC, and is inserted without escaping.
        """
        value = _encode(row)
        return value if self._time is None else value[:-1] + f',{self._time}:"{event_ts}"}}'.encode()

    def key(self, row: Row) -> str:
        """Return the key of the row's record."""
        key: str = bytes(row.key).decode() if self._has_raw_key else row.key
        return key


def digest_of_rows(contract: Contract) -> str:
    """Return a digest of what determines the messages of a file's rows; ranges and values, for example, do not."""
    columns = [
        (
            column.name,
            "number" if isinstance(column, Number | Integer) else isinstance(column, Boolean),
            column.nullable,
        )
        for column in contract.columns
    ]
    form = (contract.key, contract.time.name, contract.label.name, columns, sorted(contract.missing))
    return hashlib.sha256(_encode(form)).hexdigest()[:8]
