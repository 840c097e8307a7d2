"""Evaluation of a model on rows it was not fitted to: repeated stratified cross-validation."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import Pipeline

from telco_stream.model.manifest import Decile, LiftStep, Metrics

FOLDS = 5
REPEATS = 5

Floats: TypeAlias = NDArray[np.float64]
Labels: TypeAlias = NDArray[np.bool_]

_METHOD = (
    f"{REPEATS} x repeated stratified {FOLDS}-fold cross-validation; each row predicted by models that never saw it"
)
_THRESHOLDS = np.arange(1, 100) / 100


def cross_validate(
    build: Callable[[], Pipeline],
    features: pd.DataFrame,
    labels: Labels,
    seeds: Iterable[int],
    report: Callable[[], None],
) -> Floats:
    """Return the out-of-fold probabilities as [seeds, rows]; call `report` before each fold."""
    return np.array([_cross_validate_once(build, features, labels, seed, report) for seed in seeds])


def choose_threshold(probabilities: Floats, labels: Labels, costs: tuple[float, float] | None = None) -> float:
    """Return the threshold, in steps of 0.01, with the highest F1; the lowest if equal.

    With the cost of a contact and the value of a positive label that it prevents, return the most profitable one.
    """
    predictions = [probabilities >= threshold for threshold in _THRESHOLDS]
    if costs is None:
        scores = [_f1(*_precision_recall(predicted, labels)) for predicted in predictions]
    else:
        cost, value = costs
        scores = [float((predicted & labels).sum() * value - predicted.sum() * cost) for predicted in predictions]
    return float(_THRESHOLDS[int(np.argmax(scores))])


@dataclass(frozen=True, slots=True)
class ThresholdRule:
    """Rule that chooses the threshold: a fixed one, the most profitable one, or the one with the highest F1."""

    fixed: float | None = None
    contact_cost: float | None = None
    customer_value: float | None = None

    def choose(self, probabilities: Floats, labels: Labels) -> tuple[float, str]:
        """Return the threshold, and how it was chosen."""
        if self.fixed is not None:
            return self.fixed, "as given"
        if self.contact_cost is not None and self.customer_value is not None:
            costs = (self.contact_cost, self.customer_value)
            rule = f"the highest profit at a contact cost of {costs[0]:g} and a value of {costs[1]:g}, in steps of 0.01"
            return choose_threshold(probabilities, labels, costs), rule
        return choose_threshold(probabilities, labels), "the highest F1, in steps of 0.01"


#: The rule without options.
AUTOMATIC = ThresholdRule()


def measure(probabilities: Floats, labels: Labels, threshold: float) -> Metrics:
    """Return means over the repeats; calibration, lift, precision and recall are over all out-of-fold predictions."""
    roc_aucs = [roc_auc_score(labels, repeat) for repeat in probabilities]
    precision, recall = _precision_recall(probabilities >= threshold, labels)
    calibration = tuple(_deciles(probabilities, labels))
    return Metrics(
        method=_METHOD,
        roc_auc=float(np.mean(roc_aucs)),
        roc_auc_sd=float(np.std(roc_aucs)),
        brier=float(np.mean([brier_score_loss(labels, repeat) for repeat in probabilities])),
        log_loss=float(np.mean([log_loss(labels, repeat) for repeat in probabilities])),
        precision=precision,
        recall=recall,
        calibration=calibration,
        lift=lift_table(calibration),
    )


def lift_table(calibration: Sequence[Decile]) -> tuple[LiftStep, ...]:
    """Return the share of the positive labels in the highest one to ten tenths of the probabilities."""
    positives = [decile.predictions * decile.churn_rate for decile in reversed(calibration)]
    reached = np.cumsum(positives) / sum(positives)
    return tuple(LiftStep(tenth / len(positives), round(float(part), 4)) for tenth, part in enumerate(reached, 1))


def _cross_validate_once(
    build: Callable[[], Pipeline], features: pd.DataFrame, labels: Labels, seed: int, report: Callable[[], None]
) -> Floats:
    """Return the probability of each row by a model that was fitted to the other folds."""
    probabilities = np.empty(len(labels))
    for training, held_out in StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(features, labels):
        report()
        fitted = build().fit(features.iloc[training], labels[training])
        probabilities[held_out] = fitted.predict_proba(features.iloc[held_out])[:, 1]
    return probabilities


def _precision_recall(predicted: NDArray[np.bool_], labels: Labels) -> tuple[float, float]:
    hits = float((predicted & labels).sum())
    return hits / max(float(predicted.sum()), 1.0), hits / float(labels.sum() * len(predicted))


def _f1(precision: float, recall: float) -> float:
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _deciles(probabilities: Floats, labels: Labels) -> list[Decile]:
    order = np.argsort(probabilities, axis=None, kind="stable")
    predicted, observed = probabilities.ravel()[order], np.tile(labels, len(probabilities))[order]
    return [
        Decile(len(tenth), float(predicted[tenth].mean()), float(observed[tenth].mean()))
        for tenth in np.array_split(np.arange(len(order)), 10)
    ]
