"""`compare` against the codecs: a change that is not breaking keeps old records and the fields of predictions."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from telco_stream.contract.changes import compare
from telco_stream.contract.column_changes import NOT_ACCEPTED
from telco_stream.contract.document import ContractError, decode_contract
from telco_stream.contract.events import BAD_DATA
from telco_stream.contract.schema import Boolean, Carried, Category, Contract, Integer, Number, Text
from telco_stream.messages.codec import Codec
from telco_stream.messages.prediction import encode_prediction
from tests.support.contracts import SMALL, Document, Edit, small
from tests.test_contract_changes import BREAKING, COMPATIBLE, RETRAINING, same

NOW = "2026-01-31T12:00:00Z"
ABSENT = object()

FLAGS = st.sampled_from([{}, {"nullable": True}, {"nullable": True, "optional": True}])
FILL = st.sampled_from([{}, {"fill": 1}, {"fill": 2}])
RANGE = st.builds(
    lambda low, high: {"minimum": low, "maximum": high}, st.sampled_from([-1, 0, 1]), st.sampled_from([2, 3, 5])
)
VALUES = st.permutations(["a", "b", "c"]).flatmap(
    lambda values: st.integers(1, 3).map(lambda size: {"values": values[:size]})
)
OTHER = st.sampled_from([{}, {}, {"other": "a"}, {"other": "z"}])
NUMBER = st.builds(
    lambda kind, flags, fill, span: {"kind": kind, **flags, **(fill if flags else {}), **span},
    st.sampled_from(["number", "integer"]),
    FLAGS,
    FILL,
    RANGE,
)
CATEGORY = st.builds(
    lambda flags, values, other: {"kind": "category", **flags, **values, **other}, FLAGS, VALUES, OTHER
)
BOOLEAN = FLAGS.map(lambda flags: {"kind": "boolean", **flags})
TEXT = st.builds(lambda flags, length: {"kind": "text", **flags, "max_length": length}, FLAGS, st.sampled_from([1, 5]))
FEATURE = NUMBER | CATEGORY | BOOLEAN


@st.composite
def documents(draw: st.DrawFn) -> Document:
    """Draw contracts with up to three columns."""
    names = draw(st.permutations(["x", "y", "z"]))
    features = [draw(FEATURE) | {"name": name} for name in names[: draw(st.integers(1, 2))]]
    carry: list[Any] = [draw(FEATURE | TEXT) | {"name": names[2]}] if draw(st.booleans()) else []
    carry += [feature["name"] for feature in features if draw(st.booleans())]
    kept = {key: value for key, value in SMALL.items() if key not in {"segments", "charge"}}
    return kept | {"features": features, "carry": carry}


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Contract, Contract]:
    """Draw a contract and one that differs by some keys of its columns, or by a column."""
    old = draw(documents())
    new = json.loads(json.dumps(old))
    for column in [*new["features"], *(item for item in new["carry"] if isinstance(item, dict))]:
        other = draw(st.just(column) | FEATURE)
        shared = [key for key in other if key in column and key != "kind" and draw(st.booleans())]
        column.update({key: other[key] for key in shared}, **draw(st.just({}) | FLAGS))
        if column["kind"] == "category":
            column.update(draw(st.just({}) | OTHER))
    if draw(st.booleans()):
        new = draw(st.sampled_from([draw(documents()), {**new, "features": new["features"][::-1]}]))
    try:
        return _decode(old), _decode(new)
    except ContractError:
        assume(False)
        raise


def _decode(document: Document) -> Contract:
    return decode_contract(json.dumps(document).encode())


@given(pairs())
@settings(max_examples=200)
def test_change_keeps_records_and_predictions_when_it_is_not_breaking(pair: tuple[Contract, Contract]) -> None:
    old, new = pair
    if compare(old, new).verdict != "breaking":
        assert list(broken_by(old, new)) == []


@given(documents())
@settings(max_examples=50)
def test_contract_is_compatible_with_itself(document: Document) -> None:
    contract = _decode(document)
    assert compare(contract, contract).changes == []
    assert list(broken_by(contract, contract)) == []


@pytest.mark.parametrize("edit", [same, *RETRAINING.values(), *COMPATIBLE.values()])
def test_listed_change_keeps_records_and_predictions(edit: Edit) -> None:
    assert list(broken_by(small(), small(edit))) == []


@pytest.mark.parametrize("path", BREAKING)
def test_listed_change_rejects_a_record_when_compare_says_so(path: str) -> None:
    old, new = small(), small(BREAKING[path])
    (change,) = compare(old, new).changes
    if change.reason == NOT_ACCEPTED:
        assert list(broken_by(old, new)) != []


def broken_by(old: Contract, new: Contract) -> Iterator[str]:
    """Yield a sentence for each record, accepted before, that is rejected now or is answered by other fields."""
    before, after = Codec(old), Codec(new)
    for record in records_of(old):
        value = json.dumps(record).encode()
        answer = predict(before, value)
        try:
            changed = predict(after, value)
        except BAD_DATA as error:
            yield f"{record}: {error}"
            continue
        for name, answered in answer.items():
            # Readers that accept null accept the column's other values, by which a `fill` replaces it.
            is_same = answered is None or type(changed.get(name)) is type(answered)
            if name not in changed or not is_same:
                yield f"{record}: {name} is {changed.get(name)!r} instead of {answered!r}"


def records_of(contract: Contract) -> Iterator[Document]:
    """Yield records that a contract accepts, each with another value of one column."""
    usual = {column.name: next(accepted(column)) for column in contract.columns}
    roles = {contract.key.name: 7 if contract.key.kind == "integer" else "7", contract.time.name: NOW}
    for column in contract.columns:
        for value in accepted(column):
            record = usual | roles | {column.name: value}
            yield {name: value for name, value in record.items() if value is not ABSENT}


def accepted(column: Carried) -> Iterator[Any]:
    """Yield values that a column accepts, at the limits."""
    match column:
        case Number():
            yield from (column.minimum, column.maximum, column.minimum + (column.maximum - column.minimum) / 3)
        case Integer():
            yield from (column.minimum, column.maximum)
        case Boolean():
            yield from (True, False)
        case Category():
            yield from column.values
            if column.other is not None:
                yield "never seen"
        case Text():
            yield from ("x" * column.max_length, "")
    if column.nullable:
        yield None
    if column.optional:
        yield ABSENT


def predict(codec: Codec, value: bytes) -> Document:
    """Return the prediction for a record as parsed JSON."""
    event = codec.events.decode(value)
    answers = codec.build_predictions([event], [0.5], threshold=0.4, processed_at=NOW, model_version="v")
    answer: Document = json.loads(encode_prediction(answers[0]))
    return answer
