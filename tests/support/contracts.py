"""Contracts of tests, as parsed JSON and as content of a file."""

import copy
import json
from collections.abc import Callable
from typing import Any

from telco_stream.contract.document import builtin_content, decode_contract
from telco_stream.contract.schema import Contract

Document = dict[str, Any]
Edit = Callable[[Document], object]

#: Accounts of a small telco; each kind of column and each key of the format is used.
SMALL: Document = {
    "$schema": "./contract.schema.json",
    "contract": 1,
    "name": "mobile-churn",
    "key": {"name": "account_id", "kind": "integer"},
    "time": {"name": "event_ts"},
    "label": {"name": "left", "positive": "1", "negative": "0", "probability": "churn", "verb": "leave"},
    "features": [
        {"kind": "category", "name": "plan", "values": ["prepaid", "basic", "premium"]},
        {"kind": "number", "name": "monthly_fee", "minimum": 0, "maximum": 1000},
        {"kind": "number", "name": "data_gb", "minimum": 0, "maximum": 10000, "nullable": True, "fill": 0},
        {"kind": "integer", "name": "complaints", "minimum": 0, "maximum": 100},
        {"kind": "boolean", "name": "roaming", "nullable": True, "optional": True},
        {"kind": "category", "name": "device", "values": ["phone", "tablet"], "other": "rest", "nullable": True},
    ],
    "carry": [{"kind": "text", "name": "region", "nullable": True, "optional": True, "max_length": 80}, "complaints"],
    "segments": ["plan", "roaming"],
    "charge": "monthly_fee",
    "missing": ["NA", "?"],
    "entity": "account",
    "entities": "accounts",
}

#: Names of columns that a contract can hold, although Python, msgspec or JSON Path give them a meaning.
UNUSUAL_NAMES = [
    *(
        "__class__",
        "__dict__",
        "__struct_fields__",
        "class",
        "key",
        "label",
        "f0",
        "kind",
        "values",
        ">= 5",
        "x - at y",
    ),
    *("it's", "a{b}%s", "$.a", "$", "<b>", "[red]", "a b", "Ünï cödé", "漢字", "🙂", "a\u202eb", "\u200b", "x" * 128),
]


def telco() -> Document:
    """Return the built-in contract as parsed JSON."""
    document: Document = json.loads(builtin_content())
    return document


def edited(edit: Edit, document: Document = SMALL) -> bytes:
    """Return the content of a file with an edited copy of a contract, each value on its own line."""
    changed = copy.deepcopy(document)
    edit(changed)
    return json.dumps(changed, indent=1).encode()


def small(edit: Edit = lambda _: None) -> Contract:
    """Return the contract of the small telco, edited."""
    return decode_contract(edited(edit))


def rename(name: str) -> Edit:
    """Return an edit that renames the column `complaints`, which predictions repeat."""

    def edit(document: Document) -> None:
        document["features"][3]["name"] = document["carry"][1] = name

    return edit


def line_of(content: bytes, text: str) -> int:
    """Return the number of the first line with a text."""
    return next(number for number, line in enumerate(content.decode().splitlines(), 1) if text in line)
