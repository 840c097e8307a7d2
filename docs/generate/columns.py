"""Table of the fields of the raw topic."""

import msgspec

from docs.generate.kinds import describe_schema
from docs.generate.tables import code, table
from telco_stream.contract.customer import COLUMNS, Customer

_FIELDS = msgspec.json.schema(Customer)["$defs"]["Customer"]["properties"]

_TIME = "RFC 3339, with seconds and a zone, as in `2026-01-31T12:00:00Z` or `2026-01-31T17:30:00.5+05:30`"


def columns(_: str) -> str:
    """Return a table of the fields of the raw topic with the accepted values; the label is not read."""
    rows = [
        (code(name), describe_schema(_FIELDS[name]) if name in _FIELDS else "anything, or nothing") for name in COLUMNS
    ]
    return table(["field", "accepted"], [*rows, (code("event_ts"), _TIME)])
