"""A labelled CSV becomes a model folder."""

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
from telco_stream.model.evaluation import FOLDS, ReportStage, best_threshold, cross_validate, measure
from telco_stream.model.folder import check_target, write_folder
from telco_stream.model.manifest import SCHEMA, Manifest, Metrics, Parity, TrainingData, encode_manifest
from telco_stream.model.onnx_engine import load_onnx
from telco_stream.model.parity import compare, edge_customers
from telco_stream.model.pipeline import build_pipeline
from telco_stream.model.scorer import ScoringError
from telco_stream.model.sklearn_engine import SklearnScorer, check_pipeline, frame
from telco_stream.model.training_data import LabelledCustomers, read_labelled_customers

#: What the model's numbers may depend on.
_LIBRARIES = ("joblib", "numpy", "onnx", "onnxruntime", "pandas", "scikit-learn", "scipy", "skl2onnx")
_THRESHOLD_RULE = "the highest F1 on the out-of-fold predictions of the cross-validation, in steps of 0.01"


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """A model that has been written."""

    version: str
    path: Path
    rows: int
    threshold: float
    metrics: Metrics
    onnx: Parity
    seconds: float


def train(  # noqa: PLR0913 - what a caller may choose
    source: Path,
    out: Path,
    *,
    now: str,
    seed: int = 0,
    progress: ReportStage = lambda *_: None,
    build: Callable[[], Pipeline] = build_pipeline,
) -> TrainingResult:
    """Fits a pipeline to a labelled CSV and replaces the folder `out` by it; `now` is RFC 3339.

    `build` gives the pipeline, not fitted, as `build_pipeline` does (`docs/own-model.md`). Raises DataError where there
    is nothing to learn from, UsageError where `out` can't be written.
    """
    started = time.perf_counter()
    check_target(out)
    progress("reading", 0, 1)
    data = _enough(source, read_labelled_customers(source))
    fitted = _fit(data, seed, progress, build)
    progress("compiling", 0, 1)
    files, parity = compile_if_equal(fitted.pipeline, fitted.threshold, data.customers, seed=seed)
    files[PIPELINE] = _pickled(fitted.pipeline)
    trained_on = TrainingData(data.sha256, len(data.churned), sum(data.churned), seed)
    manifest = _manifest(now, trained_on, fitted, files, parity)
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
    """The ONNX file, if it scores these customers and those at the edges as the pipeline does, and the comparison."""
    try:
        content = convert(pipeline)
        compiled = load_onnx(content, version="", threshold=threshold)
    except (RuntimeError, ValueError, ModelError) as error:  # the converter's errors, and onnxruntime's refusal
        return {}, Parity(refused=f"it can't be compiled: {_first_words(error)}")
    judges = [*customers, *edge_customers(customers, seed=seed)]
    try:
        parity = compare(SklearnScorer("", threshold, pipeline), compiled, judges)
    except ScoringError as error:
        return {}, Parity(refused=f"it fails on some customers: {error}")
    return ({} if parity.refused else {ONNX: content}), parity


def _first_words(error: Exception) -> str:
    """The beginning of what it says: the converter adds the whole of a tree to its words."""
    return shorten(str(error).partition("\n")[0], 200)


@dataclass(frozen=True, slots=True)
class _Fitted:
    pipeline: Pipeline
    threshold: float
    metrics: Metrics


def _enough(source: Path, data: LabelledCustomers) -> LabelledCustomers:
    churners = sum(data.churned)
    if min(churners, len(data.churned) - churners) < FOLDS:
        raise DataError(
            f"{source} holds {churners} churners in {len(data.churned)} customers: {FOLDS} of either needed"
        )
    return data


def _fit(data: LabelledCustomers, seed: int, progress: ReportStage, build: Callable[[], Pipeline]) -> _Fitted:
    features, churned = frame(data.customers), np.array(data.churned)
    probabilities = cross_validate(build, features, churned, seed=seed, progress=progress)
    threshold = best_threshold(probabilities, churned)
    progress("fitting", 0, 1)
    pipeline = build().fit(features, churned)
    check_pipeline(pipeline)
    return _Fitted(pipeline, threshold, measure(probabilities, churned, threshold))


def _manifest(
    now: str, trained_on: TrainingData, fitted: _Fitted, files: Mapping[str, bytes], parity: Parity
) -> Manifest:
    return Manifest(
        model_version=_model_version(now, files[PIPELINE], fitted.threshold),
        created_at=now,
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


def _pickled(pipeline: Pipeline) -> bytes:
    buffer = BytesIO()
    joblib.dump(pipeline, buffer)
    return buffer.getvalue()


def _model_version(now: str, pickled: bytes, threshold: float) -> str:
    """The day, and what tells this model from others of that day: the same training gives the same name."""
    return f"{now[:10]}-{hashlib.sha256(pickled + str(threshold).encode()).hexdigest()[:8]}"


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
