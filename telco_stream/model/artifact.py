"""Model folder: reading, loading and atomic replacement.

The files are checked against the manifest before any of them is loaded. Each file is read once and loaded from the
bytes that were hashed, so it cannot change in between.
"""

import hashlib
import logging
import os
import shutil
from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from telco_stream.contract.document import ContractError, builtin_contract, decode_contract
from telco_stream.contract.schema import Contract
from telco_stream.errors import ModelError, TelcoStreamError, UsageError
from telco_stream.messages.codec import Codec, compile_contract
from telco_stream.model.golden import check_golden
from telco_stream.model.manifest import RETRAIN, Manifest, Serving, decode_features, decode_manifest, features_of
from telco_stream.model.reasons.files import APPROXIMATE, GRAPH, LEAVES, SENTENCES, load_reasons
from telco_stream.model.reasons.request import ReasonRequest
from telco_stream.model.scorer import Scorer
from telco_stream.runtime.choices import BASELINES, Baseline, Engine
from telco_stream.runtime.files import copy_owner_and_mode, create_file, created, status, temporary_path

if TYPE_CHECKING:
    from telco_stream.model.reasons.explainer import Explainer

log = logging.getLogger("telco_stream.model")

MANIFEST = "manifest.json"
CONTRACT = "contract.json"
PIPELINE = "pipeline.joblib"
ONNX = "pipeline.onnx"
GOLDEN = "golden.json"
BASELINE = "baseline.json"
#: Map of the engine's probabilities to those of the model, in folders of `model recalibrate` only.
CALIBRATION = "calibration.json"
SKOPS = "pipeline.skops"
#: Names of files that hold a model as its library saved it; an archive lacks those that could run code.
_ORIGINALS = (PIPELINE, SKOPS, "pipeline.json", "pipeline.ubj", "pipeline.txt", "pipeline.cbm")
_PICKLES = (PIPELINE, SKOPS)
_SKLEARN = "scikit-learn"
_ALTERNATIVE = "use a model with a compiled form (--engine onnx), or install telco-stream with all dependencies"
#: Libraries that only training and the uncompiled model need, and that an installation may omit.
_OPTIONAL = frozenset(
    {"catboost", "joblib", "lightgbm", "pandas", "sklearn", "skl2onnx", "skops", "threadpoolctl", "xgboost"}
)


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest only, without checking the files; raise ModelError if it is missing or invalid."""
    manifest = manifest_of(read_folder(folder, only=()), str(folder))
    log.debug("model %s is in %s", manifest.model_version, folder)
    return manifest


def read_contract(folder: Path) -> Contract:
    """Read the contract that the model was trained with; raise ModelError if it is missing, changed or invalid.

    A folder of an earlier version has none; its features must be those of the built-in contract.
    """
    return contract_of(read_folder(folder, only=(CONTRACT,)), str(folder))


def read_folder(folder: Path, only: Container[str] | None = None) -> dict[str, bytes]:
    """Read the manifest and the files that it names, or only some of them; raise ModelError if one is missing.

    The sentences of the reasons are read too, if the folder has any.
    """
    files = {MANIFEST: _read(folder, MANIFEST)}
    names = [*manifest_of(files, str(folder)).artifacts, *([SENTENCES] if (folder / SENTENCES).exists() else [])]
    return files | {name: _read(folder, name) for name in names if only is None or name in only}


def load_scorer(folder: Path, engine: Engine = "auto", reasons: Baseline | None = None) -> Scorer:
    """Check and load the model of a folder; see `load_files`."""
    return load_files(read_folder(folder), str(folder), engine, reasons)


def read_sentences_file(folder: Path) -> bytes | None:
    """Return the sentences of a folder's model, which may have been edited; None if it has none."""
    return _read(folder, SENTENCES) if (folder / SENTENCES).exists() else None


def checksums(files: Mapping[str, bytes]) -> dict[str, str]:
    """Return the sha256 of the files that a manifest lists: of all but those that may be edited."""
    listed = (name for name in files if name not in {MANIFEST, SENTENCES})
    return {name: hashlib.sha256(files[name]).hexdigest() for name in listed}


