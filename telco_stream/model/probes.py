"""Events on which a compiled model could differ from its original: at the limits of the features, and at splits."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle
from math import nan
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray

from telco_stream.contract.events import Event
from telco_stream.contract.schema import Boolean, Category, Feature, Integer, Number
from telco_stream.messages.codec import Codec
from telco_stream.model.features import category_texts, feature_table

EDGE_EVENTS = SPLIT_EVENTS = 10_000
#: Distances from an edge: none, and a step on either side; a fraction of the range that was seen for large numbers.
_STEPS = (0, -0.01, 0.01, -1, 1)
_FRACTION = 1e-3
#: Share of the numbers of a split event that are close to a split.
_SPLIT_SHARE = 0.5


def edge_events(codec: Codec, trained_on: Sequence[Event], *, seed: int) -> list[Event]:
    """Draw 10,000 events with numbers at and just beyond the limits of the contract and of the training data."""
    random = Random(seed)  # noqa: S311 - not used for cryptography
    table = feature_table(codec.events, trained_on)
    choices = {
        feature.name: _choices(codec, feature, table[:, position])
        for position, feature in enumerate(codec.contract.features)
    }
    return [
        codec.events.make({name: random.choice(values) for name, values in choices.items()}) for _ in range(EDGE_EVENTS)
    ]


def split_events(
    codec: Codec, trained_on: Sequence[Event], splits: Mapping[str, NDArray[np.float64]], *, seed: int
) -> list[Event]:
    """Draw 10,000 events of the training data with numbers at the splits of a model, by feature, and a step beside.

    Return none if the model has no splits.
    """
    random = Random(seed)  # noqa: S311 - not used for cryptography
    names = [feature.name for feature in codec.contract.features]
    columns = {name: codec.events.values(name, trained_on) for name in names}
    probes = {
        feature.name: cycle(shuffled)
        for feature in codec.contract.features
        if (shuffled := _shuffled(random, _probes(feature, splits.get(feature.name, []))))
    }
    return [
        codec.events.make(_moved(random, columns, probes, random.randrange(len(trained_on))))
        for _ in range(SPLIT_EVENTS if probes else 0)
    ]


def _moved(
    random: Random, columns: Mapping[str, Sequence[Any]], probes: Mapping[str, Iterator[float]], row: int
) -> dict[str, Any]:
    """Return the values of a row, some of its numbers replaced by those close to a split."""
    moved = {name: next(values) for name, values in probes.items() if random.random() < _SPLIT_SHARE}
    return {name: values[row] for name, values in columns.items()} | moved


def _shuffled(random: Random, values: set[float]) -> list[float]:
    return random.sample(sorted(values), len(values))


def _probes(feature: Feature, splits: Sequence[float] | NDArray[np.float64]) -> set[float]:
    """Return each split, the next numbers in double and single precision on either side, and the nearest cents."""
    if not isinstance(feature, Number | Integer):
        return set()
    doubles = np.array(splits, np.float64)
    if isinstance(feature, Integer):
        return {*map(int, np.floor(doubles)), *map(int, np.ceil(doubles))}
    singles = doubles.astype(np.float32)
    beside = [np.nextafter(doubles, side) for side in (-np.inf, np.inf)]
    beside += [np.nextafter(singles, np.float32(side)).astype(np.float64) for side in (-np.inf, np.inf)]
    return set(np.concatenate([doubles, singles.astype(np.float64), *beside, doubles.round(2)]).tolist())


def _choices(codec: Codec, feature: Feature, trained_on: NDArray[np.float64]) -> list[Any]:
    match feature:
        case Category():
            return list(category_texts(codec.events, feature))
        case Boolean():
            return [True, False, *([None] if feature.nullable else [])]
    trained = trained_on[~np.isnan(trained_on)]
    seen = [float(trained.min()), float(trained.max())] if len(trained) else []
    span = seen[1] - seen[0] if seen else 0.0
    steps = (0, -1, 1) if isinstance(feature, Integer) else (*_STEPS, -span * _FRACTION, span * _FRACTION)
    edges = dict.fromkeys([feature.minimum, feature.maximum, *seen])
    blank = [nan if feature.fill is None else feature.fill] * len(_STEPS) if feature.nullable else []
    return [edge + step for edge in edges for step in steps] + blank
