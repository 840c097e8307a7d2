"""The columns of a customer, read from the contract of the raw topic."""

import msgspec

from docs.generate.kinds import in_words
from docs.generate.tables import code, table
from telco_stream.contract.customer import COLUMNS, Customer

_FIELDS = msgspec.json.schema(Customer)["$defs"]["Customer"]["properties"]

_TIME = "RFC 3339, with seconds and a zone, as in `2026-01-31T12:00:00Z` or `2026-01-31T17:30:00.5+05:30`"


def columns(_: str) -> str:
    """Each field of the raw topic and what is accepted; the label isn't read."""
    rows = [(code(name), in_words(_FIELDS[name]) if name in _FIELDS else "anything, or nothing") for name in COLUMNS]
    return table(["field", "accepted"], [*rows, (code("event_ts"), _TIME)])
