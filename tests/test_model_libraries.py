"""Commands without the optional libraries, as in the image `telco-stream:consume`."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from telco_stream.errors import UsageError
from telco_stream.model.artifact import requiring_libraries
from telco_stream.runtime.files import bundled
from tests.support.cli import ROOT
from tests.support.model_folder import COMMITTED

#: Folder with an entry for each thread of the process that reads it.
THREADS = Path("/proc/self/task")
OPTIONAL = ["joblib", "pandas", "sklearn", "skl2onnx"]
#: Program that runs the command as if the libraries weren't installed.
_WITHOUT = f"import sys; sys.modules.update(dict.fromkeys({OPTIONAL})); from telco_stream.cli import main; main()"


def test_consume_loads_onnx_when_libraries_are_missing() -> None:
    result = run_without("consume", "--broker", "127.0.0.1:1", "--timeout", "0.2")
    assert result.returncode == 3
    assert "127.0.0.1:1" in result.stderr


@pytest.mark.skipif(not THREADS.exists(), reason="only Linux lists the threads of a process there")
def test_load_scorer_starts_no_threads() -> None:
    """Neither for linear algebra, which is not used, nor for onnxruntime's reports of its use to Microsoft."""
    code = (
        "from pathlib import Path\nfrom telco_stream.model.artifact import load_scorer\n"
        f"load_scorer(Path({str(COMMITTED)!r}), 'auto')\nprint(len(list(Path({str(THREADS)!r}).iterdir())))"
    )
    unset = {"ORT_DISABLE_TELEMETRY", "OPENBLAS_NUM_THREADS"}
    env = {name: text for name, text in os.environ.items() if name not in unset}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env, cwd=ROOT)
    assert int(done.stdout) == 1


def test_train_exits_with_2_when_libraries_are_missing() -> None:
    result = run_without("train", "--data-path", "no.csv")
    assert result.returncode == 2
    assert one_line(result).startswith("Error: To train a model needs ")


def test_consume_exits_with_4_when_sklearn_is_missing() -> None:
    result = run_without("consume", "--engine", "sklearn")
    assert result.returncode == 4
    assert "--engine onnx" in one_line(result)


def test_consume_exits_with_4_when_there_is_no_compiled_form(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(bundled("models/churn"), folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["artifacts"]["pipeline.onnx"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    result = run_without("consume", "--model", str(folder))
    assert result.returncode == 4
    assert "has no compiled form" in result.stderr
    assert "isn't installed here" in one_line(run_without("consume", "--model", str(folder), "--engine", "sklearn"))


def test_requiring_libraries_passes_on_other_missing_modules() -> None:
    """A missing module of the package is a bug and ends with a traceback."""
    with pytest.raises(ModuleNotFoundError, match="columns"), requiring_libraries("It", UsageError, "do without"):
        raise ModuleNotFoundError("no columns", name="telco_stream.columns")


def run_without(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", _WITHOUT, *arguments]
    return subprocess.run(command, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False)


def one_line(result: "subprocess.CompletedProcess[str]") -> str:
    (line,) = result.stderr.splitlines()
    assert "telco-stream:consume" in line
    return line


@pytest.mark.parametrize("name", OPTIONAL)
def test_dockerfile_omits_each_optional_library(name: str) -> None:
    """Read the names in the Dockerfile."""
    package = {"sklearn": "scikit-learn"}.get(name, name)
    assert package in (ROOT / "Dockerfile").read_text()
