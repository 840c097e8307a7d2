"""The model folder: checked against its manifest before anything in it is loaded.

Each file is read once, and what is loaded are the bytes that were hashed: nothing can change in between.
"""

import hashlib
from pathlib import Path

from telco_stream.errors import ModelError
from telco_stream.model.manifest import SCHEMA, Manifest, decode_manifest
from telco_stream.model.optional_deps import requiring_libraries
from telco_stream.model.scorer import Scorer
from telco_stream.runtime.choices import Engine

MANIFEST = "manifest.json"
PIPELINE = "pipeline.joblib"
ONNX = "pipeline.onnx"


def read_manifest(folder: Path) -> Manifest:
    """What the folder says of its model, nothing else looked at; raises ModelError."""
    try:
        manifest = decode_manifest(_read(folder, MANIFEST))
    except (ValueError, RecursionError) as error:  # msgspec's errors, Unicode's, and JSON without end
        raise ModelError(f"{folder / MANIFEST} is not a model's manifest ({error}): {_RETRAIN}") from error
    for name, known in ((PIPELINE, manifest.artifacts), (_SKLEARN, manifest.libraries)):
        if name not in known:
            raise ModelError(f"{folder / MANIFEST} doesn't mention {name}: {_RETRAIN}")
    return manifest


def load_scorer(folder: Path, engine: Engine = "auto", threads: int = 1) -> Scorer:
    """The model, checked and ready; `threads` are the ONNX session's. Raises ModelError before anything is loaded."""
    manifest = read_manifest(folder)
    _check_schema(folder, manifest)
    files = {name: _read_checked(folder, name, sha256) for name, sha256 in manifest.artifacts.items()}
    if engine == "sklearn":
        return _load_sklearn(files[PIPELINE], manifest)
    if ONNX not in files:
        why = manifest.onnx.refused or f"the manifest names no {ONNX}"
        raise ModelError(
            f"The model in {folder} has no compiled form ({why}): --engine sklearn loads {PIPELINE}, which runs any"
            " code in it; choose it if you trust whoever made the folder"
        )
    return _load_onnx(files[ONNX], manifest, threads)


_SKLEARN = "scikit-learn"
_INSTEAD = "use a model with a compiled form (--engine onnx), or install telco-stream whole"
_RETRAIN = "make one with telco-stream train"


def _read(folder: Path, name: str) -> bytes:
    try:
        return (folder / name).read_bytes()
    except OSError as error:
        raise ModelError(f"No model at {folder}: {name}: {error.strerror or error}; {_RETRAIN}") from error


def _read_checked(folder: Path, name: str, sha256: str) -> bytes:
    content = _read(folder, name)
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ModelError(f"{folder / name} is not the file that the manifest describes: restore it, or train again")
    return content


def _check_schema(folder: Path, manifest: Manifest) -> None:
    if manifest.features == SCHEMA:
        return
    theirs = {feature.name: feature for feature in manifest.features}
    ours = {feature.name: feature for feature in SCHEMA}
    names = [name for name in theirs | ours if theirs.get(name) != ours.get(name)] or ["their order"]
    raise ModelError(f"The model in {folder} was trained on other features ({', '.join(names)}): train again")


def _load_sklearn(pickled: bytes, manifest: Manifest) -> Scorer:
    # Only this engine waits for pandas and scikit-learn.
    with requiring_libraries("To load the uncompiled model", ModelError, _INSTEAD):
        from telco_stream.model.sklearn_engine import SKLEARN_VERSION, load_sklearn  # noqa: PLC0415

    trained = manifest.libraries[_SKLEARN]
    if trained.split(".")[:2] != SKLEARN_VERSION.split(".")[:2]:
        raise ModelError(
            f"The model was trained with {_SKLEARN} {trained}, this is {SKLEARN_VERSION}: "
            f"pip install {_SKLEARN}=={trained}"
        )
    return load_sklearn(pickled, version=manifest.model_version, threshold=manifest.threshold)


def _load_onnx(model: bytes, manifest: Manifest, threads: int) -> Scorer:
    # Only this engine waits for onnxruntime.
    from telco_stream.model.onnx_engine import load_onnx  # noqa: PLC0415

    return load_onnx(model, version=manifest.model_version, threshold=manifest.threshold, threads=threads)
