"""Contracts of any small shape, and events that they accept, as strategies of hypothesis."""

import json
from typing import Any

from hypothesis import assume
from hypothesis import strategies as st

from telco_stream.contract.document import ContractError, decode_contract
from telco_stream.contract.schema import Boolean, Carried, Category, Contract, Integer, Number
from tests.support.contracts import UNUSUAL_NAMES, Document
from tests.support.shapes import shape

NOW = "2026-01-31T12:00:00Z"
FLAGS = st.sampled_from([{}, {"nullable": True}, {"nullable": True, "optional": True}])
WHOLE = st.integers(-(2**53), 2**53)
VALUES = st.lists(
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=5), min_size=1, max_size=5, unique=True
)


def _range(kind: str, limit: st.SearchStrategy[Any]) -> st.SearchStrategy[Document]:
    limits = st.lists(limit, min_size=2, max_size=2, unique=True).map(sorted)
    return st.builds(
        lambda flags, limits, fill: {
            "kind": kind,
            "minimum": limits[0],
            "maximum": limits[1],
            **flags,
            **({"fill": limits[1]} if fill and flags else {}),
        },
        FLAGS,
        limits,
        st.booleans(),
    )


FEATURES = (
    _range("number", st.floats(-1e37, 1e37))
    | _range("integer", WHOLE)
    | FLAGS.map(lambda flags: {"kind": "boolean", **flags})
    | st.builds(
        lambda flags, values, other: {"kind": "category", "values": values, **flags, **other},
        FLAGS,
        VALUES,
        st.sampled_from([{}, {"other": "a"}, {"other": "rest"}]),
    )
)
TEXTS = FLAGS.map(lambda flags: {"kind": "text", "max_length": 5, **flags})


@st.composite
def contracts(draw: st.DrawFn) -> Contract:
    """Draw contracts with one to six columns."""
    names = draw(st.permutations([*UNUSUAL_NAMES, "x", "y", "z"]))
    key, time, label, probability, *rest = names
    features = [draw(FEATURES) | {"name": rest.pop()} for _ in range(draw(st.integers(1, 4)))]
    carried: list[Any] = [draw(FEATURES | TEXTS) | {"name": rest.pop()} for _ in range(draw(st.integers(0, 2)))]
    columns = [*features, *carried]
    groups = [column["name"] for column in columns if column["kind"] in {"boolean", "category"}]
    repeated_features = [feature["name"] for feature in features if draw(st.booleans())]
    document = shape(
        features,
        key={"name": key, "kind": draw(st.sampled_from(["text", "integer"]))},
        time={"name": time},
        label={"name": label, "positive": "1", "negative": "0", "probability": probability},
        carry=[*carried, *repeated_features],
        segments=groups[: draw(st.integers(0, 4))],
        missing=["NA"],
    )
    try:
        return decode(document)
    except ContractError:
        assume(False)
        raise


@st.composite
def events(draw: st.DrawFn, contract: Contract) -> Document:
    """Draw events that a contract accepts."""
    key = draw(WHOLE) if contract.key.kind == "integer" else draw(st.text(min_size=1, max_size=5))
    event = {contract.key.name: key, contract.time.name: NOW}
    for name, column in columns_of(contract).items():
        if not (column.optional and draw(st.booleans())):
            event[name] = draw(accepted(column))
    return event


def accepted(column: Carried) -> st.SearchStrategy[Any]:
    """Return the values that a column accepts."""
    null = st.just(None) if column.nullable else st.nothing()
    match column:
        case Number():
            return null | st.floats(column.minimum, column.maximum)
        case Integer():
            return null | st.integers(column.minimum, column.maximum)
        case Boolean():
            return null | st.booleans()
        case Category():
            unknown = st.just("never seen") if column.other is not None else st.nothing()
            return null | st.sampled_from(column.values) | unknown
    return null | st.text(max_size=column.max_length)


def decode(document: Document) -> Contract:
    return decode_contract(json.dumps(document).encode())


def columns_of(contract: Contract) -> dict[str, Carried]:
    return {column.name: column for column in contract.columns}
