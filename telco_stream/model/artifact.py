"""Loading of a model folder: its files are checked against the manifest before any of them is loaded.

Each file is read once and loaded from the bytes that were hashed, so it cannot change in between.
"""

import hashlib
from pathlib import Path

from telco_stream.errors import ModelError
from telco_stream.model.manifest import RETRAIN, SCHEMA, Manifest, decode_manifest
from telco_stream.model.optional_deps import requiring_libraries
from telco_stream.model.scorer import Scorer
from telco_stream.runtime.choices import Engine

MANIFEST = "manifest.json"
PIPELINE = "pipeline.joblib"
ONNX = "pipeline.onnx"


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest only, without checking the files; raise ModelError if it is missing or invalid."""
    try:
        manifest = decode_manifest(_read(folder, MANIFEST))
    except (ValueError, RecursionError) as error:  # msgspec and Unicode errors, and deeply nested JSON
        raise ModelError(f"{folder / MANIFEST} is not a model's manifest ({error}): {RETRAIN}") from error
    for name, entries in ((PIPELINE, manifest.artifacts), (_SKLEARN, manifest.libraries)):
        if name not in entries:
            raise ModelError(f"{folder / MANIFEST} has no entry for {name}: {RETRAIN}")
    return manifest


def load_scorer(folder: Path, engine: Engine = "auto", threads: int = 1) -> Scorer:
    """Check and load the model; `threads` is the number of threads of the ONNX session.

    Raise ModelError if a file is missing or changed, or if the model cannot be used here.
    """
    manifest = read_manifest(folder)
    _check_schema(folder, manifest)
    files = {name: _read_checked(folder, name, sha256) for name, sha256 in manifest.artifacts.items()}
    if engine == "sklearn":
        return _load_sklearn(files[PIPELINE], manifest)
    if ONNX not in files:
        reason = manifest.onnx.refused or f"the manifest has no entry for {ONNX}"
        raise ModelError(
            f"The model in {folder} has no compiled form ({reason}): --engine sklearn loads {PIPELINE}, which can"
            " run any code; use it only if you trust the author of the model"
        )
    return _load_onnx(files[ONNX], manifest, threads)


_SKLEARN = "scikit-learn"
_ALTERNATIVE = "use a model with a compiled form (--engine onnx), or install telco-stream with all dependencies"


def _read(folder: Path, name: str) -> bytes:
    try:
        return (folder / name).read_bytes()
    except OSError as error:
        raise ModelError(f"No model at {folder}: {name}: {error.strerror or error}; {RETRAIN}") from error


def _read_checked(folder: Path, name: str, sha256: str) -> bytes:
    content = _read(folder, name)
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ModelError(
            f"{folder / name} is not the file that the manifest describes: restore it, or train the model again"
        )
    return content


def _check_schema(folder: Path, manifest: Manifest) -> None:
    if manifest.features == SCHEMA:
        return
    features = {feature.name: feature for feature in manifest.features}
    expected = {feature.name: feature for feature in SCHEMA}
    names = [name for name in features | expected if features.get(name) != expected.get(name)] or ["their order"]
    raise ModelError(f"The model in {folder} was trained on other features ({', '.join(names)}): train it again")


def _load_sklearn(pickled: bytes, manifest: Manifest) -> Scorer:
    # Imported here, because only this engine needs pandas and scikit-learn.
    with requiring_libraries("To load the uncompiled model", ModelError, _ALTERNATIVE):
        from telco_stream.model.sklearn_engine import SKLEARN_VERSION, load_sklearn  # noqa: PLC0415

    trained_with = manifest.libraries[_SKLEARN]
    if trained_with.split(".")[:2] != SKLEARN_VERSION.split(".")[:2]:
        raise ModelError(
            f"The model was trained with {_SKLEARN} {trained_with}, but {SKLEARN_VERSION} is installed: "
            f"pip install {_SKLEARN}=={trained_with}"
        )
    return load_sklearn(pickled, version=manifest.model_version, threshold=manifest.threshold)


def _load_onnx(model: bytes, manifest: Manifest, threads: int) -> Scorer:
    # Imported here, because only this engine needs onnxruntime.
    from telco_stream.model.onnx_engine import load_onnx  # noqa: PLC0415

    return load_onnx(model, version=manifest.model_version, threshold=manifest.threshold, threads=threads)
