"""Descriptions of JSON Schemas."""

from collections.abc import Iterator, Mapping
from typing import Any

from docs.generate.markdown import code


def describe_schema(schema: Mapping[str, Any]) -> str:
    """Describe the type, and the range or pattern."""
    return ", ".join(_describe(schema))


def _describe(schema: Mapping[str, Any]) -> Iterator[str]:
    if "anyOf" in schema:  # the page describes the other alternatives
        yield from _describe(schema["anyOf"][0])
    elif "enum" in schema:
        yield " or ".join(map(code, schema["enum"]))
    elif schema["type"] == "string":
        yield "text"
        if "pattern" in schema:
            yield code(schema["pattern"])
    else:
        yield "integer" if schema["type"] == "integer" else "number"
        yield from _range(schema)


def _range(schema: Mapping[str, Any]) -> Iterator[str]:
    lowest = schema.get("minimum")
    if "exclusiveMinimum" in schema:
        above = schema["exclusiveMinimum"]
        yield f"{above + 1} or more" if schema["type"] == "integer" else f"above {above}"
    elif "maximum" in schema:
        yield f"{lowest:,} to {schema['maximum']:,.0f}"
    elif lowest is not None:
        yield f"{lowest:,} or more"
