"""Manifest of a model folder: version, metrics and checksums, read before any other file is loaded."""

from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from telco_stream.contract.schema import Category, Column, Contract, Integer, Number

#: Advice at the end of errors about a model that cannot be used.
RETRAIN = "create a model with telco-stream train"

Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
FileName = Annotated[str, Meta(pattern=r"^\w[\w.-]*\Z")]
Share = Annotated[float, Meta(ge=0, le=1)]


@dataclass(frozen=True, slots=True)
class Feature:
    """Input column of a model whose folder lacks a contract, with its allowed values."""

    name: str
    kind: Literal["number", "category"]
    categories: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None


@dataclass(frozen=True, slots=True)
class Decile:
    """Tenth of the predictions, ordered by probability: the mean prediction and the observed rate."""

    predictions: int
    mean_probability: Share
    churn_rate: Share


@dataclass(frozen=True, slots=True)
class LiftStep:
    """Share of the positive labels that is reached by contacting this share of the highest probabilities."""

    share: Share
    reached: Share


@dataclass(frozen=True, slots=True)
class Metrics:
    """Quality of the model on rows it was not fitted to; `precision` and `recall` apply to the threshold.

    `calibration` and `lift` are by tenth of the predictions; models of earlier versions have no `lift`.
    """

    method: str
    roc_auc: Share
    roc_auc_sd: float
    brier: Share
    log_loss: float
    precision: Share
    recall: Share
    calibration: tuple[Decile, ...]
    lift: tuple[LiftStep, ...] = ()


@dataclass(frozen=True, slots=True)
class TrainingData:
    """Data that the model was fitted to."""

    sha256: Sha256
    rows: int
    churners: int
    seed: int


@dataclass(frozen=True, slots=True)
class Parity:
    """Comparison of the compiled with the original pipeline; `refused` is the reason if it was not written."""

    rows: int = 0
    max_difference: float | None = None
    decisions_differing: int | None = None
    refused: str | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """Model that training tried. The kept one has the lowest log loss of those whose compiled form is equal.

    `log_loss` and `roc_auc` are those of the first repeat of the cross-validation, and `max_difference` and `refused`
    are about its compiled form. What was not measured is null.
    """

    name: str
    settings: str
    kept: bool
    log_loss: float | None = None
    roc_auc: Share | None = None
    max_difference: float | None = None
    refused: str | None = None


@dataclass(frozen=True, slots=True)
class EngineReport:
    """Engine that could run an imported model: its difference from the original, and microseconds per row.

    The times are for batches of 1, 50 and 5,000 rows. `rejected` is the reason if it cannot serve. What was not
    measured is null.
    """

    name: str
    max_difference: float | None = None
    decisions_differing: int | None = None
    us_1: float | None = None
    us_50: float | None = None
    us_5000: float | None = None
    serves: bool = False
    rejected: str | None = None


@dataclass(frozen=True, slots=True)
class CalibrationTrial:
    """Quality of a way to calibrate on outcomes that it was not fitted to; `none` is the model as it was."""

    method: Literal["none", "platt", "isotonic"]
    log_loss: float
    brier: Share
    kept: bool = False


@dataclass(frozen=True, slots=True)
class CalibrationReport:
    """Calibration of `model recalibrate`: the version it was applied to, the outcomes, and what was tried."""

    of_version: str
    outcomes: int
    positive: int
    trials: tuple[CalibrationTrial, ...]


@dataclass(frozen=True, slots=True)
class Serving:
    """Engine that serves an imported model, the file that it loads, and the position of the positive label in it."""

    engine: Literal["onnx", "sklearn", "xgboost", "lightgbm", "catboost"]
    artifact: FileName
    positive: Literal[0, 1] = 1


@dataclass(frozen=True, slots=True)
class Manifest:
    """Content of `manifest.json`."""

    model_version: str
    created_at: str
    threshold: Share
    threshold_rule: str
    metrics: Metrics
    training_data: TrainingData
    artifacts: dict[FileName, Sha256]
    onnx: Parity
    libraries: dict[str, str]
    candidates: tuple[Candidate, ...] = ()
    engines: tuple[EngineReport, ...] = ()
    serving: Serving | None = None
    calibration: CalibrationReport | None = None
    #: Why the model has no exact reasons; None if it has them, or was made before there were any.
    no_reasons: str | None = None


decode_manifest = msgspec.json.Decoder(Manifest).decode


def encode_manifest(manifest: Manifest) -> bytes:
    """Encode as indented JSON with a final newline."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"


def decode_features(content: bytes) -> tuple[Feature, ...]:
    """Return the features that the manifest of an earlier version lists; raise a ValueError if it lists none."""
    return _decode_features(content).features


def features_of(contract: Contract) -> tuple[Feature, ...]:
    """Return the features of a contract as manifests of earlier versions list them."""
    return tuple(map(_feature, contract.features))


class _FeatureList(msgspec.Struct):
    features: tuple[Feature, ...]


_decode_features = msgspec.json.Decoder(_FeatureList).decode


def _feature(column: Column) -> Feature:
    if isinstance(column, Category):
        return Feature(column.name, "category", column.values)
    if isinstance(column, Number | Integer):
        return Feature(column.name, "number", minimum=float(column.minimum), maximum=float(column.maximum))
    return Feature(column.name, "number")
