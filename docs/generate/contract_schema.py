"""The JSON Schema of `contract.json` for editors, and the table of its keys, both from the types."""

import json
from pathlib import Path
from typing import Any

import msgspec

from docs.generate.markdown import code
from telco_stream.contract.schema import Contract

SCHEMA_FILE = Path(__file__).parents[2] / "telco_stream/contract/contract.schema.json"
#: The draft that msgspec writes.
_DRAFT = "https://json-schema.org/draft/2020-12/schema"
#: Kinds of columns that are named; more of them are nearly all.
_MANY = 3


def contract_schema() -> str:
    """Return the schema as indented JSON."""
    schema = msgspec.json.schema(Contract)
    contract = schema["$defs"].pop("Contract")
    for definition in schema["$defs"].values():
        _describe_keys(definition)
    _describe_keys(contract)
    document = {"$schema": _DRAFT, **contract, "title": "Contract of telco-stream", "$defs": schema["$defs"]}
    return json.dumps(_for_editors(document), indent=2) + "\n"


def contract_keys(_: str) -> str:
    """Return a table of all keys; those of a column are listed once with the kinds that have them."""
    schema = json.loads(contract_schema())
    owners: dict[tuple[str, str], list[str]] = {}
    for owner, definition in ({"": schema} | schema["$defs"]).items():
        for name, key in definition["properties"].items():
            if name == "kind" and "default" not in key:
                key["description"] = "`number`, `integer`, `boolean`, `category` or, in `carry`, `text`."
            owners.setdefault((name, _meaning(name, key, definition)), []).append(owner.lower())
    rows = [f"| {code(name)} | {_owners(kinds)} | {meaning} |" for (name, meaning), kinds in owners.items()]
    return "\n".join(["| key | of | meaning |", "|---|---|---|", *rows])


def _owners(kinds: list[str]) -> str:
    return "all columns" if len(kinds) > _MANY else ", ".join(kinds) or "contract"


def _meaning(name: str, key: dict[str, Any], definition: dict[str, Any]) -> str:
    """Return the description, with a mark if the key is required, or else with its default."""
    description: str = key["description"]
    if name in definition["required"]:
        return f"{description} *"
    return f"{description} Default {code(json.dumps(key['default']))}." if key["default"] else description


def _describe_keys(definition: dict[str, Any]) -> None:
    """Give each key a title, and the tag its description."""
    for name, key in definition["properties"].items():
        key["title"] = name.replace("_", " ").removeprefix("$").capitalize()
        key.setdefault("description", definition["description"])  # the tag, `kind`, has none


def _for_editors(schema: Any) -> Any:
    """Convert a schema, and all that is in it, to what editors know."""
    if isinstance(schema, list):
        return [_for_editors(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "discriminator" in schema:
        return _by_kind(schema["discriminator"]["mapping"])
    kept = {key: _for_editors(value) for key, value in schema.items()}
    pattern = kept.get("pattern")
    if isinstance(pattern, str):
        kept["pattern"] = pattern.replace(r"\Z", "$")  # as JavaScript writes it
        if r"\w" in pattern:  # only ASCII in JavaScript
            del kept["pattern"]
    return kept


def _by_kind(references: dict[str, str]) -> dict[str, Any]:
    """Return a schema of columns that depends on `kind`, so that errors and completion are about one kind only."""
    kind = {"enum": [*references], "title": "Kind", "description": "Kind of the values."}
    return {
        "type": "object",
        "properties": {"kind": kind},
        "required": ["kind"],
        "allOf": [
            {"if": {"properties": {"kind": {"const": tag}}, "required": ["kind"]}, "then": {"$ref": reference}}
            for tag, reference in references.items()
        ],
    }
