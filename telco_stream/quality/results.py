"""Result of `model recalibrate`, and advice about records that are not outcomes."""

from dataclasses import dataclass
from pathlib import Path

from telco_stream.model.manifest import CalibrationTrial, Metrics
from telco_stream.model.quality import Coverage
from telco_stream.runtime.humanize import count_of


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


def coverage_advice(coverage: Coverage) -> str:
    """Return the end of an error message about too few outcomes: nothing, or what was skipped."""
    return f"; {skipped}" if (skipped := describe_unreadable(coverage)) else ""


def describe_unreadable(coverage: Coverage) -> str | None:
    """Return which command explains the skipped records of the outcomes topic, or None if there are none."""
    if not (count := coverage.unreadable_outcomes):
        return None
    return (
        f"{count_of(count, 'record')} skipped: not outcomes of this contract; telco-stream outcomes check writes a dead"
        " letter with the reason for each"
    )