def manifest_of(files: Mapping[str, bytes], origin: str) -> Manifest:
    """Decode the manifest of a model's files, which are named `origin` in errors; raise ModelError if it is invalid."""
    path = f"{origin}/{MANIFEST}"
    if MANIFEST not in files:
        raise ModelError(f"No model at {origin}: it has no {MANIFEST}; {RETRAIN}")
    try:
        manifest = decode_manifest(files[MANIFEST])
    except (ValueError, RecursionError) as error:  # msgspec and Unicode errors, and deeply nested JSON
        raise ModelError(f"{path} is not a model's manifest ({error}): {RETRAIN}") from error
    served = manifest.serving.artifact if manifest.serving else PIPELINE
    for name, entries in ((served, manifest.artifacts), (_SKLEARN, manifest.libraries)):
        if name not in entries:
            raise ModelError(f"{path} has no entry for {name}: {RETRAIN}")
    return manifest


def contract_of(files: Mapping[str, bytes], origin: str) -> Contract:
    """Return the contract of a model's files, or the built-in one; see `read_contract`."""
    artifacts = manifest_of(files, origin).artifacts
    if CONTRACT in artifacts:
        return _decode_contract(_checked(files, CONTRACT, artifacts[CONTRACT], origin), origin)
    return _contract_of_features(files[MANIFEST], origin)


def load_files(
    files: Mapping[str, bytes],
    origin: str,
    engine: Engine = "auto",
    reasons: Baseline | None = None,
    *,
    approximate: bool = False,
) -> Scorer:
    """Check the files of a model, load it, and score its golden rows, if it has any; errors call the files `origin`.

    With a baseline, the scorer has its exact or `approximate` reasons too. The pickle may be missing if the compiled
    form is used. Raise ModelError if another file is missing, if one has changed, or if the model cannot be used here,
    and UsageError if it has no reasons and they were asked for.
    """
    loaded = _Loaded(files, origin, engine)
    scorer = loaded.scorer(reasons, approximate=approximate)
    loaded.check(scorer)
    return scorer


def load_requested(files: Mapping[str, bytes], origin: str, engine: Engine, request: ReasonRequest | None) -> Scorer:
    """Load a model with the reasons that are requested; see `load_files`."""
    if request is None:
        return load_files(files, origin, engine)
    return load_files(files, origin, engine, request.baseline, approximate=request.approximate)


def load_with_all_reasons(
    files: Mapping[str, bytes], origin: str, engine: Engine, *, approximate: bool = False
) -> list[Scorer]:
    """Load a model; return it with the exact reasons of each baseline, or without any if it has none.

    If `approximate`, it follows with the approximate reasons of each baseline, if it has them. Raise ModelError as
    `load_files` does.
    """
    loaded = _Loaded(files, origin, engine)
    try:
        scorers = [loaded.scorer(baseline) for baseline in BASELINES]
    except UsageError:
        scorers = [loaded.scorer(None)]
    loaded.check(scorers[0])
    if approximate:
        with suppress(UsageError):
            scorers += [loaded.scorer(baseline, approximate=True) for baseline in BASELINES]
    return scorers


class _Loaded:
    """Checked files of a model, and its engine."""

    def __init__(self, files: Mapping[str, bytes], origin: str, engine: Engine) -> None:
        self._manifest = manifest_of(files, origin)
        self._origin = origin
        log.debug("model %s is in %s", self._manifest.model_version, origin)
        self._files = {
            name: _checked(files, name, sha256, origin)
            for name, sha256 in self._manifest.artifacts.items()
            if name in files or name not in _PICKLES or engine == "sklearn"
        }
        self._no_reasons = (
            self._manifest.no_reasons or "its folder was made by an earlier version; train or import the model again"
        )
        if not self._files.keys() & {GRAPH, LEAVES}:
            log.debug("it has no exact reasons: %s", self._no_reasons)
        self._codec = compile_contract(contract_of(files, origin))
        self._engine = _load_engine(self._files, self._codec, self._manifest, engine, origin)

    def scorer(self, reasons: Baseline | None, *, approximate: bool = False) -> Scorer:
        """Return the calibrated model, with its reasons if a baseline is given; see `load_files`."""
        scorer, explainer = self._engine, None
        if reasons is not None:
            explainer = self._explainer(reasons, approximate=approximate)
            scorer = replace(scorer, explainer=explainer)  # type: ignore[type-var] # scorers are dataclasses
        if CALIBRATION not in self._files:
            return scorer
        from telco_stream.model.calibration import CalibratedScorer, decode_calibration  # noqa: PLC0415 - needs numpy

        calibration = decode_calibration(self._files[CALIBRATION], self._origin)
        calibrated = CalibratedScorer(scorer, calibration, explainer and calibration.explain(explainer))
        if explainer is not None and calibrated.explainer is None:
            raise self._without_reasons("its calibration is isotonic", approximate=approximate)
        return calibrated

    def _explainer(self, baseline: Baseline, *, approximate: bool) -> "Explainer":
        """Load the reasons of the model; raise UsageError if it has none, and ModelError if they cannot be used."""
        explainer = load_reasons(self._files, self._codec, baseline, approximate=approximate)
        if explainer is not None:
            return explainer
        cause = self._no_reasons
        if approximate and GRAPH in self._files:
            cause = "only boosted trees do; its exact ones cost little, so leave out --reasons-approximate"
        elif not approximate and APPROXIMATE in self._files:
            cause += "; --reasons-approximate adds approximate ones"
        raise self._without_reasons(cause, approximate=approximate)

    def _without_reasons(self, cause: str, *, approximate: bool) -> UsageError:
        kind = "approximate" if approximate else "exact"
        return UsageError(f"The model in {self._origin} has no {kind} reasons: {cause}")

    def check(self, scorer: Scorer) -> None:
        """Score the golden rows, if the model has any; raise ModelError if its answers differ."""
        if GOLDEN in self._files:
            check_golden(self._files[GOLDEN], scorer)


