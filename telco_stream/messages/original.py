"""What can be said of an original that is no customer: whose it may be, and how it reads."""

import msgspec

from telco_stream.contract.customer import BAD_DATA

#: Indented JSON longer than this many times the original, plus a page, is nested so deep that nobody could read it.
_TIMES = 6
_PAGE = 4_096

_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_text = msgspec.json.Decoder(str).decode


def customer_id(original: bytes) -> str | None:
    """The `customerID` that it gives, a number as it is written; None where it isn't JSON, or gives none."""
    try:
        raw = _decode_fields(original)["customerID"]
    except (*BAD_DATA, KeyError):
        return None
    try:
        return _decode_text(raw)
    except BAD_DATA:
        return bytes(raw).decode(errors="replace")


def readable(original: bytes) -> str:
    """Indented where it is JSON that reads better so, else as it stands; bytes that are no UTF-8 are spelt out."""
    try:
        indented = msgspec.json.format(original, indent=2)
    except BAD_DATA:
        indented = original
    text = indented if len(indented) <= _TIMES * len(original) + _PAGE else original
    return text.decode(errors="backslashreplace")
