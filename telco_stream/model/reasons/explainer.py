"""Reasons of predictions: the largest contributions of features to the logit of the probability."""

import math
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from telco_stream.contract.events import Event, EventBatch
from telco_stream.messages.codec import Codec
from telco_stream.messages.prediction import Reason
from telco_stream.model.features import input_order
from telco_stream.model.reasons.text import ReasonWriter

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
        self._writer = ReasonWriter(self.features, digits)

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
        events, largest, contributions = self._choose(events, count, rows)
        return self._objects(events, largest, contributions, with_values=with_values)

    def reasons_to_send(
        self, events: EventBatch, count: int, *, with_values: bool, rows: Sequence[int] | None = None
    ) -> list[tuple[Reason, ...]] | list[msgspec.Raw]:
        """Return what `reasons` returns; without values as JSON, unless a contribution is too large for its writer."""
        events, largest, contributions = self._choose(events, count, rows)
        texts = None if with_values else self._writer.write(largest, contributions)
        if texts is None:
            return self._objects(events, largest, contributions, with_values=with_values)
        return list(map(msgspec.Raw, texts))

    def _choose(
        self, events: EventBatch, count: int, rows: Sequence[int] | None
    ) -> tuple[EventBatch, NDArray[np.intp], NDArray[np.float64]]:
        """Return the events that get reasons, and features and values of their largest contributions."""
        chosen = events if rows is None else EventBatch(events[row] for row in rows)
        if rows is None or self.probabilities is None:
            contributions = self._contribute(chosen)
        else:  # those of all events were computed with their probabilities
            contributions = self._contribute(events)[np.array(rows, np.intp)]
        largest = _largest(contributions, count)
        return chosen, largest, np.take_along_axis(contributions, largest, axis=1).astype(np.float64)

    def _objects(
        self, events: EventBatch, largest: NDArray[np.intp], contributions: NDArray[np.float64], *, with_values: bool
    ) -> list[tuple[Reason, ...]]:
        names = self._names[largest.ravel()].tolist()
        columns = [names, contributions.round(self._digits).ravel().tolist()]
        if with_values:
            values = {name: self._codec.events.values(name, events) for name in self.features}
            positions = np.arange(len(events)).repeat(largest.shape[1]).tolist()
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
