"""List of the fields of the raw topic."""

from docs.generate.markdown import bullets, code, codes
from telco_stream.contract.document import builtin_contract
from telco_stream.contract.schema import Boolean, Carried, Category, Text

_TIME = "RFC 3339, with seconds and a zone, as in `2026-01-31T12:00:00Z` or `2026-01-31T17:30:00.5+05:30`"


def columns(_: str) -> str:
    """Return a list of the fields of the raw topic by accepted values; the label is not read."""
    contract = builtin_contract()
    names: dict[str, list[str]] = {"text": [contract.key.name]}
    for column in contract.columns:
        names.setdefault(_describe(column), []).append(column.name)
    names["anything, or nothing"] = [contract.label.name]
    names[_TIME] = [contract.time.name]
    return bullets(f"{codes(fields)}: {accepted}" for accepted, fields in names.items())


def _describe(column: Carried) -> str:
    match column:
        case Category():
            return " or ".join(map(code, sorted(column.values)))
        case Boolean():
            return "true or false"
        case Text():
            return "text"
    return f"{column.__struct_config__.tag}, {column.minimum:,.0f} to {column.maximum:,.0f}"
