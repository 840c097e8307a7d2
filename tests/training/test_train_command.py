"""`train` as a command: what it prints, what it replaces, and public data sets from a CSV to a model."""

import json
import re
import sys
from pathlib import Path

import pytest

from telco_stream.model.artifact import read_contract, read_manifest
from tests.support.cli import ROOT
from tests.support.foreign_data import FOREIGN, ForeignData, needs_foreign_data
from tests.support.in_process import CompletedRun, run_in_process
from tests.support.terminal import TerminalRun
from tests.support.training_data import labelled_rows, write_csv

pytestmark = pytest.mark.slow

#: Model that is kept, and its AUC, which must not fall below.
EXPECTED = {
    "mlc_churn": ("boosted", 0.91),
    "credit_data": ("boosted", 0.84),
    "attrition": ("linear", 0.835),
    "stackoverflow": ("boosted", 0.695),
}


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    return write_csv(tmp_path / "labelled.csv", labelled_rows(200))


def train(labelled: Path, *options: str) -> CompletedRun:
    arguments = ("--data-path", str(labelled), "--out", str(labelled.parent / "model"), *options)
    return run_in_process("train", *arguments, env={})


def test_train_shows_the_models_it_tried(labelled: Path) -> None:
    lines = train(labelled).out.splitlines()
    assert all(len(line) <= 80 for line in lines)
    tried = [line.split() for line in lines if line.split()[:1] in (["linear"], ["boosted"])]
    assert sorted(row[0] for row in tried) == ["boosted", "linear"]
    assert [row[-2:] for row in tried] == [[tried[0][-2], "kept"], ["not", "kept"]]


def test_train_replaces_a_model_only_when_asked(labelled: Path) -> None:
    first = json.loads(train(labelled, "--output", "json").out)
    assert "replaced" not in first
    refused = train(labelled)
    assert (refused.code, refused.out) == (2, "")
    assert f"already holds model {first['version']}: --out names another folder, --replace overwrites it" in refused.err
    second = json.loads(train(labelled, "--replace", "--seed", "3", "--output", "json").out)
    assert (second["replaced"]["version"], second["replaced"]["same_data"]) == (first["version"], True)
    for metric, values in second["replaced"]["metrics"].items():
        old, new = (model[metric] if metric == "threshold" else model["metrics"][metric] for model in (first, second))
        assert values == {"old": old, "new": new}


def test_train_shows_old_and_new_metrics_side_by_side(labelled: Path) -> None:
    version = json.loads(train(labelled, "--output", "json").out)["version"]
    out = train(labelled, "--replace").out
    table = out[out.index("Replaced model") :].splitlines()
    assert table[2] == f" Old: {version}, measured on the same data"
    assert [line.split() for line in table[3:4]] == [["Metric", "Old", "New"]]
    assert any(line.split()[:2] == ["ROC", "AUC"] for line in table)


def test_train_shows_progress_before_libraries_are_loaded(labelled: Path) -> None:
    command = [sys.executable, "-m", "telco_stream", "train", "--data-path", str(labelled), "--out", "model"]
    with TerminalRun(command, cwd=labelled.parent, env={"PYTHONPATH": str(ROOT)}) as terminal:
        assert terminal.end() == 0
    stages = re.findall("Loading libraries|Reading|Trying|Fitting|Compiling|Cross-validating", terminal.raw.decode())
    assert stages[0] == "Loading libraries"
    assert stages[-1] != "Loading libraries"  # a short stage may be over before the next frame, but not all of them


@needs_foreign_data
@pytest.mark.parametrize("data", FOREIGN, ids=[data.name for data in FOREIGN])
def test_train_fits_a_public_data_set(data: ForeignData, tmp_path: Path) -> None:
    contract, out = tmp_path / "contract.json", tmp_path / "model"
    roles = ("--label", data.label, "--positive", data.positive, "--number-rows")
    inferred = run_in_process("contract", "infer", str(data.path), *roles, "--out", str(contract), env={})
    assert inferred.code == 0, inferred.err
    options = ("--contract", str(contract), "--number-rows", "--out", str(out), "--output", "json")
    done = run_in_process("train", "--data-path", str(data.path), *options, env={})
    assert done.code == 0, done.err
    result = json.loads(done.out)
    kept, roc_auc = EXPECTED[data.name]
    assert [candidate["name"] for candidate in result["candidates"] if candidate["kept"]] == [kept]
    assert result["metrics"]["roc_auc"] > roc_auc
    assert result["onnx"]["refused"] is None
    assert result["onnx"]["max_difference"] <= 1e-6
    assert read_manifest(out).training_data.rows == result["rows"] == data.rows
    assert len(read_contract(out).features) == data.features
