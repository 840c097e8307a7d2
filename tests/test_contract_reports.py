"""Reports of contracts whose names and values are unusual."""

import json
from pathlib import Path

import pytest
from msgspec import structs

from telco_stream.contract.schema import Boolean, Category, Contract
from telco_stream.display.text import as_json
from telco_stream.errors import UsageError
from telco_stream.messages.codec import Codec, compile_contract
from telco_stream.messages.prediction import Prediction
from telco_stream.model.artifact import write_folder
from telco_stream.report.analytics import Analytics, Summary
from telco_stream.report.customers import MAX_SEGMENTS, MISSING, OTHER
from telco_stream.report.lookup import FoundPrediction
from telco_stream.report.run import harmless
from tests.support.captured_screen import CapturedScreen
from tests.support.in_process import run_in_process
from tests.support.telco import CONTRACT

TIME = "2026-01-01T00:00:00Z"


@pytest.mark.parametrize("name", ["Share", "Expected", "Flagged", "Customers", "Probability", "#"])
@pytest.mark.parametrize("columns", [30, 80])
def test_report_is_drawn_when_a_segment_has_the_name_of_a_heading(name: str, columns: int) -> None:
    codec = _codec(Category(name=name, values=("yes", "no")))
    summary = _summary(codec, [_prediction(codec, "a", "x" * 200), _prediction(codec, "b", "no")])
    captured = CapturedScreen("table", environ={"COLUMNS": str(columns)})
    captured.screen.show(summary)
    assert max(map(len, captured.stdout.splitlines())) <= columns


def test_known_values_are_not_counted_as_others_when_there_are_many() -> None:
    """Neither is null, nor the value that unknown texts count as."""
    values = tuple(f"plan {number}" for number in range(MAX_SEGMENTS + 50))
    codec = _codec(Category(name="plan", values=values, other="rest", nullable=True))
    names = [*values, "rest", "", "x" * 300]
    summary = _summary(codec, [_prediction(codec, str(n), name) for n, name in enumerate(names)])
    for counted in (summary.by["plan"], summary.segments["plan"]):
        assert {"rest", MISSING, OTHER} <= counted.keys()
        assert len(counted) == len(values) + 3


def test_json_of_a_prediction_keeps_columns_named_like_its_position() -> None:
    codec = _codec(Category(name="source", values=("web", "shop")), Boolean(name="previous", nullable=True))
    prediction = codec.predictions.type("a", 0.5, "yes", TIME, TIME, "v", "web", None)
    message = {"account": "a", "source": "web", "previous": None}
    found = json.loads(as_json(FoundPrediction(0, 77, prediction, message, "raw/0/5")))
    assert found == {
        "partition": 0,
        "offset": 77,
        "account": "a",
        "column.source": "web",
        "previous": None,
        "source": "raw/0/5",
    }


def test_csv_writes_booleans_as_json_does() -> None:
    assert [harmless(value) for value in (True, False, "=1", 2.5)] == ["true", "false", "'=1", 2.5]


def test_write_folder_keeps_a_model_that_came_meanwhile(tmp_path: Path) -> None:
    """The folder was empty when the training began."""
    write_folder(tmp_path / "model", {"pipeline.onnx": b"other"}, replace_model=False)
    with pytest.raises(UsageError, match="already holds"):
        write_folder(tmp_path / "model", {"pipeline.onnx": b"mine"}, replace_model=False)
    assert (tmp_path / "model/pipeline.onnx").read_bytes() == b"other"


def test_train_uses_the_built_in_contract_when_the_model_is_yet_to_come(tmp_path: Path) -> None:
    env = {"TELCO_STREAM_MODEL__PATH": str(tmp_path / "new")}
    done = run_in_process("train", "--data-path", str(tmp_path / "none.csv"), "--out", str(tmp_path / "new"), env=env)
    assert (done.code, "none.csv" in done.err) == (5, True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("dlq replay --model x", "--only-fixed or --customer"),
        ("dlq replay --engine onnx", "--engine requires --only-fixed"),
        ("contract show --schema --model x", "--schema"),
    ],
)
def test_option_without_effect_is_refused(arguments: str, words: str) -> None:
    done = run_in_process(*arguments.split(), env={})
    assert (done.code, words in done.err) == (2, True)


def _codec(*segments: Category | Boolean) -> Codec:
    label = structs.replace(CONTRACT.label, positive="yes", negative="no", verb=None)
    contract: Contract = structs.replace(
        CONTRACT,
        key=structs.replace(CONTRACT.key, name="account"),
        label=label,
        features=segments,
        segments=tuple(segment.name for segment in segments),
        charge=None,
    )
    return compile_contract(contract)


def _prediction(codec: Codec, key: str, *segments: object) -> Prediction:
    prediction: Prediction = codec.predictions.type(key, 0.5, "yes", TIME, TIME, "v", *segments)
    return prediction


def _summary(codec: Codec, predictions: list[Prediction]) -> Summary:
    analytics = Analytics(codec.predictions)
    analytics.add_all(predictions)
    return analytics.result(10)
