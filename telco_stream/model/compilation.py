"""Compilation of a fitted pipeline, and the comparison of both forms on the same events."""

from collections.abc import Callable, Sequence
from math import nan
from random import Random
from textwrap import shorten
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from telco_stream.contract.events import Event
from telco_stream.contract.schema import Boolean, Category, Feature, Integer
from telco_stream.errors import ModelError
from telco_stream.messages.codec import Codec
from telco_stream.model.artifact import ONNX
from telco_stream.model.conversion import convert
from telco_stream.model.features import category_texts, feature_table
from telco_stream.model.manifest import Parity
from telco_stream.model.onnx_engine import load_onnx
from telco_stream.model.scorer import Scorer, ScoringError
from telco_stream.model.sklearn_engine import SklearnScorer

#: Largest allowed difference of two probabilities.
TOLERANCE = 1e-6
EDGE_EVENTS = 10_000
#: Distances from an edge: none, and a step on either side; a fraction of the range that was seen for large numbers.
_STEPS = (0, -0.01, 0.01, -1, 1)
_FRACTION = 1e-3


def compile_if_equal(  # noqa: PLR0913 - what both forms depend on, and the converter
    pipeline: Pipeline,
    codec: Codec,
    threshold: float,
    events: Sequence[Event],
    *,
    seed: int,
    convert: Callable[[Pipeline, Codec], bytes] = convert,
) -> tuple[dict[str, bytes], Parity]:
    """Convert the pipeline to ONNX and compare both on these events and on edge cases.

    Return the ONNX file, or no file if it cannot be built or differs, and the comparison.
    """
    try:
        content = convert(pipeline, codec)
        compiled = load_onnx(content, codec, version="", threshold=threshold)
    except (RuntimeError, ValueError, ModelError) as error:  # of the converter, and of onnxruntime
        first_line = str(error).partition("\n")[0]  # the converter may append a whole tree
        return {}, Parity(refused=f"it can't be compiled: {shorten(first_line, 200)}")
    test_events = [*events, *edge_events(codec, events, seed=seed)]
    try:
        parity = compare(SklearnScorer("", threshold, pipeline, codec), compiled, test_events)
    except ScoringError as error:
        return {}, Parity(refused=f"it fails on some events: {error}")
    return ({} if parity.refused else {ONNX: content}), parity


def compare(original: Scorer, compiled: Scorer, events: Sequence[Event]) -> Parity:
    """Return the largest difference, and the reason if the compiled pipeline must not be used.

    A difference within the tolerance changes a decision only if the probability is that close to the threshold.
    """
    expected, actual = np.array(original.score(events)), np.array(compiled.score(events))
    largest = float(np.abs(expected - actual).max())
    differing = int(((expected >= original.threshold) != (actual >= compiled.threshold)).sum())
    if np.isnan(largest):
        return Parity(len(expected), None, differing, "some of its answers are not numbers")
    refused = f"it differs from the original by up to {largest:.1e}, {TOLERANCE:.0e} is allowed"
    return Parity(len(expected), largest, differing, refused if largest > TOLERANCE else None)


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
