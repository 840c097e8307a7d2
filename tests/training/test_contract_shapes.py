"""Contracts of unusual shapes, from a CSV file over model and process to the prediction."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telco_stream.contract.document import decode_contract
from telco_stream.contract.schema import Carried, Category, Contract, Text
from telco_stream.csv.infer_options import InferOptions
from telco_stream.csv.inference import infer_contract
from telco_stream.csv.validation import CsvFormat
from telco_stream.messages.codec import compile_contract
from telco_stream.model.artifact import load_scorer
from telco_stream.model.labelled import LabelledEvents
from telco_stream.model.training import train
from telco_stream.sample import write_sample
from tests.support.any_contract import NOW, columns_of, contracts, decode, events
from tests.support.in_process import run_in_process
from tests.support.quick_model import answer, fit, fit_to_file, values_of
from tests.support.records import RuleScorer
from tests.support.shapes import SHAPES, numbers, shape

ROWS = 300


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
@settings(max_examples=100)
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
