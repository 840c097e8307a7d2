"""Decoding of the raw topic's events by a contract. Training and serving share the decoder and cannot differ."""

import codecs
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import starmap
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta
from msgspec.structs import astuple

from telco_stream.contract.columns import (
    TRUTH_WORDS,
    category_type,
    converter,
    decoded_type,
)
from telco_stream.contract.schema import Carried, Category, Contract, Text
from telco_stream.contract.timestamps import parse_timestamp
from telco_stream.errors import ErrorType

#: Largest value that is decoded, in bytes. Its text can take four times that in memory.
MAX_VALUE_BYTES = 8_388_608
#: Bytes per step of the UTF-8 check.
_CHUNK = 65_536
#: Exceptions that decoding raises on bad data: msgspec and Unicode errors are ValueErrors, deep nesting is the other.
BAD_DATA = (ValueError, RecursionError)
#: Time of examples, which models do not read.
_EPOCH = "1970-01-01T00:00:00Z"

_check_syntax = msgspec.json.Decoder(msgspec.Raw).decode
_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class Event(msgspec.Struct, gc=False):
    """A decoded event. Its type, compiled from the contract, has a field for each column, named by position."""

    key: str
    if TYPE_CHECKING:
        event_ts: str


class EventBatch(list[Event]):
    """Events that are packed once for all models that read them; the batch does not change after that."""

    __slots__ = ("codec", "packed")

    codec: "EventCodec | None"
    packed: bytes

    def __init__(self, events: Iterable[Event] = ()) -> None:
        super().__init__(events)
        #: Codec that has packed the events, and their features.
        self.codec, self.packed = None, b""


class EventCodec:
    """Decoder of the events of one contract."""

    def __init__(self, contract: Contract) -> None:
        """Compile the contract, in some 3 milliseconds for 20 columns."""
        self.contract = contract
        columns = contract.columns
        #: Enumeration of each category by the column's name.
        self.categories = {column.name: category_type(column) for column in columns if isinstance(column, Category)}
        self._fields = {column.name: f"f{number}" for number, column in enumerate(columns)}
        self._columns = {column.name: column for column in columns}
        self._type = self._event_type()
        #: Decode the value of a record; raises one of `BAD_DATA`, which `explain` turns into a reason.
        self.decode = _decoder(self._type, tuple(self._nullable_converters()))
        self._wire_names = (contract.key.name, *self._columns, contract.time.name)
        #: Features of an event as packed doubles.
        self._pack = struct.Struct(f"{len(contract.features)}d").pack
        self._features_of = itemgetter(slice(1, 1 + len(contract.features)))

    def explain(self, value: bytes | None, error: Exception) -> tuple[ErrorType, str, str]:
        """Return type, code and text of an error that `decode` raised. The text names the field, not its value."""
        if not value:
            return ErrorType.EMPTY, "no_value" if value is None else "empty_value", "The record has no content"
        if isinstance(error, msgspec.ValidationError):
            return ErrorType.VALIDATION, *_reason(str(error), self.contract.time.name)
        if isinstance(error, RecursionError):
            return ErrorType.JSON, "too_deep", "JSON is nested beyond the parser's depth"
        if isinstance(error, UnicodeDecodeError) or (isinstance(error, msgspec.DecodeError) and not _is_utf8(value)):
            return ErrorType.ENCODING, "not_utf8", f"Not UTF-8{self._bad_fields(value)}"
        if isinstance(error, msgspec.DecodeError):
            return ErrorType.JSON, "malformed", str(error)
        return ErrorType.VALIDATION, "bad_time", f"Expected a time as in RFC 3339 - at `$.{self.contract.time.name}`"

    def pack_features(self, events: Iterable[Event]) -> bytes:
        """Return the features as doubles, a row per event in the contract's order: codes for categories, NaN for null.

        The rows are packed by C code from the struct's fields, without a look-up per attribute. An `EventBatch` keeps
        them.
        """
        if not isinstance(events, EventBatch):
            return self._pack_rows(events)
        if events.codec is not self:
            events.codec, events.packed = self, self._pack_rows(events)
        return events.packed

    def values(self, name: str, events: Iterable[Event]) -> list[Any]:
        """Return the values of a column as a prediction repeats them: texts for categories, None for NaN."""
        column, field = self._columns[name], self._fields[name]
        if isinstance(column, Category):
            return list(map(attrgetter(f"{field}._value_"), events))
        values = list(map(attrgetter(field), events))
        may_be_nan = column.nullable and not isinstance(column, Text)
        return [None if value != value else value for value in values] if may_be_nan else values  # noqa: PLR0124 - NaN

    def make(self, values: Mapping[str, Any], *, key: str = "example", event_ts: str = _EPOCH) -> Event:
        """Build an event from the values of its columns by name: texts for categories, NaN or None for null.

        Columns without a value are null, or have the first value of a category that is not nullable.
        """
        fields = {field: self._value(name, values.get(name)) for name, field in self._fields.items()}
        event: Event = self._type(key=key, event_ts=event_ts, **fields)
        return event

    def _pack_rows(self, events: Iterable[Event]) -> bytes:
        return b"".join(starmap(self._pack, map(self._features_of, map(astuple, events))))

    def _event_type(self) -> Any:  # noqa: ANN401 - a type that mypy cannot know
        """Return the type of the events. The order of its fields decides which of several missing ones is reported."""
        key = self.contract.key
        # Text that holds a whole number is accepted too, and `7`, `7.0` and `"7"` are the same key.
        key_type = Annotated[str, Meta(min_length=1)] if key.kind == "text" else int
        fields: list[Any] = [("key", key_type, msgspec.field(name=key.name))]
        for name, column in self._columns.items():
            default = {"default": None} if column.optional else {}
            kind = decoded_type(column, self.categories)
            fields.append((self._fields[name], kind, msgspec.field(name=name, **default)))
        fields.append(("event_ts", str, msgspec.field(name=self.contract.time.name)))
        return msgspec.defstruct("Event", fields, bases=(Event,), gc=False, kw_only=True)

    def _nullable_converters(self) -> "Iterable[_Converter]":
        """Yield the conversions that follow decoding: of nullable columns, and of a whole number as key."""
        for name, column in self._columns.items():
            if column.nullable and not isinstance(column, Text):
                yield attrgetter(field := self._fields[name]), field, *converter(column, self.categories)
        if self.contract.key.kind == "integer":
            yield attrgetter("key"), "key", str, str

    def _value(self, name: str, value: Any) -> Any:  # noqa: ANN401 - of any column
        column: Carried = self._columns[name]
        if isinstance(column, Category):
            kind: Any = self.categories[name]
            if value is None:  # models do not read carried columns, so these may be left out
                return next(iter(kind)) if kind.special[0] is None else kind.special[0]
            return value if isinstance(value, kind) else kind(value)
        return converter(column, self.categories)[1](None) if value is None else value

    def _bad_fields(self, value: bytes) -> str:
        try:
            fields = _decode_fields(value)
        except BAD_DATA:
            return ""
        names = (name for name in self._wire_names if name in fields)
        return "".join(f" - at `$.{name}`" for name in names if not _is_utf8(fields[name]))


