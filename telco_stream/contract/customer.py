"""Contract of the raw topic: one customer event as JSON. Training and serving share the decoder and cannot differ."""

import codecs
import math
import re
from datetime import datetime
from functools import lru_cache
from typing import Annotated, Literal, get_args, get_type_hints

import msgspec
from msgspec import Meta

from telco_stream.errors import ErrorType

YesNo = Literal["Yes", "No"]
PhoneOption = Literal["Yes", "No", "No phone service"]
InternetOption = Literal["Yes", "No", "No internet service"]

#: A JSON number or only white space.
_AMOUNT_TEXT = r"^\s*\Z|^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?\Z"
_MAX_TOTAL = 10_000_000.0


class Customer(msgspec.Struct, gc=False):
    """One customer event, with the field names of the public data set."""

    customerID: Annotated[str, Meta(min_length=1)]
    gender: Literal["Female", "Male"]
    SeniorCitizen: Annotated[int, Meta(ge=0, le=1)]
    Partner: YesNo
    Dependents: YesNo
    tenure: Annotated[int, Meta(ge=0, le=1_000)]
    PhoneService: YesNo
    MultipleLines: PhoneOption
    InternetService: Literal["DSL", "Fiber optic", "No"]
    OnlineSecurity: InternetOption
    OnlineBackup: InternetOption
    DeviceProtection: InternetOption
    TechSupport: InternetOption
    StreamingTV: InternetOption
    StreamingMovies: InternetOption
    Contract: Literal["Month-to-month", "One year", "Two year"]
    PaperlessBilling: YesNo
    PaymentMethod: Literal["Bank transfer (automatic)", "Credit card (automatic)", "Electronic check", "Mailed check"]
    MonthlyCharges: Annotated[float, Meta(ge=0, le=10_000)]
    #: After decoding a float: NaN if the customer has not been billed yet.
    TotalCharges: Annotated[float, Meta(ge=0, le=_MAX_TOTAL)] | Annotated[str, Meta(pattern=_AMOUNT_TEXT)] | None
    event_ts: str


#: Columns of the public data set, in the order of its file.
COLUMNS = (*Customer.__struct_fields__[:-1], "Churn")
#: Input columns of the model: all but the customer ID and the label.
FEATURES = COLUMNS[1:-1]
NUMBERS = ("SeniorCitizen", "tenure", "MonthlyCharges", "TotalCharges")
#: Allowed values of each text column.
CATEGORIES: dict[str, tuple[str, ...]] = {
    name: get_args(hint) for name, hint in get_type_hints(Customer).items() if name in FEATURES and name not in NUMBERS
}

