"""Result of `train`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from telco_stream.model.manifest import Candidate, Manifest, Metrics, Parity

#: Metrics of a replaced model that are shown beside the new ones.
_COMPARED = ("roc_auc", "brier", "log_loss", "precision", "recall")


@dataclass(frozen=True, slots=True)
class OldAndNew:
    """Metric of the replaced model and of the new one."""

    old: float
    new: float


@dataclass(frozen=True, slots=True)
class ReplacedModel:
    """Model that was in the folder before, and its metrics. `same_data` is whether it learned from the same file."""

    version: str
    same_data: bool
    metrics: Mapping[str, OldAndNew]


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """Model folder that was written, the model's metrics, the models that were tried, and the replaced model."""

    version: str
    path: Path
    rows: int
    threshold: float
    candidates: tuple[Candidate, ...]
    metrics: Metrics
    onnx: Parity
    replaced: ReplacedModel | None
    seconds: float


def compare_models(old: Manifest, new: Manifest) -> ReplacedModel:
    """Put the metrics of a replaced model beside those of the new one."""
    metrics = {name: OldAndNew(getattr(old.metrics, name), getattr(new.metrics, name)) for name in _COMPARED}
    same_data = old.training_data.sha256 == new.training_data.sha256
    return ReplacedModel(old.model_version, same_data, {"threshold": OldAndNew(old.threshold, new.threshold)} | metrics)
