import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from telco_stream.errors import ModelError
from telco_stream.model.artifact import load_files, load_scorer, read_folder, read_manifest
from telco_stream.model.manifest import features_of
from telco_stream.runtime.choices import Engine
from tests.support.cli import ROOT
from tests.support.model_folder import COMMITTED, copy_model, edit_manifest, replace_artifact
from tests.support.telco import CONTRACT

ENGINES: tuple[Engine, ...] = ("auto", "onnx", "sklearn")
FILES = ("manifest.json", "pipeline.joblib", "pipeline.onnx")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return copy_model(tmp_path)


class Trap:
    """Object that creates a folder when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.trace),)


@pytest.mark.parametrize(("engine", "chosen"), [("auto", "onnx"), ("onnx", "onnx"), ("sklearn", "sklearn")])
def test_load_scorer_loads_the_engine_and_onnx_when_auto(engine: Engine, chosen: str) -> None:
    assert load_scorer(COMMITTED, engine).engine == chosen


def test_load_files_needs_no_pickle_when_the_compiled_form_serves() -> None:
    files = {name: content for name, content in read_folder(COMMITTED).items() if name != "pipeline.joblib"}
    assert load_files(files, "kafka:models").version == read_manifest(COMMITTED).model_version
    with pytest.raises(ModelError, match=r"No model at kafka:models: it has no pipeline\.joblib"):
        load_files(files, "kafka:models", "sklearn")


@pytest.mark.parametrize("name", ["manifest.json", "contract.json", "pipeline.onnx"])
def test_load_files_names_what_is_missing_or_changed(name: str) -> None:
    files = read_folder(COMMITTED)
    with pytest.raises(ModelError, match=f"No model at kafka:models: it has no {name}"):
        load_files({other: content for other, content in files.items() if other != name}, "kafka:models")
    with pytest.raises(ModelError, match=f"kafka:models/{name} is not"):
        load_files(files | {name: b""}, "kafka:models")


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", FILES)
def test_load_scorer_fails_when_a_file_is_missing(model: Path, engine: Engine, name: str) -> None:
    (model / name).unlink()
    with pytest.raises(ModelError, match=f"{name}.*telco-stream train"):
        load_scorer(model, engine)


@pytest.mark.parametrize("engine", ENGINES)
def test_load_scorer_fails_when_the_folder_is_missing(tmp_path: Path, engine: Engine) -> None:
    with pytest.raises(ModelError, match="No model at"):
        load_scorer(tmp_path / "nowhere", engine)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", ["pipeline.joblib", "pipeline.onnx"])
def test_load_scorer_fails_when_one_bit_of_a_file_differs(model: Path, engine: Engine, name: str) -> None:
    content = bytearray((model / name).read_bytes())
    content[len(content) // 2] ^= 1
    (model / name).write_bytes(content)
    with pytest.raises(ModelError, match=f"{name} is not the file that the manifest describes"):
        load_scorer(model, engine)


@pytest.mark.parametrize("engine", ENGINES)
def test_load_scorer_unpickles_nothing_when_checksum_differs(model: Path, tmp_path: Path, engine: Engine) -> None:
    trace = tmp_path / "trace"
    (model / "pipeline.joblib").write_bytes(pickle.dumps(Trap(trace)))
    with pytest.raises(ModelError):
        load_scorer(model, engine)
    assert not trace.exists()


def test_load_scorer_unpickles_nothing_when_engine_is_onnx(model: Path, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    replace_artifact(model, "pipeline.joblib", pickle.dumps(Trap(trace)))
    load_scorer(model, "onnx")
    assert not trace.exists()
    with pytest.raises(ModelError):  # the trap works, and is not a model
        load_scorer(model, "sklearn")
    assert trace.exists()


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"{}", b"\xff", b"null", b'{"x":' + b"[" * 200_000],
    ids=["empty", "cut", "list", "bare", "not UTF-8", "null", "deep"],
)
def test_load_scorer_fails_when_manifest_is_not_valid_json(model: Path, content: bytes) -> None:
    (model / "manifest.json").write_bytes(content)
    with pytest.raises(ModelError, match=r"is not a model's manifest"):
        load_scorer(model)


@pytest.mark.parametrize(
    "edit",
    [
        lambda manifest: manifest.pop("threshold"),
        lambda manifest: manifest.update(threshold=1.5),
        lambda manifest: manifest.update(threshold="0.5"),
        lambda manifest: manifest.pop("model_version"),
        lambda manifest: manifest["artifacts"].pop("pipeline.joblib"),
        lambda manifest: manifest["artifacts"].update({"pipeline.joblib": "abc"}),
        lambda manifest: manifest["artifacts"].update({"../pipeline.joblib": "0" * 64}),
        lambda manifest: manifest["libraries"].pop("scikit-learn"),
    ],
)
def test_load_scorer_fails_when_manifest_is_invalid(model: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    edit_manifest(model, edit)
    with pytest.raises(ModelError, match=r"manifest\.json"):
        load_scorer(model)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("edit", "names"),
    [
        (lambda manifest: manifest["features"].pop(), "TotalCharges"),
        (lambda manifest: manifest["features"][0]["categories"].append("Other"), "gender"),
        (lambda manifest: manifest["features"][0]["categories"].reverse(), "gender"),
        (lambda manifest: manifest["features"][0].update(name="sex"), "sex, gender"),
        (lambda manifest: manifest["features"].reverse(), "their order"),
        (lambda manifest: manifest["features"][4].update(maximum=100.0), "tenure"),
    ],
    ids=["one less", "new category", "other order of categories", "renamed", "other order", "other range"],
)
def test_load_scorer_names_features_when_they_differ(
    model: Path, engine: Engine, edit: Callable[[dict[str, Any]], object], names: str
) -> None:
    remove_contract(model)
    load_scorer(model, engine)
    edit_manifest(model, edit)
    with pytest.raises(ModelError, match=rf"other features \({names}\).*train --contract"):
        load_scorer(model, engine)


def remove_contract(folder: Path) -> None:
    """Turn the folder into one of an earlier version, whose manifest lists the features."""
    (folder / "contract.json").unlink()
    features = msgspec.to_builtins(features_of(CONTRACT))
    edit_manifest(folder, lambda manifest: manifest.update(features=features))
    edit_manifest(folder, lambda manifest: manifest["artifacts"].pop("contract.json"))


def test_load_scorer_names_pip_command_when_sklearn_differs(model: Path) -> None:
    edit_manifest(model, lambda manifest: manifest["libraries"].update({"scikit-learn": "1.2.3"}))
    with pytest.raises(ModelError, match=r"pip install scikit-learn==1\.2\.3"):
        load_scorer(model, "sklearn")


def test_load_scorer_accepts_another_sklearn_patch_level(model: Path) -> None:
    version = read_manifest(model).libraries["scikit-learn"].rpartition(".")[0] + ".99"
    edit_manifest(model, lambda manifest: manifest["libraries"].update({"scikit-learn": version}))
    content = (model / "pipeline.joblib").read_bytes()
    trained_with = read_manifest(COMMITTED).libraries["scikit-learn"].encode()
    replace_artifact(model, "pipeline.joblib", content.replace(trained_with, trained_with[:-1] + b"9"))
    assert load_scorer(model, "sklearn").engine == "sklearn"


def test_load_scorer_ignores_sklearn_version_when_onnx(model: Path) -> None:
    edit_manifest(model, lambda manifest: manifest["libraries"].update({"scikit-learn": "1.2.3"}))
    assert load_scorer(model, "auto").engine == "onnx"


@pytest.mark.parametrize("engine", ["auto", "onnx"])
def test_load_scorer_fails_when_manifest_omits_the_onnx_file(model: Path, engine: Engine) -> None:
    edit_manifest(model, lambda manifest: manifest["artifacts"].pop("pipeline.onnx"))
    edit_manifest(model, lambda manifest: manifest["onnx"].update(refused="it differs"))
    with pytest.raises(ModelError, match=r"it differs\): --engine sklearn loads"):
        load_scorer(model, engine)
    assert load_scorer(model, "sklearn").engine == "sklearn"


def test_load_scorer_fails_when_onnx_file_is_invalid(model: Path) -> None:
    replace_artifact(model, "pipeline.onnx", b"no graph")
    with pytest.raises(ModelError, match="--engine sklearn"):
        load_scorer(model)


def test_load_scorer_fails_when_libraries_lack_a_class(model: Path) -> None:
    replace_artifact(model, "pipeline.joblib", b"cnumpy\nno_such_class\n.")
    with pytest.raises(ModelError, match="other versions of its libraries"):
        load_scorer(model, "sklearn")


def test_load_scorer_imports_only_onnxruntime_when_onnx() -> None:
    """Loading and scoring in a new interpreter."""
    program = """
import sys
from pathlib import Path
from telco_stream.model.artifact import load_scorer
from tests.support.training_data import customers_of, labelled_rows
from tests.support.telco import CONTRACT
assert len(load_scorer(Path(sys.argv[1])).score(customers_of(labelled_rows(3)))) == 3
print(*sorted({name.partition(".")[0] for name in sys.modules} & set(sys.argv[2:])))
"""
    heavy = ["pandas", "sklearn", "joblib", "scipy", "skl2onnx", "onnx", "onnxruntime"]
    result = subprocess.run(
        [sys.executable, "-c", program, COMMITTED, *heavy], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert (result.stdout.split(), result.stderr) == (["onnxruntime"], "")


def test_read_manifest_imports_no_engine() -> None:
    program = "import sys; from pathlib import Path; from telco_stream.model.artifact import read_manifest; "
    program += "read_manifest(Path(sys.argv[1])); print(*{'numpy', 'onnxruntime', 'sklearn'} & set(sys.modules))"
    result = subprocess.run(
        [sys.executable, "-c", program, COMMITTED], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == []
