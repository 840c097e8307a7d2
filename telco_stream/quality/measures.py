"""Quality of predictions whose outcome is known, each figure with its 95 % interval."""

import math

import numpy as np
from numpy.typing import NDArray

from telco_stream.model.quality import CalibrationStep, Estimate, Measures, Uplift, UpliftGroup

#: Standard deviations of a normal distribution within which 95 % of it lie.
_Z = 1.959963984540054
#: Standard deviations below which 80 % of a normal distribution lie.
_Z_POWER = 0.8416212335729143


def measure(
    probability: NDArray[np.float64], positive: NDArray[np.bool_], flagged: NDArray[np.bool_], capacity: float
) -> Measures:
    """Measure predictions; `capacity` is the share from 0 to 1 that can be contacted."""
    count, positives = len(probability), int(positive.sum())
    contacts = min(count, math.ceil(count * capacity))
    falling = np.argsort(-probability, kind="stable")
    chosen = np.zeros(count, dtype=bool)
    chosen[falling[:contacts]] = True
    precision, recall = _precision_recall(flagged, positive)
    precision_at, recall_at = _precision_recall(chosen, positive)
    return Measures(
        predictions=count,
        positive=positives,
        flagged=int(flagged.sum()),
        auc=_auc(probability, positive),
        brier=_mean((probability - positive) ** 2),
        log_loss=_log_loss(probability, positive),
        precision=precision,
        recall=recall,
        contacts_at_capacity=contacts,
        precision_at_capacity=precision_at,
        recall_at_capacity=recall_at,
        calibration=[
            _calibration_step(probability[tenth], positive[tenth])
            for tenth in np.array_split(falling[::-1], 10)
            if len(tenth)
        ],
    )


def measure_uplift(
    probability: NDArray[np.float64], positive: NDArray[np.bool_], control: NDArray[np.bool_], since: str
) -> Uplift | None:
    """Compare the flagged customers of the control group with the others; None without both groups.

    The interval of the difference is Newcombe's, from the two intervals of Wilson. Source: Newcombe, Statistics in
    Medicine 17 (1998), method 10.
    """
    if control.all() or not control.any():
        return None
    contacted, kept = (_group(probability[rows], positive[rows]) for rows in (~control, control))
    of_control, of_contacted = kept.rate, contacted.rate
    difference = of_control.value - of_contacted.value
    low = difference - math.hypot(of_control.value - of_control.low, of_contacted.high - of_contacted.value)
    high = difference + math.hypot(of_control.high - of_control.value, of_contacted.value - of_contacted.low)
    variance = sum(map(_rate_variance, (contacted, kept)))
    return Uplift(
        since=since,
        contacted=contacted,
        control=kept,
        uplift=Estimate(difference, low, high),
        found=not low <= 0 <= high,
        detectable=(_Z + _Z_POWER) * math.sqrt(variance),
    )


def proportion(hits: int, count: int) -> Estimate:
    """Return a share with Wilson's interval; `count` is above 0."""
    share, spread = hits / count, _Z * _Z / count
    centre = (share + spread / 2) / (1 + spread)
    half = _Z * math.sqrt(share * (1 - share) / count + spread / (4 * count)) / (1 + spread)
    return Estimate(share, max(0.0, centre - half), min(1.0, centre + half))


def _calibration_step(probability: NDArray[np.float64], positive: NDArray[np.bool_]) -> CalibrationStep:
    count = len(positive)
    return CalibrationStep(count, float(probability.mean()), proportion(int(positive.sum()), count))


def _group(probability: NDArray[np.float64], positive: NDArray[np.bool_]) -> UpliftGroup:
    count, hits = len(positive), int(positive.sum())
    return UpliftGroup(count, hits, proportion(hits, count), float(probability.mean()))


def _rate_variance(group: UpliftGroup) -> float:
    """Return the variance of the group's rate, with one outcome of each kind more, as for a rate of 0 it is not 0.

    Source: Agresti and Caffo, The American Statistician 54 (2000).
    """
    count = group.predictions + 2
    rate = (group.positive + 1) / count
    return rate * (1 - rate) / count


def _precision_recall(
    chosen: NDArray[np.bool_], positive: NDArray[np.bool_]
) -> tuple[Estimate | None, Estimate | None]:
    hits, contacts, positives = int((chosen & positive).sum()), int(chosen.sum()), int(positive.sum())
    precision = proportion(hits, contacts) if contacts else None
    return precision, proportion(hits, positives) if positives else None


def _mean(losses: NDArray[np.float64]) -> Estimate | None:
    """Return the mean with the interval of a normal distribution."""
    if len(losses) == 0:
        return None
    mean = float(losses.mean())
    half = _Z * float(losses.std(ddof=1)) / math.sqrt(len(losses)) if len(losses) > 1 else math.inf
    return Estimate(mean, max(0.0, mean - half), mean + half) if math.isfinite(half) else None


def _log_loss(probability: NDArray[np.float64], positive: NDArray[np.bool_]) -> Estimate | None:
    """Return the log loss as scikit-learn defines it, which keeps probabilities away from 0 and 1."""
    smallest = np.finfo(np.float64).eps
    return _mean(-np.log(np.clip(np.where(positive, probability, 1 - probability), smallest, 1 - smallest)))


def _auc(probability: NDArray[np.float64], positive: NDArray[np.bool_]) -> Estimate | None:
    """Return the AUC with DeLong's interval, on the logit scale so that it stays within 0 and 1.

    Source: DeLong, DeLong and Clarke-Pearson, Biometrics 44 (1988); the variance from midranks follows Sun and Xu,
    IEEE Signal Processing Letters 21 (2014).
    """
    positives = int(positive.sum())
    negatives = len(positive) - positives
    if not positives or not negatives:
        return None
    ranks = _midranks(probability)
    above = (ranks[positive] - _midranks(probability[positive])) / negatives
    below = 1 - (ranks[~positive] - _midranks(probability[~positive])) / positives
    auc = float(above.mean())
    if min(positives, negatives) == 1 or not 0 < auc < 1:
        return Estimate(auc, 0.0, 1.0)
    deviation = math.sqrt(float(above.var(ddof=1)) / positives + float(below.var(ddof=1)) / negatives)
    centre, half = math.log(auc / (1 - auc)), _Z * deviation / (auc * (1 - auc))
    return Estimate(auc, _logistic(centre - half), _logistic(centre + half))


def _midranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the ranks from 1; equal values share the mean of their ranks."""
    _, group, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[group]


def _logistic(logit: float) -> float:
    return 1 / (1 + math.exp(-logit)) if logit >= 0 else math.exp(logit) / (1 + math.exp(logit))
