"""Join of predictions and outcomes: each outcome to the newest earlier prediction of its key."""

import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from telco_stream.model.quality import Coverage


@dataclass(frozen=True, slots=True)
class Joined:
    """Predictions whose outcome is known, as arrays of one length."""

    probability: NDArray[np.float64]
    flagged: NDArray[np.bool_]
    positive: NDArray[np.bool_]
    #: Whether each customer belongs to the control group.
    control: NDArray[np.bool_]
    #: Times of the predictions in seconds since 1970.
    time: NDArray[np.float64]
    #: Positions of the predictions' versions in `versions`.
    version: NDArray[np.int64]
    versions: Sequence[str]
    coverage: Coverage


class Join:
    """Predictions and outcomes as columns: about 50 bytes each, and the keys once."""

    def __init__(self) -> None:
        self._keys: dict[str, int] = {}
        self._versions: dict[str, int] = {}
        self._predictions = (array("q"), array("d"), array("d"), array("b"), array("q"), array("b"))
        self._outcomes = (array("q"), array("d"), array("b"))
        #: Number of records that are not predictions, and of those that are not outcomes.
        self.unreadable_predictions = self.unreadable_outcomes = 0

    def add_prediction(  # noqa: PLR0913 - the columns of a prediction
        self, key: str, time: float, probability: float, version: str, *, flagged: bool, control: bool = False
    ) -> None:
        """Add a prediction; `time` is in seconds since 1970."""
        number = self._keys.setdefault(key, len(self._keys))
        version_number = self._versions.setdefault(version, len(self._versions))
        _append(self._predictions, (number, time, probability, flagged, version_number, control))

    def add_outcome(self, key: str, time: float, *, positive: bool) -> None:
        """Add an outcome; `time` is in seconds since 1970. Add the predictions before."""
        _append(self._outcomes, (self._keys.get(key, -1), time, positive))

    def result(self, horizon: float) -> Joined:
        """Join within `horizon` seconds; of two outcomes of one prediction, the newer counts."""
        keys, times, probability, flagged, version, control = map(np.asarray, self._predictions)
        order = np.lexsort((times, keys))
        keys, times = keys[order], times[order]
        of, at, positive = map(np.asarray, self._outcomes)
        by_time = np.argsort(at, kind="stable")
        of, at, positive = of[by_time], at[by_time], positive[by_time]
        position = _newest_before(keys, times, of, at)
        is_known, has_earlier = of >= 0, position >= 0
        within = np.zeros(len(of), dtype=bool)
        within[has_earlier] = at[has_earlier] - times[position[has_earlier]] <= horizon
        outcome_of = np.full(len(keys), -1, dtype=np.int64)
        outcome_of[position[within]] = np.flatnonzero(within)  # in the order of time, so the newest remains
        chosen = np.flatnonzero(outcome_of >= 0)
        rows = order[chosen]
        newest = float(at[-1]) if len(at) else -math.inf
        return Joined(
            probability=probability[rows],
            flagged=flagged[rows] > 0,
            positive=positive[outcome_of[chosen]] > 0,
            control=control[rows] > 0,
            time=times[chosen],
            version=version[rows],
            versions=list(self._versions),
            coverage=Coverage(
                predictions=len(keys),
                with_outcome=len(chosen),
                pending=int(((outcome_of < 0) & (times > newest - horizon)).sum()),
                outcomes=len(of),
                unknown_key=int((~is_known).sum()),
                before_prediction=int((is_known & ~has_earlier).sum()),
                after_horizon=int((has_earlier & ~within).sum()),
                replaced=int(within.sum()) - len(chosen),
                unreadable_predictions=self.unreadable_predictions,
                unreadable_outcomes=self.unreadable_outcomes,
            ),
        )


def _append(columns: Sequence["array[int] | array[float]"], values: Sequence[float]) -> None:
    for column, value in zip(columns, values, strict=True):
        column.append(value)  # type: ignore[arg-type]


def _newest_before(
    keys: NDArray[np.int64], times: NDArray[np.float64], of: NDArray[np.int64], at: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Return the position of the newest prediction of each outcome's key before its time, or -1 without one.

    The predictions are sorted by key and time. An outcome at the time of a prediction is not after it.
    """
    all_keys, all_times = np.concatenate([keys, of]), np.concatenate([times, at])
    is_prediction = np.concatenate([np.ones(len(keys), dtype=np.int8), np.zeros(len(of), dtype=np.int8)])
    order = np.lexsort((is_prediction, all_times, all_keys))  # an outcome comes before a prediction of the same time
    before = np.cumsum(is_prediction[order]) - 1
    is_outcome = is_prediction[order] == 0
    position = np.empty(len(of), dtype=np.int64)
    position[order[is_outcome] - len(keys)] = before[is_outcome]
    has_earlier = position >= 0
    has_earlier[has_earlier] = keys[position[has_earlier]] == of[has_earlier]
    return np.where(has_earlier, position, -1)
