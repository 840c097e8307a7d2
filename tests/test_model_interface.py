"""A model with another interface is refused when it is loaded, before it can reject every valid customer."""

import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import onnx
import pytest
from msgspec import structs
from onnx import TensorProto, helper
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression

from telco_stream.errors import ModelError
from telco_stream.messages.codec import compile_contract
from telco_stream.model.artifact import ONNX, PIPELINE, load_scorer
from telco_stream.model.compilation import compile_if_equal
from telco_stream.model.onnx_engine import load_onnx
from telco_stream.model.pipelines import linear
from telco_stream.model.sklearn_engine import adapt, frame
from tests.support.in_process import run_in_process
from tests.support.model_folder import copy_model, edit_manifest, replace_artifact
from tests.support.telco import CODEC, CONTRACT
from tests.support.training_data import customers_of, labelled_rows

FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
ROWS = labelled_rows(60)
CUSTOMERS = customers_of(ROWS)
CHURNED = [row["Churn"] == "Yes" for row in ROWS]
NUMBERS, CODES = ("numbers", FLOAT, [None, 4]), ("codes", INT64, [None, 15])
#: Nodes from the codes to one probability, 0.5; `PAIR` makes two of it.
TO_ONE = [
    ("Cast", ["codes"], ["x"], {"to": FLOAT}),
    ("MatMul", ["x", "zeros"], ["y"], {}),
    ("Sigmoid", ["y"], ["p"], {}),
]
PAIR = ("Concat", ["p", "p"], ["probabilities"], {"axis": 1})


