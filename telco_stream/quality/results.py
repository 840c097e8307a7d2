"""Result of `model recalibrate`."""

from dataclasses import dataclass
from pathlib import Path

from telco_stream.model.manifest import CalibrationTrial, Metrics


@dataclass(frozen=True, slots=True)
class RecalibrationResult:
    """Model folder that was written, the model that it calibrates, and the ways to calibrate that were tried.

    The figures are cross-validated: each outcome was predicted by a calibration that was not fitted to it.
    """

    version: str
    path: Path
    of_version: str
    method: str
    outcomes: int
    positive: int
    threshold: float
    trials: tuple[CalibrationTrial, ...]
    metrics: Metrics
    notes: tuple[str, ...]
    seconds: float