#: Largest value that is decoded, in bytes. Its text can take four times that in memory.
MAX_VALUE_BYTES = 8_388_608
#: Bytes per step of the UTF-8 check.
_CHUNK = 65_536
#: Exceptions that decoding raises on bad data: msgspec and Unicode errors are ValueErrors, deep nesting is the other.
BAD_DATA = (ValueError, RecursionError)
#: Characters of a timestamp; RFC 3339 allows any number of digits after the second.
_MAX_LENGTH = 64
#: RFC 3339, section 5.6, with `T` or `t` between date and time; no leap seconds (`:60`), which Python cannot represent.
_is_rfc_3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt]([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d+)?([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)", re.ASCII
).fullmatch

_decode = msgspec.json.Decoder(Customer, strict=False).decode
_check_syntax = msgspec.json.Decoder(msgspec.Raw).decode
_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def decode_customer(value: bytes | None) -> Customer:
    """Decode the value of a record; raise one of `BAD_DATA`, which `explain` turns into a reason."""
    if len(value or b"") > MAX_VALUE_BYTES:
        raise msgspec.ValidationError(f"Expected a value of at most {MAX_VALUE_BYTES} bytes")
    try:
        customer = _decode(value or b"")
    except (msgspec.ValidationError, UnicodeDecodeError) as error:
        customer = _decode_last_duplicates(value or b"", error)
    if type(customer.TotalCharges) is not float:
        customer.TotalCharges = _amount(customer.TotalCharges)
    parse_timestamp(customer.event_ts)
    return customer


def explain(value: bytes | None, error: Exception) -> tuple[ErrorType, str, str]:
    """Return type, code and text of an error that `decode_customer` raised. The text names the field, not its value."""
    if not value:
        return ErrorType.EMPTY, "no_value" if value is None else "empty_value", "The record has no content"
    if isinstance(error, msgspec.ValidationError):
        return ErrorType.VALIDATION, _code(str(error)), _redact(str(error))
    if isinstance(error, RecursionError):
        return ErrorType.JSON, "too_deep", "JSON is nested beyond the parser's depth"
    if isinstance(error, UnicodeDecodeError) or (isinstance(error, msgspec.DecodeError) and not _is_utf8(value)):
        return ErrorType.ENCODING, "not_utf8", f"Not UTF-8{_bad_fields(value)}"
    if isinstance(error, msgspec.DecodeError):
        return ErrorType.JSON, "malformed", str(error)
    return ErrorType.VALIDATION, "bad_time", "Expected a time as in RFC 3339 - at `$.event_ts`"


@lru_cache(maxsize=256)  # many events of a burst share a time
def parse_timestamp(text: str) -> datetime:
    """Return an aware datetime, without digits beyond the microsecond; raise ValueError if it is not RFC 3339."""
    # Every record has a time, and matching the pattern takes twice as long. For the forms 2026-01-31T12:00:00Z and
    # 2026-01-31T12:00:00.000Z the separators suffice: with them, `fromisoformat` accepts valid times only.
    separators = text[4:20:3]
    if (separators == "--T::." and text[23:] == "Z") or (separators == "--T::Z" and text[20:] == ""):
        if text[11:13] != "24":
            return datetime.fromisoformat(text)
    elif len(text) <= _MAX_LENGTH and _is_rfc_3339(text):
        return datetime.fromisoformat(text.upper())
    raise ValueError("not a time as in RFC 3339")


def _decode_last_duplicates(value: bytes, error: Exception) -> Customer:
    """Decode with the last value of each repeated field; msgspec validates the values before it, too.

    Raise `error` if a field cannot be read. Errors of JSON syntax and nesting take precedence over `error`.
    """
    _check_syntax(value)
    try:
        last = msgspec.json.encode(_decode_fields(value))
    except BAD_DATA:
        raise error from None
    return _decode(last)


def _amount(text: float | str | None) -> float:
    amount = float(text) if text is not None and str(text).strip() else math.nan
    if not 0 <= amount <= _MAX_TOTAL and not math.isnan(amount):
        raise msgspec.ValidationError("Expected `float` from 0 to 10000000 - at `$.TotalCharges`")
    return amount


def _is_utf8(value: bytes | msgspec.Raw) -> bool:
    view = memoryview(value)
    chunks = (bytes(view[start : start + _CHUNK]) for start in range(0, len(view), _CHUNK))
    try:
        for _ in codecs.iterdecode(chunks, "utf-8"):
            pass
    except UnicodeDecodeError:
        return False
    return True


def _bad_fields(value: bytes) -> str:
    try:
        fields = _decode_fields(value)
    except BAD_DATA:
        return ""
    names = (name for name in Customer.__struct_fields__ if name in fields)
    return "".join(f" - at `$.{name}`" for name in names if not _is_utf8(fields[name]))


def _redact(message: str) -> str:
    """Remove quoted values, which can be long and personal, and the pattern from an error message of msgspec."""
    path = message.rpartition(" - at ")[2]
    if message.startswith("Invalid enum value"):
        return f"Unknown category - at {path}"
    if message.startswith("Expected `str` matching regex"):
        return f"Expected a number, as JSON writes it, or a blank - at {path}"
    return message


def _code(message: str) -> str:
    """Derive the error code from an error message of msgspec."""
    if message.startswith("Expected a value of at most"):
        return "too_large"
    if message.startswith("Object missing"):
        return "missing_field"
    if message.startswith("Invalid enum value"):
        return "unknown_category"
    if ">=" in message or "<=" in message or "out of range" in message or " from 0 to " in message:
        return "out_of_range"
    return "bad_time" if message.endswith("`$.event_ts`") else "wrong_type"
