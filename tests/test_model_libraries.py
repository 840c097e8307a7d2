"""An installation without the libraries of training, as the small image is: what needs them says so in one line."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from telco_stream.errors import UsageError
from telco_stream.model.optional_deps import requiring_libraries
from telco_stream.runtime.bundled import bundled
from tests.support.cli import ROOT

LEFT_OUT = ["joblib", "pandas", "sklearn", "skl2onnx"]
#: As if they weren't installed.
_WITHOUT = f"import sys; sys.modules.update(dict.fromkeys({LEFT_OUT})); from telco_stream.cli import main; main()"


def test_consume_loads_onnx_when_libraries_are_missing() -> None:
    done = run_without("consume", "--broker", "127.0.0.1:1", "--timeout", "0.2")
    assert done.returncode == 3
    assert "127.0.0.1:1" in done.stderr


def test_train_exits_with_2_when_libraries_are_missing() -> None:
    done = run_without("train", "--data-path", "no.csv")
    assert done.returncode == 2
    assert one_line(done).startswith("Error: To train a model needs ")


def test_consume_exits_with_4_when_sklearn_is_missing() -> None:
    done = run_without("consume", "--engine", "sklearn")
    assert done.returncode == 4
    assert "--engine onnx" in one_line(done)


def test_consume_exits_with_4_when_there_is_no_compiled_form(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(bundled("models/churn"), folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["artifacts"]["pipeline.onnx"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    done = run_without("consume", "--model", str(folder))
    assert done.returncode == 4
    assert "has no compiled form" in done.stderr
    assert "isn't installed here" in one_line(run_without("consume", "--model", str(folder), "--engine", "sklearn"))


def test_requiring_libraries_passes_on_other_missing_modules() -> None:
    """A traceback says more than a guess."""
    with pytest.raises(ModuleNotFoundError, match="columns"), requiring_libraries("It", UsageError, "do without"):
        raise ModuleNotFoundError("no columns", name="telco_stream.model.encoding")


def run_without(*words: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", _WITHOUT, *words]
    return subprocess.run(command, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False)


def one_line(done: "subprocess.CompletedProcess[str]") -> str:
    (line,) = done.stderr.splitlines()
    assert "telco-stream:consume" in line
    return line


@pytest.mark.parametrize("name", LEFT_OUT)
def test_dockerfile_omits_each_optional_library(name: str) -> None:
    """By the Dockerfile's own pattern."""
    package = {"sklearn": "scikit-learn"}.get(name, name)
    assert package in (ROOT / "Dockerfile").read_text()
