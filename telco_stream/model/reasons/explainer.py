"""Reasons of predictions: the largest contributions of features to the logit of the probability."""

import math
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from telco_stream.contract.events import Event, EventBatch
from telco_stream.messages.codec import Codec
from telco_stream.messages.prediction import Reason
from telco_stream.model.features import input_order

#: Contributions to the logit [events, features].
Contributions: TypeAlias = NDArray[np.floating[Any]]


class Explainer:
    """Contributions of one model's features, relative to a baseline; exact unless they are called approximate.

    The contributions of an event and `base` add up to the logit of its probability.
    """

    def __init__(  # noqa: PLR0913 - what reasons consist of
        self,
        codec: Codec,
        base: float,
        contribute: Callable[[Sequence[Event]], Contributions],
        probabilities: Callable[[Sequence[Event]], Any] | None = None,
        digits: int = 12,
        *,
        is_approximate: bool = False,
    ) -> None:
        """Take the mean logit of the baseline, and the function that computes contributions [events, features].

        If the model computes its probabilities of both labels with them, `probabilities` returns those [events, 2].
        `digits` is the number of digits of a reason after the decimal point.
        """
        self.base = base
        self.probabilities = probabilities
        self.is_approximate = is_approximate
        self._codec = codec
        self._digits = digits
        self._contribute = contribute
        #: Names of the features, in the order of the contributions.
        self.features = tuple(input_order(codec.contract))
        self._names = np.array(self.features, object)

    def scaled(self, slope: float, intercept: float) -> "Explainer":
        """Return the reasons of a model whose logit is `slope` times that of this one, plus `intercept`."""

        def contribute(events: Sequence[Event]) -> Contributions:
            return slope * self._contribute(events).astype(np.float64)

        base, approximate = slope * self.base + intercept, self.is_approximate
        return Explainer(self._codec, base, contribute, self.probabilities, self._digits, is_approximate=approximate)

    def contributions(self, events: Sequence[Event]) -> Contributions:
        """Return the contribution of each feature to the logit of each event [events, features].

        They are in the order of `features`. Raise ScoringError if the model fails.
        """
        return self._contribute(events)

    def microseconds(self) -> float:
        """Return how long the contributions of an event take, in a batch of 64, as measured now."""
        events, best = [self._codec.events.make({})] * 64, math.inf
        for _ in range(3):
            started = time.perf_counter()
            self._contribute(events)
            best = min(best, time.perf_counter() - started)
        return best / len(events) * 1e6

    def reasons(
        self, events: EventBatch, count: int, *, with_values: bool, rows: Sequence[int] | None = None
    ) -> list[tuple[Reason, ...]]:
        """Return the `count` largest contributions of each event, or of those in `rows`, largest effect first.

        Features with the same effect are in the order of the inputs. With values, a reason has the event's value too.
        Raise ScoringError if the model fails.
        """
        if rows is not None and self.probabilities is None:
            events, rows = EventBatch(events[row] for row in rows), None
        contributions = self._contribute(events)
        if rows is not None:
            contributions = contributions[np.array(rows, np.intp)]
        largest = _largest(contributions, count)
        chosen = np.take_along_axis(contributions, largest, axis=1).astype(np.float64).round(self._digits)
        names = self._names[largest.ravel()].tolist()
        columns = [names, chosen.ravel().tolist()]
        if with_values:
            values = {name: self._codec.events.values(name, events) for name in self.features}
            positions = np.array(range(len(events)) if rows is None else rows).repeat(largest.shape[1]).tolist()
            columns.append([values[name][position] for name, position in zip(names, positions, strict=True)])
        reasons = map(Reason, *columns)
        return list(zip(*[reasons] * largest.shape[1], strict=True))


def _largest(contributions: Contributions, count: int) -> NDArray[np.intp]:
    """Return the positions of the largest effects of each row, largest first; sorting all of them takes longer."""
    effects = np.abs(contributions)
    rows = np.arange(len(effects))
    largest = np.empty((len(effects), min(count, effects.shape[1])), np.intp)
    for rank in range(largest.shape[1]):
        largest[:, rank] = effects.argmax(axis=1)
        effects[rows, largest[:, rank]] = -1.0
    return largest