def check_target(folder: Path, *, replace_model: bool) -> None:
    """Raise UsageError if the path cannot become a model folder.

    It must not be a file or hold other files, which replacing the folder would delete, and it must not hold a model
    unless `replace_model` is set.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder: give a folder for the model")
    names = {entry.name for entry in folder.iterdir()}
    ours = {MANIFEST, CONTRACT, GOLDEN, BASELINE, CALIBRATION, ONNX, GRAPH, LEAVES, APPROXIMATE, SENTENCES, *_ORIGINALS}
    if others := sorted(names - ours):
        raise UsageError(
            f"{folder} holds files that do not belong to a model ({others[0]}): give an empty or new folder"
        )
    if names and not replace_model:
        content = _name(folder) if MANIFEST in names else f"{', '.join(sorted(names))}, which a model would replace"
        raise UsageError(f"{folder} already holds {content}: --out names another folder, --replace overwrites it")


def write_folder(folder: Path, files: Mapping[str, bytes], *, replace_model: bool) -> None:
    """Replace the folder by one with these files. A reader sees the old folder, no folder, or the complete new one.

    Replaced files keep their mode and owner; new ones get the mode of the umask. Raise UsageError if writing fails, or
    if the folder cannot become a model folder (`check_target`).
    """
    check_target(folder, replace_model=replace_model)
    folder = folder.resolve()  # replace the target of a link, not the link
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft, before = temporary_path(folder), status(folder)
        create = partial(draft.mkdir, 0o700 if before else 0o777)
        with created(create, partial(shutil.rmtree, draft, ignore_errors=True)):
            _fill(draft, folder, files)
            if before:
                copy_owner_and_mode(draft, before)
            _swap(draft, folder)
            log.debug("wrote %s to %s", ", ".join(files), folder)
    except OSError as error:
        raise UsageError(f"Cannot write the model to {folder}: {error.strerror or error}") from error


@contextmanager
def requiring_libraries(purpose: str, error_class: type[TelcoStreamError], alternative: str) -> Iterator[None]:
    """Raise `error_class` if an import in the block fails because an optional library is not installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        name = (error.name or "").partition(".")[0]
        if name not in _OPTIONAL:
            raise
        missing = "isn't installed here (the image telco-stream:consume omits it)"
        raise error_class(f"{purpose} needs {name}, which {missing}: {alternative}") from error


def _name(folder: Path) -> str:
    """Return the version of the model in a folder, if its manifest can be read."""
    try:
        return f"model {read_manifest(folder).model_version}"
    except ModelError:
        return "a model"


def _read(folder: Path, name: str) -> bytes:
    path = folder / name
    try:
        if path.exists() and not path.is_file():  # a pipe could be waited for without end
            raise ModelError(f"No model at {folder}: {name} is not a regular file; {RETRAIN}")
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"No model at {folder}: {name}: {error.strerror or error}; {RETRAIN}") from error


def _checked(files: Mapping[str, bytes], name: str, sha256: str, origin: str) -> bytes:
    if name not in files:
        raise ModelError(f"No model at {origin}: it has no {name}; {RETRAIN}")
    if hashlib.sha256(files[name]).hexdigest() != sha256:
        raise ModelError(
            f"{origin}/{name} is not the file that the manifest describes: restore it, or train the model again"
        )
    return files[name]


