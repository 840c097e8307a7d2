"""Display of original records that may not be valid customers."""

import msgspec

from telco_stream.contract.customer import BAD_DATA

#: Largest indented JSON: factor of the original's size, plus bytes. Deeply nested JSON is longer, and shown unindented.
_MAX_GROWTH = 6
_EXTRA_BYTES = 4_096

_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_text = msgspec.json.Decoder(str).decode


def customer_id(original: bytes) -> str | None:
    """Return the `customerID` field as text, or None if there is none or the original is not a JSON object."""
    try:
        raw = _decode_fields(original)["customerID"]
    except (*BAD_DATA, KeyError):
        return None
    try:
        return _decode_text(raw)
    except BAD_DATA:
        return bytes(raw).decode(errors="replace")


def format_original(original: bytes) -> str:
    """Format JSON with indentation and leave other text unchanged; escape bytes that are not UTF-8."""
    try:
        indented = msgspec.json.format(original, indent=2)
    except BAD_DATA:
        indented = original
    text = indented if len(indented) <= _MAX_GROWTH * len(original) + _EXTRA_BYTES else original
    return text.decode(errors="backslashreplace")