def graph(
    *nodes: tuple[str, list[str], list[str], dict[str, Any]],
    inputs: tuple[Any, ...] = (NUMBERS, CODES),
    output: tuple[str, int, list[int | None] | None] = ("probabilities", FLOAT, [None, 2]),
) -> bytes:
    """Return an ONNX file of these nodes."""
    values = {
        "zeros": np.zeros((15, 1), np.float32),
        "shape": np.array([7, 2]),
        "large": np.array(3, np.float32),
        "axis": np.array([1]),
        "halves": np.full(2, 0.5, np.float32),
    }
    onnx_graph = helper.make_graph(
        [helper.make_node(kind, inputs_, outputs, **attributes) for kind, inputs_, outputs, attributes in nodes],
        "test",
        [helper.make_tensor_value_info(*tensor) for tensor in inputs],
        [helper.make_tensor_value_info(*output)],
        [onnx.numpy_helper.from_array(value, name) for name, value in values.items()],
    )
    model = helper.make_model(onnx_graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    content: bytes = model.SerializeToString()
    return content


def test_load_onnx_accepts_a_graph_when_it_fits() -> None:
    scorer = load_onnx(graph(*TO_ONE, PAIR), CODEC, version="v", threshold=0.5)
    assert scorer.score(CUSTOMERS[:2]) == [0.5, 0.5]


CODES_WITHOUT_NAME = ("Cast", ["c"], ["x"], {"to": FLOAT})


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (
            graph(CODES_WITHOUT_NAME, *TO_ONE[1:], PAIR, inputs=(NUMBERS, ("c", INT64, [None, 15]))),
            "inputs are c, numbers, not codes, numbers",
        ),
        (graph(*TO_ONE, PAIR, inputs=(NUMBERS, CODES, ("more", FLOAT, [1]))), "inputs are codes, more, numbers"),
        (graph(*TO_ONE, PAIR, inputs=(CODES,)), "inputs are codes, not"),
        (graph(*TO_ONE, PAIR, inputs=(("numbers", FLOAT, [None, 5]), CODES)), r"input numbers is .*5\], not .*4\]"),
        (graph(*TO_ONE, PAIR, inputs=(("numbers", INT64, [None, 4]), CODES)), r"numbers is tensor\(int64\)"),
        (graph(*TO_ONE, PAIR, inputs=(NUMBERS, ("codes", INT64, [1, 15]))), r"codes is .*\[1, 15\]"),
        (graph(*TO_ONE, ("Identity", ["p"], ["out"], {}), output=("out", FLOAT, None)), "outputs are out"),
        (
            graph(*TO_ONE, ("Identity", ["p"], ["probabilities"], {}), output=("probabilities", FLOAT, None)),
            "gives 3x1",
        ),
        (
            graph(*TO_ONE, ("Squeeze", ["p"], ["probabilities"], {}), output=("probabilities", FLOAT, None)),
            "gives 3 values for 3 events",
        ),
        (
            graph(
                *TO_ONE,
                ("Concat", ["p", "p"], ["q"], {"axis": 1}),
                ("Cast", ["q"], ["probabilities"], {"to": BOOL}),
                output=("probabilities", BOOL, [None, 2]),
            ),
            "of type bool",
        ),
        (
            graph(
                *TO_ONE,
                ("Concat", ["p", "p"], ["q"], {"axis": 1}),
                ("Cast", ["q"], ["probabilities"], {"to": INT64}),
                output=("probabilities", INT64, [None, 2]),
            ),
            "of type int64",
        ),
        (
            graph(*TO_ONE, ("Concat", ["p", "p"], ["q"], {"axis": 1}), ("Mul", ["q", "large"], ["probabilities"], {})),
            "not probabilities",
        ),
        (graph(*TO_ONE[:2], ("Concat", ["y", "y"], ["probabilities"], {"axis": 1})), "not probabilities"),
        (
            graph(("ReduceSum", ["numbers", "axis"], ["s"], {}), ("Sigmoid", ["s"], ["p"], {}), PAIR),
            "not probabilities",
        ),
        (graph(*TO_ONE, ("Reshape", ["p", "shape"], ["probabilities"], {})), r"fails on an example"),
    ],
    ids=[
        *("input renamed", "input added", "input missing", "input wider", "input of integers", "one row only"),
        *("output renamed", "one column", "flat", "boolean", "whole", "above 1", "logits", "not a number", "fails"),
    ],
)
def test_load_onnx_refuses_when_the_graph_does_not_fit(
    content: bytes, reason: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    replace_artifact(folder := copy_model(tmp_path), ONNX, content)
    result = run_in_process("consume", "--model", str(folder), "--broker", "127.0.0.1:1", "--timeout", "0.1", env={})
    assert result.code == ModelError.exit_code
    with pytest.raises(ModelError, match=rf"compiled model can't be used: .*({reason})"):
        load_scorer(folder)
    assert capfd.readouterr().err == ""


class NoProbability:
    """A classifier of the right classes that fails on every customer."""

    classes_ = (False, True)

    def predict_proba(self, _: object) -> object:
        raise OSError("no disk")


@pytest.mark.parametrize(
    ("pipeline", "reason"),
    [
        ({"not": "a model"}, "a dict has no predict_proba"),
        (LinearRegression(), "LinearRegression has no predict_proba"),
        (DummyClassifier().fit(frame(CODEC.events, CUSTOMERS), [index % 3 for index in range(60)]), "classes are not"),
        (DummyClassifier().fit(frame(CODEC.events, CUSTOMERS), [0] * 60), "classes are not"),
        (DummyClassifier().fit(frame(CODEC.events, CUSTOMERS), ["stay", "leave"] * 30), "classes are not"),
        (NoProbability(), "fails on an example .OSError"),
        (
            RandomForestClassifier(2).fit(frame(CODEC.events, CUSTOMERS)[["tenure"]].assign(age=1), CHURNED),
            "columns that the contract does not have: age",
        ),
    ],
    ids=["a dict", "regression", "three classes", "one class", "other classes", "fails", "other columns"],
)
def test_load_sklearn_refuses_when_the_pipeline_does_not_fit(pipeline: object, reason: str, tmp_path: Path) -> None:
    replace_artifact(folder := copy_model(tmp_path), PIPELINE, pickle.dumps(pipeline))
    with pytest.raises(ModelError, match=rf"pipeline can't be used: .*{reason}"):
        load_scorer(folder, "sklearn")


@pytest.mark.parametrize("content", [b"", b"no pickle", b"\x80\x05K\x01"], ids=["empty", "text", "cut"])
def test_load_sklearn_refuses_when_bytes_are_not_a_pickle(content: bytes, tmp_path: Path) -> None:
    replace_artifact(folder := copy_model(tmp_path), PIPELINE, content)
    with pytest.raises(ModelError, match="can't be unpickled"):
        load_scorer(folder, "sklearn")


@pytest.mark.parametrize(
    "labels", [CHURNED, [int(churned) for churned in CHURNED], ["Yes" if churned else "No" for churned in CHURNED]]
)
def test_adapt_accepts_each_spelling_of_the_classes(labels: list[Any]) -> None:
    assert adapt(linear(CODEC).fit(frame(CODEC.events, CUSTOMERS), labels), CODEC).positive == 1


#: Graph that passes the check with its few customers, and fails if the tenure exceeds 1.
SHORT_TABLE = graph(
    ("Gather", ["numbers", "axis"], ["tenure"], {"axis": 1}),
    ("Cast", ["tenure"], ["row"], {"to": INT64}),
    ("Gather", ["halves", "row"], ["p"], {"axis": 0}),
    PAIR,
)


@pytest.mark.parametrize("content", [SHORT_TABLE, graph(*TO_ONE, ("Reshape", ["p", "shape"], ["probabilities"], {}))])
def test_compile_if_equal_refuses_when_the_graph_fails(content: bytes) -> None:
    pipeline = linear(CODEC).fit(frame(CODEC.events, CUSTOMERS), CHURNED)
    compiled = compile_if_equal(pipeline, CODEC, CUSTOMERS, seed=0, convert=lambda *_: content)
    assert compiled.content is None
    assert re.search("fails on (some events|an example)", str(compiled.refused))


def test_compile_if_equal_refuses_when_graph_cannot_be_run() -> None:
    """The converter turns an imputer with an indicator into a graph that loads but cannot be run."""
    total = structs.replace(CONTRACT.features[-1], fill=None)
    codec = compile_contract(structs.replace(CONTRACT, features=(*CONTRACT.features[:-1], total)))
    pipeline = linear(codec)
    curves = pipeline.named_steps["columns"].transformers[0][1]
    curves.steps[0] = ("fill", SimpleImputer(add_indicator=True))
    customers = customers_of(ROWS, codec)
    pipeline.set_params(classifier=RandomForestClassifier(3)).fit(frame(codec.events, customers), CHURNED)
    compiled = compile_if_equal(pipeline, codec, customers, seed=0)
    assert (compiled.content, compiled.refused is None) == (None, False)


def test_consume_refuses_when_there_is_only_a_pickle(tmp_path: Path) -> None:
    folder, nowhere = copy_model(tmp_path), ("--broker", "127.0.0.1:1", "--timeout", "0.1")
    edit_manifest(folder, lambda manifest: manifest["artifacts"].pop(ONNX))
    trace = tmp_path / "trace"
    replace_artifact(folder, PIPELINE, pickle.dumps(Trap(trace)))
    for command in ("consume", "dlq replay --only-fixed", "demo"):
        options = nowhere if command != "demo" else ()
        result = run_in_process(*command.split(), *options, env={"TELCO_STREAM_MODEL__PATH": str(folder)})
        assert result.code == ModelError.exit_code
        assert "--engine sklearn loads pipeline.joblib" in result.err
    assert not trace.exists()


class Trap:
    """Object that creates a folder when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.mkdir, (self.trace,)


def test_consume_ignores_a_model_when_it_is_not_configured(tmp_path: Path) -> None:
    """The working directory has a folder `models/churn`."""
    copy_model(tmp_path / "models").rename(tmp_path / "models/churn")
    edit_manifest(tmp_path / "models/churn", lambda manifest: manifest.update(model_version="planted"))
    assert "planted" not in run_in_process("model", "show", env={}).out
    assert "planted" in run_in_process("model", "show", "--model", "models/churn", env={}).out


def test_a_dumped_pipeline_scores_when_sklearn_is_chosen(tmp_path: Path) -> None:
    folder = copy_model(tmp_path)
    edit_manifest(folder, lambda manifest: manifest["artifacts"].pop(ONNX))
    assert load_scorer(folder, "sklearn").score(CUSTOMERS[:1]) == pytest.approx(
        joblib.load(folder / PIPELINE).predict_proba(frame(CODEC.events, CUSTOMERS[:1]))[:, 1]
    )
