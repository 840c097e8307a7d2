"""Quality that a model's probabilities imply if they are calibrated, without outcomes (CBPE).

A record with probability p counts as p positive and 1 - p negative outcomes.
"""

from collections.abc import Sequence

import numpy as np

from telco_stream.model.drift.baseline import Floats
from telco_stream.model.drift.results import ExpectedQuality


def expected_quality(probabilities: Sequence[float] | Floats, threshold: float) -> ExpectedQuality:
    """Return the expected quality of predictions that are positive from the threshold on.

    The probabilities are from 0 to 1; there is at least one.
    """
    positive = np.asarray(probabilities, np.float64)
    flagged = positive[positive >= threshold]
    total, negatives = positive.sum(), (1 - positive).sum()
    _, groups = np.unique(positive, return_inverse=True)  # equal probabilities are in no order
    of_positive, of_negative = np.bincount(groups, positive), np.bincount(groups, 1 - positive)
    below = np.cumsum(of_negative) - of_negative / 2
    pairs = total * negatives
    return ExpectedQuality(
        auc=float(of_positive @ below / pairs) if pairs else None,
        precision=float(flagged.mean()) if len(flagged) else None,
        recall=float(flagged.sum() / total) if total else None,
        brier=float((positive * (1 - positive)).mean()),
    )
