"""Contracts of unusual shapes, from a CSV file over model and process to the prediction."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from telco_stream.contract.document import ContractError, decode_contract
from telco_stream.contract.schema import Boolean, Carried, Category, Contract, Integer, Number, Text
from telco_stream.csv.infer_options import InferOptions
from telco_stream.csv.inference import infer_contract
from telco_stream.csv.validation import CsvFormat
from telco_stream.messages.codec import compile_contract
from telco_stream.model.artifact import load_scorer
from telco_stream.model.training import LabelledEvents, train
from telco_stream.sample import write_sample
from tests.support.contracts import UNUSUAL_NAMES, Document
from tests.support.in_process import run_in_process
from tests.support.quick_model import answer, fit, fit_to_file, values_of
from tests.support.records import RuleScorer
from tests.support.shapes import SHAPES, numbers, shape

ROWS = 300
NOW = "2026-01-31T12:00:00Z"


@pytest.fixture(params=SHAPES)
def contract(request: pytest.FixtureRequest) -> Contract:
    return decode(SHAPES[request.param])


@pytest.fixture
def sample(contract: Contract, tmp_path: Path) -> Path:
    """Return a file with rows of the contract."""
    write_sample(tmp_path / "sample.csv", ROWS, 3, lambda _: None, contract)
    return tmp_path / "sample.csv"


def test_predictions_repeat_what_the_file_holds(contract: Contract, sample: Path) -> None:
    csv_format = CsvFormat(contract)
    scorer = fit_to_file(sample, csv_format)
    outcome = answer(scorer, values_of(sample, csv_format))
    assert outcome.rejected == []
    with sample.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for (key, value, _), row in zip(outcome.prediction_messages, rows, strict=True):
        found = json.loads(value or b"")
        assert tuple(found) == scorer.codec.predictions.names
        assert key == found[contract.key.name] == row[contract.key.name]
        columns = columns_of(contract)
        assert {name: found[name] for name in contract.repeated} == {
            name: repeated(columns[name], value_of(columns[name], row[name])) for name in contract.repeated
        }
        assert found["prediction"] in {contract.label.positive, contract.label.negative}
        assert 0 <= scorer.codec.predictions.decode(value or b"").probability <= 1


def test_infer_drafts_a_contract_that_can_be_used(contract: Contract, sample: Path, tmp_path: Path) -> None:
    options = InferOptions(
        sample, tmp_path / "contract.json", contract.key.name, contract.label.name, contract.label.positive
    )
    infer_contract(options, lambda _: None)
    drafted = decode_contract((tmp_path / "contract.json").read_bytes())
    names = {column.name for column in contract.columns}
    assert {feature.name for feature in drafted.features} == names
    csv_format = CsvFormat(drafted)
    assert answer(fit_to_file(sample, csv_format), values_of(sample, csv_format)).rejected == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "contract", ["one text", "40 texts", "one number", "one boolean", "names", "signs"], indirect=True
)
def test_train_writes_a_model(contract: Contract, sample: Path, tmp_path: Path) -> None:
    result = train(sample, tmp_path / "model", CsvFormat(contract), created_at="2026-01-01T00:00:00Z")
    assert result.onnx.refused is None
    scorer = load_scorer(tmp_path / "model")
    assert answer(scorer, values_of(sample, CsvFormat(contract))).rejected == []


@pytest.mark.parametrize(
    ("key", "code"),
    [
        *((key, None) for key in ("7", "7.0", '"7"', "7e0", "70e-1")),
        *((key, "wrong_type") for key in ('"007"', "7.5", '"7.5"', '""', '" 7"', "true", "null", "[7]", '"seven"')),
        ("007", "malformed"),
    ],
)
def test_integer_key_has_one_form(key: str, code: str | None) -> None:
    contract = decode(shape(numbers(1), key={"name": "id", "kind": "integer"}))
    value = f'{{"id":{key},"number 0":1,"event_ts":"{NOW}"}}'.encode()
    outcome = answer(RuleScorer(codec=compile_contract(contract)), [value])
    assert [rejected.code for rejected in outcome.rejected] == ([code] if code else [])
    assert [prediction.key for prediction in outcome.predictions] == ([] if code else ["7"])
    assert [message[0] for message in outcome.prediction_messages] == ([] if code else ["7"])


def test_contract_check_rejects_a_key_that_is_a_feature(tmp_path: Path) -> None:
    (tmp_path / "contract.json").write_text(json.dumps(shape(numbers(1), key={"name": "number 0"})))
    run = run_in_process("contract", "check", "contract.json", env={})
    assert (run.code, run.out) == (2, "")
    assert "`number 0` is the name of two columns" in run.err


@given(st.data())
@settings(deadline=None, max_examples=100)
def test_any_contract_answers_its_valid_events(data: st.DataObject) -> None:
    contract = data.draw(contracts())
    codec = compile_contract(contract)
    values = [json.dumps(data.draw(events(contract))).encode() for _ in range(4)]
    decoded = [codec.events.decode(value) for value in values]
    scorer = fit(codec, LabelledEvents(decoded, [True, False] * 2, ""))
    outcome = answer(scorer, values)
    assert outcome.rejected == []
    for value, (key, message, _), prediction in zip(
        values, outcome.prediction_messages, outcome.predictions, strict=True
    ):
        event, found = json.loads(value), json.loads(message or b"")
        assert codec.predictions.decode(message or b"") == prediction
        assert found[contract.time.name] == event[contract.time.name]
        assert key == found[contract.key.name] == str(event[contract.key.name])
        assert {name: found[name] for name in contract.repeated} == {
            name: repeated(columns_of(contract)[name], event.get(name)) for name in contract.repeated
        }


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


FLAGS = st.sampled_from([{}, {"nullable": True}, {"nullable": True, "optional": True}])
WHOLE = st.integers(-(2**53), 2**53)
VALUES = st.lists(st.text(st.characters(codec="utf-8"), max_size=5), min_size=1, max_size=5, unique=True)


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


def value_of(column: Carried, text: str) -> Any:
    """Return what a text of a CSV means, as an event has it."""
    if isinstance(column, Category | Text):
        return text or None
    return json.loads(text or "null")


def repeated(column: Carried, value: Any) -> Any:
    """Return what a prediction repeats of a value."""
    if isinstance(column, Category):
        blank = column.nullable and not (value or "").strip()
        return "" if blank else value if value in column.values else column.other
    return getattr(column, "fill", None) if value is None else value
