"""Training of a model on a labelled CSV file."""

import hashlib
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from io import BytesIO
from pathlib import Path

import joblib
import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, PolynomialFeatures

from telco_stream.contract.customer import BAD_DATA, CATEGORIES, NUMBERS, Customer, decode_customer, explain
from telco_stream.contract.raw_row import Row, encode_row
from telco_stream.csv.reader import STRIDE, fingerprint, open_reader
from telco_stream.errors import DataError
from telco_stream.model.artifact import MANIFEST, PIPELINE, check_target, write_folder
from telco_stream.model.compilation import compile_if_equal
from telco_stream.model.evaluation import FOLDS, ReportStage, choose_threshold, cross_validate, measure
from telco_stream.model.manifest import SCHEMA, Manifest, Metrics, Parity, TrainingData, encode_manifest
from telco_stream.model.sklearn_engine import check_pipeline, frame

#: Libraries that the coefficients may depend on; the manifest holds their versions.
_LIBRARIES = ("joblib", "numpy", "onnx", "onnxruntime", "pandas", "scikit-learn", "scipy", "skl2onnx")
_THRESHOLD_RULE = "the highest F1 on the out-of-fold predictions of the cross-validation, in steps of 0.01"
#: Number that is only 0 or 1, so it has only one coefficient.
_FLAG = "SeniorCitizen"
_DEGREE = 3
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
class LabelledCustomers:
    """Customers, whether each of them has churned, and the sha256 of the file."""

    customers: list[Customer]
    churned: list[bool]
    sha256: str


@dataclass(frozen=True, slots=True)
class _Fitted:
    pipeline: Pipeline
    threshold: float
    metrics: Metrics


def build_pipeline() -> Pipeline:
    """Build the unfitted pipeline, from a data frame of the features to the probabilities of No and Yes.

    It was chosen by measurement among pipelines that skl2onnx can convert (`models/README.md`). Numbers are clipped to
    the range of the training data, because a cubic grows without bound outside it. They are scaled to -1..1 rather than
    0..1, so that the terms are nearly uncorrelated, the coefficients small, and single precision suffices.
    """
    curves = make_pipeline(
        # Only customers who have not been billed yet have no TotalCharges: they have paid nothing.
        SimpleImputer(strategy="constant", fill_value=0.0),
        MinMaxScaler((-1, 1), clip=True),
        PolynomialFeatures(_DEGREE, include_bias=False),
    )
    categories = [list(values) for values in CATEGORIES.values()]
    columns = ColumnTransformer(
        [
            ("curves", curves, [name for name in NUMBERS if name != _FLAG]),
            ("flag", "passthrough", [_FLAG]),
            ("categories", OneHotEncoder(categories=categories, sparse_output=False), list(CATEGORIES)),
        ]
    )
    # This solver needs the fewest iterations for few columns, and is deterministic.
    return Pipeline([("columns", columns), ("classifier", LogisticRegression(solver="newton-cholesky"))])


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
    return TrainingResult(
        version=manifest.model_version,
        path=out,
        rows=trained_on.rows,
        threshold=fitted.threshold,
        metrics=fitted.metrics,
        onnx=parity,
        seconds=time.perf_counter() - started,
    )


def read_labelled_customers(path: Path) -> LabelledCustomers:
    """Read all rows of the file; raises DataError with the line of a malformed or unlabelled row."""
    data = LabelledCustomers([], [], fingerprint(path))
    with open_reader(path) as reader:
        while (chunk := reader.take(STRIDE)).rows:
            data.customers.extend(map(partial(_decode, path), chunk.lines, chunk.rows))
            data.churned.extend(row.Churn == "Yes" for row in chunk.rows)
    return data


def _decode(path: Path, line: int, row: Row) -> Customer:
    if row.Churn not in {"Yes", "No"}:
        raise DataError(f"{path}, line {line}: Churn is neither Yes nor No; training needs a label in every row")
    value = encode_row(row, _EVENT_TS)
    try:
        return decode_customer(value)
    except BAD_DATA as error:
        raise DataError(f"{path}, line {line}: {explain(value, error)[2]}") from None


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