#: Getter and name of a field, the type that its values should have, and a function from other values to it.
_Converter = tuple[Callable[[Any], Any], str, type, Callable[[Any], Any]]


def _decoder(event_type: Any, converters: Sequence[_Converter]) -> Callable[[bytes | None], Event]:  # noqa: ANN401
    """Return the function that decodes a value. As a closure it looks up nothing per event."""
    decode_json = msgspec.json.Decoder(event_type, strict=False).decode

    def decode(value: bytes | None) -> Event:
        content = value or b""
        if len(content) > MAX_VALUE_BYTES:
            raise msgspec.ValidationError(f"Expected a value of at most {MAX_VALUE_BYTES} bytes")
        try:
            event: Event = decode_json(content)
        except (msgspec.ValidationError, UnicodeDecodeError) as error:
            event = decode_json(_last_duplicates(content, error))
        for get, field, kind, convert in converters:
            decoded = get(event)
            if type(decoded) is not kind:
                setattr(event, field, convert(decoded))
        parse_timestamp(event.event_ts)
        return event

    return decode


def _last_duplicates(value: bytes, error: Exception) -> bytes:
    """Return the value with the last one of each repeated field; msgspec validates the values before it, too.

    Raise `error` if a field cannot be read. Errors of JSON syntax and nesting take precedence over `error`.
    """
    _check_syntax(value)
    try:
        return msgspec.json.encode(_decode_fields(value))
    except BAD_DATA:
        raise error from None


def _is_utf8(value: bytes | msgspec.Raw) -> bool:
    view = memoryview(value)
    chunks = (bytes(view[start : start + _CHUNK]) for start in range(0, len(view), _CHUNK))
    try:
        for _ in codecs.iterdecode(chunks, "utf-8"):
            pass
    except UnicodeDecodeError:
        return False
    return True


def _reason(message: str, time_name: str) -> tuple[str, str]:
    """Return code and text of an error message of msgspec, without quoted values, which can be long and personal."""
    said, at, path = message.rpartition(" - at `$")
    said, where = (said, f"{at}{path}") if at else (message, "")
    if said.startswith("Expected a value of at most"):
        return "too_large", message
    if said.startswith("Object missing"):
        return "missing_field", message
    if said.startswith("Invalid enum value"):
        return "unknown_category", f"Unknown category{where}"
    if any(sign in said for sign in (">=", "<=", "out of range", " from ")):
        return "out_of_range", message
    if said.startswith("Expected `str` matching regex"):
        kind = "true or false" if TRUTH_WORDS in said else "a number, as JSON writes it,"
        return "wrong_type", f"Expected {kind} or a blank{where}"
    return "bad_time" if path == f".{time_name}`" else "wrong_type", message
