"""The JSON Schema of `contract.json`, with which editors check and complete it."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from docs.generate.contract_schema import SCHEMA_FILE, contract_schema
from telco_stream.contract.document import ContractError, decode_contract, json_schema
from tests.support.contracts import SMALL, UNUSUAL_NAMES, Document, edited, rename, telco

SCHEMA: Document = json.loads(json_schema())
VALIDATOR = Draft202012Validator(SCHEMA)
#: Edits of the small contract that the types refuse; the rules about several keys are beyond JSON Schema.
BROKEN = {
    "version": lambda document: document.update(contract=2),
    "name": lambda document: document.update(name="Mobile Churn"),
    "no key": lambda document: document.pop("key"),
    "no features": lambda document: document.update(features=[]),
    "unknown key": lambda document: document.update(segmnts=[]),
    "unknown kind": lambda document: document["features"][0].update(kind="text"),
    "no kind": lambda document: document["features"][0].pop("kind"),
    "unknown key of a feature": lambda document: document["features"][1].update(minimun=0),
    "no range": lambda document: document["features"][1].pop("maximum"),
    "range beyond the limit": lambda document: document["features"][1].update(maximum=1e39),
    "number as text": lambda document: document["features"][1].update(maximum="5"),
    "whole number": lambda document: document["features"][3].update(maximum=5.5),
    "quote in a name": lambda document: document["features"][0].update(name='a"b'),
    "line separator in a name": lambda document: document["features"][0].update(name="a\u2028b"),
    "empty name": lambda document: document["features"][0].update(name=""),
    "numbers as values": lambda document: document["features"][0].update(values=[1, 2]),
    "long value": lambda document: document["features"][0].update(values=["x" * 5_000]),
    "too many values": lambda document: document["features"][0].update(values=[""] * 5_001),
    "too many features": lambda document: document.update(features=document["features"] * 100),
    "too many segments": lambda document: document.update(segments=["plan"] * 5),
    "carried number": lambda document: document["carry"].append(7),
    "label": lambda document: document["label"].update(negative=0),
}


def test_schema_is_current() -> None:
    """If this fails, run `make docs`."""
    assert SCHEMA_FILE.read_text() == json_schema() == contract_schema()


def test_schema_is_a_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)


def test_schema_describes_every_key() -> None:
    keys = list(_keys(SCHEMA))
    assert len(keys) > 40
    assert [name for name, key in keys if not (key.get("title") and key.get("description"))] == []


def test_schema_has_patterns_that_javascript_knows() -> None:
    r"""JavaScript has no \Z, and its \w is ASCII only."""
    assert r"\\Z" not in json_schema()
    assert r"\\w" not in json_schema().lower()


@pytest.mark.parametrize("document", [telco(), SMALL], ids=["telco", "small"])
def test_schema_accepts_a_contract(document: Document) -> None:
    assert list(VALIDATOR.iter_errors(document)) == []


@pytest.mark.parametrize("name", BROKEN)
def test_schema_refuses_what_the_types_refuse(name: str) -> None:
    content = edited(BROKEN[name])
    assert not VALIDATOR.is_valid(json.loads(content))
    with pytest.raises(ContractError):
        decode_contract(content)


def test_schema_names_the_kinds_when_one_is_unknown() -> None:
    """With a plain union, editors would list the first kind only, or every key of every kind."""
    document = json.loads(edited(lambda document: document["features"][0].update(kind="float")))
    (error,) = VALIDATOR.iter_errors(document)
    assert error.message == "'float' is not one of ['number', 'integer', 'boolean', 'category']"


@pytest.mark.parametrize("name", UNUSUAL_NAMES)
def test_schema_accepts_unusual_names(name: str) -> None:
    assert VALIDATOR.is_valid(json.loads(edited(rename(name))))


def _keys(schema: Document) -> Iterator[tuple[str, Any]]:
    for definition in (schema, *schema["$defs"].values()):
        yield from definition["properties"].items()
