"""Compilation of a fitted pipeline, and the comparison of both forms on the same events."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from textwrap import shorten

import numpy as np
from sklearn.pipeline import Pipeline

from telco_stream.contract.events import Event
from telco_stream.contract.schema import Category
from telco_stream.errors import ModelError
from telco_stream.messages.codec import Codec
from telco_stream.model.conversion import convert
from telco_stream.model.evaluation import Floats
from telco_stream.model.features import feature_table
from telco_stream.model.manifest import Parity
from telco_stream.model.onnx_engine import load_onnx
from telco_stream.model.probes import edge_events, split_events
from telco_stream.model.scorer import Scorer, ScoringError
from telco_stream.model.sklearn_engine import SklearnScorer
from telco_stream.model.trees.from_sklearn import sklearn_splits

#: Largest allowed difference of two probabilities.
TOLERANCE = 1e-6
#: Exceptions of the converter, which has no class for what it cannot convert, and of onnxruntime.
NOT_CONVERTIBLE = (ArithmeticError, AttributeError, LookupError, ModelError, RuntimeError, TypeError, ValueError)


def _no_floats() -> Floats:
    return np.empty(0)


@dataclass(frozen=True, slots=True)
class Compiled:
    """The ONNX file, the probabilities of both forms, and why the file must not be used; None if it can be used."""

    content: bytes | None = None
    expected: Floats = field(default_factory=_no_floats)
    actual: Floats = field(default_factory=_no_floats)
    refused: str | None = None

    @property
    def max_difference(self) -> float | None:
        """Return the largest difference of two probabilities; None if one is not a number, which JSON lacks."""
        largest = float(np.abs(self.expected - self.actual).max()) if len(self.expected) else np.nan
        return None if np.isnan(largest) else largest

    def parity(self, threshold: float) -> Parity:
        """Return the comparison with a threshold.

        A difference within the tolerance changes a decision only if the probability is that close to the threshold.
        """
        if not len(self.expected):
            return Parity(refused=self.refused)
        differing = int(((self.expected >= threshold) != (self.actual >= threshold)).sum())
        return Parity(len(self.expected), self.max_difference, differing, self.refused)


def compile_if_equal(
    pipeline: Pipeline,
    codec: Codec,
    events: Sequence[Event],
    *,
    seed: int,
    convert: Callable[[Pipeline, Codec], bytes] = convert,
) -> Compiled:
    """Convert the pipeline to ONNX, and compare both on these events, on edge cases and where its trees split."""
    try:
        content = convert(pipeline, codec)
        compiled = load_onnx(content, codec, version="", threshold=0.5)
    except NOT_CONVERTIBLE as error:
        first_line = str(error).partition("\n")[0]  # the converter may append a whole tree
        return Compiled(refused=f"it can't be compiled: {shorten(first_line, 200)}")
    test_events = [
        *events,
        *edge_events(codec, events, seed=seed),
        *split_events(codec, events, sklearn_splits(pipeline, codec), seed=seed),
    ]
    try:
        return compare(SklearnScorer("", 0.5, pipeline, codec), compiled, test_events, len(events), content)
    except ScoringError as error:
        return Compiled(refused=f"it fails on some events: {error}")


def compare(  # noqa: PLR0913 - both scorers, and what is known of them
    original: Scorer,
    compiled: Scorer,
    events: Sequence[Event],
    trained_on: int,
    content: bytes | None = None,
    *,
    expected: Floats | None = None,
) -> Compiled:
    """Compare two scorers on the same events, the first `trained_on` of which are those of the training data.

    `expected` are the probabilities of the original, if they are known. Raise ScoringError if one of the scorers fails.
    """
    expected = np.array(original.score(events)) if expected is None else expected
    actual = np.array(compiled.score(events))
    differences = np.abs(expected - actual)
    if np.isnan(differences).any():
        return Compiled(content, expected, actual, "some of its answers are not numbers")
    if differences.max() <= TOLERANCE:
        return Compiled(content, expected, actual)
    values = _values_at_fault(original, compiled, events[:trained_on], events[int(differences.argmax())])
    refused = f"it differs from the original by up to {differences.max():.1e} for {values}; {TOLERANCE:.0e} is allowed"
    return Compiled(content, expected, actual, refused)


def _values_at_fault(original: Scorer, compiled: Scorer, trained_on: Sequence[Event], event: Event) -> str:
    """Name the feature of an event whose value makes the difference: with a value from the data, it is smallest."""
    codec = original.codec.events
    names = [feature.name for feature in codec.contract.features]
    values, usual = ({name: codec.values(name, [example])[0] for name in names} for example in (event, trained_on[0]))
    changed = [codec.make(values | {name: usual[name]}) for name in names]
    differences = np.abs(np.array(original.score(changed)) - np.array(compiled.score(changed)))
    row = feature_table(codec, [event])[0]
    explained = np.isnan(row) & (differences <= TOLERANCE)  # null is the likely reason, if several could be
    position = int(np.flatnonzero(explained)[0] if explained.any() else differences.argmin())
    feature, value = codec.contract.features[position], row[position]
    if np.isnan(value):
        return f"null in `{feature.name}`"
    seen = feature_table(codec, trained_on)[:, position]
    is_far = not isinstance(feature, Category) and not np.nanmin(seen) <= value <= np.nanmax(seen)
    return f"values of `{feature.name}` far from those in the data" if is_far else f"some values of `{feature.name}`"
