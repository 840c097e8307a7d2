"""Manifest of a model folder: version, features, metrics and checksums, read before any file is loaded."""

from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, inspect, structs

from telco_stream.contract.customer import CATEGORIES, FEATURES, Customer

#: Advice at the end of errors about a model that cannot be used.
RETRAIN = "create a model with telco-stream train"

Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
FileName = Annotated[str, Meta(pattern=r"^\w[\w.-]*\Z")]
Share = Annotated[float, Meta(ge=0, le=1)]


@dataclass(frozen=True, slots=True)
class Feature:
    """Input column of the model with its allowed values."""

    name: str
    kind: Literal["number", "category"]
    categories: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None


@dataclass(frozen=True, slots=True)
class Decile:
    """Tenth of the predictions, ordered by probability: the mean prediction and the observed churn rate."""

    predictions: int
    mean_probability: Share
    churn_rate: Share


@dataclass(frozen=True, slots=True)
class LiftStep:
    """Share of the leavers that is reached by contacting this share of the customers, those at the highest risk."""

    share: Share
    reached: Share


@dataclass(frozen=True, slots=True)
class Metrics:
    """Quality of the model on customers it was not fitted to; `precision` and `recall` apply to the threshold.

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
class Manifest:
    """Content of `manifest.json`."""

    model_version: str
    created_at: str
    classes: tuple[Literal["No"], Literal["Yes"]]
    threshold: Share
    threshold_rule: str
    features: tuple[Feature, ...]
    metrics: Metrics
    training_data: TrainingData
    artifacts: dict[FileName, Sha256]
    onnx: Parity
    libraries: dict[str, str]


decode_manifest = msgspec.json.Decoder(Manifest).decode


def encode_manifest(manifest: Manifest) -> bytes:
    """Encode as indented JSON with a final newline."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"


def _feature(field: structs.FieldInfo) -> Feature:
    if field.name in CATEGORIES:
        return Feature(field.name, "category", CATEGORIES[field.name])
    kind = inspect.type_info(field.type)
    number = kind.types[0] if isinstance(kind, inspect.UnionType) else kind
    if not isinstance(number, inspect.IntType | inspect.FloatType) or number.ge is None or number.le is None:
        raise TypeError(f"The contract gives no range for {field.name}")
    return Feature(field.name, "number", minimum=float(number.ge), maximum=float(number.le))


#: Features of the current contract; models with other features are refused.
SCHEMA = tuple(_feature(field) for field in structs.fields(Customer) if field.name in FEATURES)
