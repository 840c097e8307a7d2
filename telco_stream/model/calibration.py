"""Calibration of a model's probabilities: maps that were fitted to outcomes, applied to the scores of any engine.

Each probability is mapped alone, so that it doesn't depend on the batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, TypeAlias

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from telco_stream.contract.events import Event
from telco_stream.errors import ModelError
from telco_stream.messages.codec import Codec
from telco_stream.model.manifest import RETRAIN, Share
from telco_stream.model.reasons.explainer import Explainer
from telco_stream.model.scorer import Scorer

Floats: TypeAlias = NDArray[np.float64]

#: Distance of a probability from 0 and 1 from which on its logit no longer grows.
_SMALLEST = 1e-9
#: Largest number of calibrations of calibrated models, and of points of one of them.
_MAX_STEPS, _MAX_POINTS = 16, 100_000


class Platt(msgspec.Struct, frozen=True, tag_field="method", tag="platt"):
    """Logistic calibration: the logit times `slope` plus `intercept`. It keeps the order of the probabilities."""

    slope: Annotated[float, Meta(gt=0, le=1e6)]
    intercept: Annotated[float, Meta(ge=-1e6, le=1e6)]

    def apply(self, probabilities: Floats) -> Floats:
        """Return the calibrated probabilities, each above 0 and below 1."""
        logits = self.slope * logit(probabilities) + self.intercept
        smaller = np.exp(-np.abs(logits))
        calibrated: Floats = np.where(logits > 0, 1.0, smaller) / (1.0 + smaller)
        return calibrated


class Isotonic(msgspec.Struct, frozen=True, tag_field="method", tag="isotonic"):
    """Isotonic calibration: linear between points (probability, calibrated), constant outside of them.

    It keeps the order of the probabilities between the first and the last point.
    """

    points: Annotated[tuple[tuple[Share, Share], ...], Meta(min_length=1, max_length=_MAX_POINTS)]

    def __post_init__(self) -> None:
        for (before, low), (after, high) in pairwise(self.points):
            if not (before < after and low < high):
                raise ValueError("the points are not in ascending order")

    def apply(self, probabilities: Floats) -> Floats:
        """Return the calibrated probabilities."""
        given, calibrated = np.array(self.points).T
        return np.asarray(np.interp(probabilities, given, calibrated), dtype=np.float64)


class Calibration(msgspec.Struct, frozen=True):
    """Content of `calibration.json`: the maps in the order in which they are applied."""

    steps: Annotated[tuple[Platt | Isotonic, ...], Meta(min_length=1, max_length=_MAX_STEPS)]

    def apply(self, probabilities: Floats) -> Floats:
        """Return the calibrated probabilities; what is not a probability remains what it is."""
        calibrated = probabilities
        for step in self.steps:
            calibrated = step.apply(calibrated)
        return np.where((probabilities >= 0) & (probabilities <= 1), calibrated, probabilities)

    def explain(self, explainer: Explainer) -> Explainer | None:
        """Return the reasons of the calibrated probabilities; None if their logit is not linear in the other one."""
        for step in self.steps:
            if isinstance(step, Isotonic):
                return None
            explainer = explainer.scaled(step.slope, step.intercept)
        return explainer


@dataclass(frozen=True, slots=True)
class CalibratedScorer:
    """Scorer that calibrates the probabilities of another one."""

    scorer: Scorer
    calibration: Calibration
    explainer: Explainer | None = None

    @property
    def version(self) -> str:
        """Version of the model, from its manifest."""
        return self.scorer.version

    @property
    def threshold(self) -> float:
        """Lowest calibrated probability for which the prediction is the positive value of the label."""
        return self.scorer.threshold

    @property
    def codec(self) -> Codec:
        """Codec of the contract that the model was trained with."""
        return self.scorer.codec

    @property
    def engine(self) -> str:
        """Name of the other scorer's engine."""
        return self.scorer.engine

    def score(self, events: Sequence[Event]) -> list[float]:
        """Return the calibrated probability of each event; raise ScoringError if the model fails."""
        scores: list[float] = self.calibration.apply(np.array(self.scorer.score(events), dtype=np.float64)).tolist()
        return scores


_decode = msgspec.json.Decoder(Calibration).decode


def decode_calibration(content: bytes, origin: str) -> Calibration:
    """Decode the file of a model that errors call `origin`; raise ModelError if it is not a calibration."""
    try:
        return _decode(content)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{origin} has a calibration that can't be used ({error}): {RETRAIN}") from error


def encode_calibration(calibration: Calibration) -> bytes:
    """Encode as JSON with a final newline."""
    return msgspec.json.encode(calibration) + b"\n"


def logit(probabilities: Floats) -> Floats:
    """Return the logits of probabilities; those next to 0 and 1 are finite, too."""
    kept = np.clip(probabilities, _SMALLEST, 1.0 - _SMALLEST)
    return np.log(kept) - np.log1p(-kept)
