"""Result of `train`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from telco_stream.model.manifest import Candidate, EngineReport, Manifest, Metrics, Parity

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


@dataclass(frozen=True, slots=True)
class ImportResult:
    """Model folder that was written, the engines that were compared, and the metrics of the model.

    `kind` is the library of the file, and `notes` say what to know about the model.
    """

    version: str
    path: Path
    kind: str
    rows: int
    threshold: float
    engines: tuple[EngineReport, ...]
    metrics: Metrics
    notes: tuple[str, ...]
    replaced: ReplacedModel | None
    seconds: float

    @property
    def needs_pickle(self) -> bool:
        """Whether scikit-learn serves the model from a pickle, which is loaded only with `--engine sklearn`."""
        return self.kind == "scikit-learn" and any(each.serves and each.name == self.kind for each in self.engines)


def compare_models(old: Manifest, new: Manifest) -> ReplacedModel:
    """Put the metrics of a replaced model beside those of the new one."""
    metrics = {name: OldAndNew(getattr(old.metrics, name), getattr(new.metrics, name)) for name in _COMPARED}
    same_data = old.training_data.sha256 == new.training_data.sha256
    return ReplacedModel(old.model_version, same_data, {"threshold": OldAndNew(old.threshold, new.threshold)} | metrics)


@dataclass(frozen=True, slots=True)
class ComparedModel:
    """A model on the rows of the file; `flagged` is the number of positive predictions at its threshold.

    `roc_auc` is null if all labels are the same. Figures of rows that a model was trained on are too good.
    """

    version: str
    threshold: float
    roc_auc: float | None
    brier: float
    flagged: int
    trained_on_this_file: bool


@dataclass(frozen=True, slots=True)
class ChangedRow:
    """A row with its probabilities and predictions by both models, and its label."""

    key: str
    probability_a: float
    probability_b: float
    prediction_a: str
    prediction_b: str
    label: str


@dataclass(frozen=True, slots=True)
class ModelComparison:
    """Two models on the same rows. Changes are those from A to B; `largest` lists the rows that change most.

    `largest_change` is the largest absolute difference of the two probabilities of a row.
    """

    rows: int
    a: ComparedModel
    b: ComparedModel
    changed_decisions: int
    changed_to_positive: int
    changed_to_negative: int
    mean_change: float
    largest_change: float
    largest: list[ChangedRow]
