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
    positive = np.sort(np.asarray(probabilities, np.float64))
    negative = 1 - positive
    flagged = positive[positive >= threshold]
    total = positive.sum()
    # Half of the record itself: the sum over equal probabilities is then that of half of their pairs.
    below = np.cumsum(negative) - negative / 2
    pairs = total * negative.sum()
    return ExpectedQuality(
        auc=float(positive @ below / pairs) if pairs else None,
        precision=float(flagged.mean()) if len(flagged) else None,
        recall=float(flagged.sum() / total) if total else None,
        brier=float((positive * negative).mean()),
    )
