"""Training of a model on a labelled CSV file."""

import hashlib
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from textwrap import shorten

import joblib
import numpy as np
from sklearn.pipeline import Pipeline

from telco_stream.contract.customer import Customer
from telco_stream.errors import DataError, ModelError
from telco_stream.model.artifact import MANIFEST, ONNX, PIPELINE
from telco_stream.model.conversion import convert
from telco_stream.model.evaluation import FOLDS, ReportStage, choose_threshold, cross_validate, measure
from telco_stream.model.folder import check_target, write_folder
from telco_stream.model.manifest import SCHEMA, Manifest, Metrics, Parity, TrainingData, encode_manifest
from telco_stream.model.onnx_engine import load_onnx
from telco_stream.model.parity import compare, edge_customers
from telco_stream.model.pipeline import build_pipeline
from telco_stream.model.scorer import ScoringError
from telco_stream.model.sklearn_engine import SklearnScorer, check_pipeline, frame
from telco_stream.model.training_data import LabelledCustomers, read_labelled_customers

#: Libraries that the coefficients may depend on; the manifest holds their versions.
_LIBRARIES = ("joblib", "numpy", "onnx", "onnxruntime", "pandas", "scikit-learn", "scipy", "skl2onnx")
_THRESHOLD_RULE = "the highest F1 on the out-of-fold predictions of the cross-validation, in steps of 0.01"


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """Model folder that was written, and the model's metrics."""

    version: str
    path: Path
    rows: int
    threshold: float
    metrics: Metrics
    onnx: Parity
    seconds: float


def train(  # noqa: PLR0913 - options of the command, and the pipeline
    source: Path,
    out: Path,
    *,
    created_at: str,
    seed: int = 0,
    progress: ReportStage = lambda *_: None,
    build: Callable[[], Pipeline] = build_pipeline,
) -> TrainingResult:
    """Fit a pipeline to a labelled CSV file and replace the folder `out` with the model; `created_at` is RFC 3339.

    `build` returns a pipeline that is not fitted, as `build_pipeline` does (`docs/own-model.md`). Raise DataError if
    the file has bad rows or too few customers, and UsageError if `out` cannot be written.
    """
    started = time.perf_counter()
    check_target(out)
    progress("reading", 0, 1)
    data = read_labelled_customers(source)
    _check_class_sizes(source, data)
    fitted = _fit_and_measure(data, seed, progress, build)
    progress("compiling", 0, 1)
    files, parity = compile_if_equal(fitted.pipeline, fitted.threshold, data.customers, seed=seed)
    files[PIPELINE] = _pickle(fitted.pipeline)
    trained_on = TrainingData(data.sha256, len(data.churned), sum(data.churned), seed)
    manifest = _manifest(created_at, trained_on, fitted, files, parity)
    write_folder(out, files | {MANIFEST: encode_manifest(manifest)})
    return _result(manifest, out, time.perf_counter() - started)


def compile_if_equal(
    pipeline: Pipeline,
    threshold: float,
    customers: Sequence[Customer],
    *,
    seed: int,
    convert: Callable[[Pipeline], bytes] = convert,
) -> tuple[dict[str, bytes], Parity]:
    """Convert the pipeline to ONNX and compare both on these customers and on edge cases.

    Return the ONNX file, or no file if it cannot be built or differs, and the comparison.
    """
    try:
        content = convert(pipeline)
        compiled = load_onnx(content, version="", threshold=threshold)
    except (RuntimeError, ValueError, ModelError) as error:  # of the converter, and of onnxruntime
        return {}, Parity(refused=f"it can't be compiled: {_first_line(error)}")
    test_customers = [*customers, *edge_customers(customers, seed=seed)]
    try:
        parity = compare(SklearnScorer("", threshold, pipeline), compiled, test_customers)
    except ScoringError as error:
        return {}, Parity(refused=f"it fails on some customers: {error}")
    return ({} if parity.refused else {ONNX: content}), parity


def _first_line(error: Exception) -> str:
    """Return the first line of the message, shortened; the converter may append a whole tree."""
    return shorten(str(error).partition("\n")[0], 200)


@dataclass(frozen=True, slots=True)
class _Fitted:
    pipeline: Pipeline
    threshold: float
    metrics: Metrics


def _check_class_sizes(source: Path, data: LabelledCustomers) -> None:
    """Raise DataError if churners or other customers are too few to have one in each fold."""
    churners = sum(data.churned)
    if min(churners, len(data.churned) - churners) < FOLDS:
        raise DataError(
            f"{source} has {churners} churners in {len(data.churned)} customers: at least {FOLDS} of each class needed"
        )


def _fit_and_measure(
    data: LabelledCustomers, seed: int, progress: ReportStage, build: Callable[[], Pipeline]
) -> _Fitted:
    features, churned = frame(data.customers), np.array(data.churned)
    probabilities = cross_validate(build, features, churned, seed=seed, progress=progress)
    threshold = choose_threshold(probabilities, churned)
    progress("fitting", 0, 1)
    pipeline = build().fit(features, churned)
    check_pipeline(pipeline)
    return _Fitted(pipeline, threshold, measure(probabilities, churned, threshold))


def _manifest(
    created_at: str, trained_on: TrainingData, fitted: _Fitted, files: Mapping[str, bytes], parity: Parity
) -> Manifest:
    return Manifest(
        model_version=_model_version(created_at, files[PIPELINE], fitted.threshold),
        created_at=created_at,
        classes=("No", "Yes"),
        threshold=fitted.threshold,
        threshold_rule=_THRESHOLD_RULE,
        features=SCHEMA,
        metrics=fitted.metrics,
        training_data=trained_on,
        artifacts={name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
        onnx=parity,
        libraries={"python": platform.python_version()} | {name: version(name) for name in _LIBRARIES},
    )


def _pickle(pipeline: Pipeline) -> bytes:
    buffer = BytesIO()
    joblib.dump(pipeline, buffer)
    return buffer.getvalue()


def _model_version(created_at: str, pickled: bytes, threshold: float) -> str:
    """Return the date and a hash of the model, so that the same training gives the same version."""
    return f"{created_at[:10]}-{hashlib.sha256(pickled + str(threshold).encode()).hexdigest()[:8]}"


def _result(manifest: Manifest, path: Path, seconds: float) -> TrainingResult:
    return TrainingResult(
        version=manifest.model_version,
        path=path,
        rows=manifest.training_data.rows,
        threshold=manifest.threshold,
        metrics=manifest.metrics,
        onnx=manifest.onnx,
        seconds=seconds,
    )
