"""List of the fields of the raw topic."""

import msgspec

from docs.generate.kinds import describe_schema
from docs.generate.markdown import bullets, codes
from telco_stream.contract.customer import COLUMNS, Customer

_FIELDS = msgspec.json.schema(Customer)["$defs"]["Customer"]["properties"]

_TIME = "RFC 3339, with seconds and a zone, as in `2026-01-31T12:00:00Z` or `2026-01-31T17:30:00.5+05:30`"


def columns(_: str) -> str:
    """Return a list of the fields of the raw topic by accepted values; the label is not read."""
    names: dict[str, list[str]] = {}
    for name in COLUMNS:
        accepted = describe_schema(_FIELDS[name]) if name in _FIELDS else "anything, or nothing"
        names.setdefault(accepted, []).append(name)
    names[_TIME] = ["event_ts"]
    return bullets(f"{codes(fields)}: {accepted}" for accepted, fields in names.items())
