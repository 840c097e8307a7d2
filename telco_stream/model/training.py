"""Training of a model on a labelled CSV file."""

import hashlib
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from typing import TypeAlias

import joblib
import numpy as np
from sklearn.pipeline import Pipeline

from telco_stream.contract.document import builtin_contract, encode_contract
from telco_stream.contract.events import BAD_DATA, Event
from telco_stream.contract.rows import Row, RowCodec
from telco_stream.contract.schema import Contract
from telco_stream.csv.header import log_ignored_columns
from telco_stream.csv.reader import STRIDE, fingerprint, open_reader
from telco_stream.csv.validation import CsvFormat
from telco_stream.errors import DataError
from telco_stream.messages.codec import Codec, compile_contract
from telco_stream.model.artifact import CONTRACT, MANIFEST, PIPELINE, check_target, write_folder
from telco_stream.model.compilation import compile_if_equal
from telco_stream.model.evaluation import FOLDS, ReportStage, choose_threshold, cross_validate, measure
from telco_stream.model.manifest import Manifest, Metrics, Parity, TrainingData, encode_manifest
from telco_stream.model.pipelines import linear
from telco_stream.model.sklearn_engine import check_pipeline, frame

#: Libraries that the coefficients may depend on; the manifest holds their versions.
_LIBRARIES = ("joblib", "numpy", "onnx", "onnxruntime", "pandas", "scikit-learn", "scipy", "skl2onnx")
_THRESHOLD_RULE = "the highest F1 on the out-of-fold predictions of the cross-validation, in steps of 0.01"
#: Returns an unfitted pipeline for a contract.
Build: TypeAlias = Callable[[Codec], Pipeline]
#: The model does not use the time of the event, but the decoder requires one.
_EVENT_TS = "1970-01-01T00:00:00Z"


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


@dataclass(frozen=True, slots=True)
class LabelledEvents:
    """Events, whether each of them has the positive label, and the sha256 of the file."""

    events: list[Event]
    positive: list[bool]
    sha256: str


@dataclass(frozen=True, slots=True)
class _Fitted:
    pipeline: Pipeline
    threshold: float
    metrics: Metrics


def train(  # noqa: PLR0913 - options of the command, and the pipeline
    source: Path,
    out: Path,
    csv_format: CsvFormat | None = None,
    *,
    created_at: str,
    seed: int = 0,
    progress: ReportStage = lambda *_: None,
    build: Build = linear,
) -> TrainingResult:
    """Fit a pipeline to a labelled CSV file and replace the folder `out` with the model; `created_at` is RFC 3339.

    The file has the columns of `csv_format`'s contract, or of the built-in one. `build` returns a pipeline that is not
    fitted, as `linear` does (`docs/own-model.md`). Raise DataError if the file has bad rows or too few of a label, and
    UsageError if `out` cannot be written.
    """
    started = time.perf_counter()
    check_target(out)
    progress("reading", 0, 1)
    csv_format = replace(csv_format or CsvFormat(builtin_contract()), requires_label=True, ignores_time=True)
    codec = compile_contract(csv_format.contract)
    data = read_labelled_events(source, csv_format, codec)
    _check_class_sizes(source, data, codec.contract)
    fitted = _fit_and_measure(data, codec, seed, progress, build)
    progress("compiling", 0, 1)
    files, parity = compile_if_equal(fitted.pipeline, codec, fitted.threshold, data.events, seed=seed)
    files |= {PIPELINE: _pickle(fitted.pipeline), CONTRACT: encode_contract(codec.contract)}
    trained_on = TrainingData(data.sha256, len(data.positive), sum(data.positive), seed)
    manifest = _manifest(created_at, trained_on, fitted, files, parity)
    write_folder(out, files | {MANIFEST: encode_manifest(manifest)})
    return TrainingResult(
        version=manifest.model_version,
        path=out,
        rows=trained_on.rows,
        threshold=fitted.threshold,
        metrics=fitted.metrics,
        onnx=parity,
        seconds=time.perf_counter() - started,
    )


def read_labelled_events(path: Path, csv_format: CsvFormat, codec: Codec) -> LabelledEvents:
    """Read all rows of the file; raises DataError with the line of a malformed or unlabelled row."""
    data = LabelledEvents([], [], fingerprint(path))
    with open_reader(path, csv_format) as reader:
        log_ignored_columns(reader.layout, csv_format)
        while (chunk := reader.take(STRIDE)).rows:
            decode = partial(_decode, path, reader.layout.codec, codec)
            data.events.extend(map(decode, chunk.lines, chunk.rows))
            data.positive.extend(row.label == codec.contract.label.positive for row in chunk.rows)
    return data


def _decode(path: Path, rows: RowCodec, codec: Codec, line: int, row: Row) -> Event:
    label, value = codec.contract.label, rows.encode(row, _EVENT_TS)
    if row.label not in {label.positive, label.negative}:
        raise DataError(
            f"{path}, line {line}: {label.name} is neither {label.positive} nor {label.negative}; training needs a "
            "label in every row"
        )
    try:
        return codec.events.decode(value)
    except BAD_DATA as error:
        raise DataError(f"{path}, line {line}: {codec.events.explain(value, error)[2]}") from None


def _check_class_sizes(source: Path, data: LabelledEvents, contract: Contract) -> None:
    """Raise DataError if one of the labels is too rare to be in each fold."""
    rows, positive = len(data.positive), sum(data.positive)
    if min(positive, rows - positive) < FOLDS:
        raise DataError(
            f"{source} has {positive} rows with {contract.label.name} {contract.label.positive} among {rows}: at least "
            f"{FOLDS} of each label are needed"
        )


def _fit_and_measure(data: LabelledEvents, codec: Codec, seed: int, progress: ReportStage, build: Build) -> _Fitted:
    features, positive = frame(codec.events, data.events), np.array(data.positive)
    probabilities = cross_validate(partial(build, codec), features, positive, seed=seed, progress=progress)
    threshold = choose_threshold(probabilities, positive)
    progress("fitting", 0, 1)
    pipeline = build(codec).fit(features, positive)
    check_pipeline(pipeline, codec)
    return _Fitted(pipeline, threshold, measure(probabilities, positive, threshold))


def _manifest(
    created_at: str, trained_on: TrainingData, fitted: _Fitted, files: Mapping[str, bytes], parity: Parity
) -> Manifest:
    return Manifest(
        model_version=_model_version(created_at, files, fitted.threshold),
        created_at=created_at,
        threshold=fitted.threshold,
        threshold_rule=_THRESHOLD_RULE,
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


def _model_version(created_at: str, files: Mapping[str, bytes], threshold: float) -> str:
    """Return the date and a hash of model and contract, so that the same training gives the same version."""
    content = files[PIPELINE] + str(threshold).encode() + files[CONTRACT]
    return f"{created_at[:10]}-{hashlib.sha256(content).hexdigest()[:8]}"