def _decode_contract(content: bytes, origin: str) -> Contract:
    try:
        return decode_contract(content)
    except ContractError as error:
        raise ModelError(f"{origin}/{CONTRACT} is not a contract ({error}): {RETRAIN}") from error


def _contract_of_features(manifest: bytes, origin: str) -> Contract:
    """Return the built-in contract; raise ModelError unless a model without a contract has its features."""
    try:
        features = {feature.name: feature for feature in decode_features(manifest)}
    except (ValueError, RecursionError):
        raise ModelError(f"{origin}/{MANIFEST} has no entry for {CONTRACT}: {RETRAIN}") from None
    expected = {feature.name: feature for feature in features_of(builtin_contract())}
    names = [name for name in features | expected if features.get(name) != expected.get(name)]
    if not names and list(features) != list(expected):
        names = ["their order"]
    if names:
        raise ModelError(
            f"The model in {origin} has no {CONTRACT} and was trained on other features ({', '.join(names)}) than "
            f"those of the built-in contract: telco-stream train --contract FILE --out FOLDER --replace writes one"
        )
    return builtin_contract()


def _load_engine(files: Mapping[str, bytes], codec: Codec, manifest: Manifest, engine: Engine, origin: str) -> Scorer:
    serving = manifest.serving or Serving("onnx", ONNX)
    if engine == "sklearn" or serving.artifact == SKOPS:
        return _load_sklearn(files, codec, manifest)
    if serving.engine in {"xgboost", "lightgbm", "catboost"}:
        return _load_library(files[serving.artifact], codec, manifest, serving.engine)
    if ONNX not in files:
        reason = manifest.onnx.refused or f"the manifest has no entry for {ONNX}"
        raise ModelError(
            f"The model in {origin} has no compiled form ({reason}): --engine sklearn loads {PIPELINE}, which can"
            " run any code; use it only if you trust the author of the model"
        )
    # The linear algebra of numpy, which is not used, would start a thread for each core.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # Imported here, because only this engine needs onnxruntime.
    from telco_stream.model.onnx_engine import load_onnx  # noqa: PLC0415

    version, threshold = manifest.model_version, manifest.threshold
    return load_onnx(files[ONNX], codec, version=version, threshold=threshold, positive=serving.positive)


def _load_library(content: bytes, codec: Codec, manifest: Manifest, library: str) -> Scorer:
    package = "xgboost-cpu" if library == "xgboost" else library
    alternative = f"pip install {package}, or build the image with --build-arg EXTRAS={library}"
    with requiring_libraries("To load the model", ModelError, alternative):
        from telco_stream.model.library_engines import load_library  # noqa: PLC0415 - only these engines need it

        return load_library(library, content, codec, version=manifest.model_version, threshold=manifest.threshold)


def _load_sklearn(files: Mapping[str, bytes], codec: Codec, manifest: Manifest) -> Scorer:
    """Load the pickle, or the file of skops if the folder has no pickle."""
    # Imported here, because only this engine needs pandas and scikit-learn.
    with requiring_libraries("To load the uncompiled model", ModelError, _ALTERNATIVE):
        from telco_stream.model.sklearn_engine import SKLEARN_VERSION, load_sklearn, load_skops  # noqa: PLC0415

        fitted_with = manifest.libraries[_SKLEARN]
        if fitted_with.split(".")[:2] != SKLEARN_VERSION.split(".")[:2]:
            raise ModelError(
                f"The model was trained with {_SKLEARN} {fitted_with}, but {SKLEARN_VERSION} is installed: "
                f"pip install {_SKLEARN}=={fitted_with}"
            )
        name, load = (PIPELINE, load_sklearn) if PIPELINE in files else (SKOPS, load_skops)
        if name not in files:
            raise ModelError("The folder has no model of scikit-learn: use --engine auto")
        return load(files[name], codec, version=manifest.model_version, threshold=manifest.threshold)


def _fill(draft: Path, folder: Path, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        with create_file(draft / name, status(folder / name)) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())


def _swap(draft: Path, folder: Path) -> None:
    """Rename the old folder and move the draft to its path; restore the old one if that fails."""
    old = draft.with_name(f"{draft.name}.old")
    if folder.exists():
        folder.rename(old)
    try:
        draft.rename(folder)
    except OSError:
        if old.exists():
            old.rename(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)
