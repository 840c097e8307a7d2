"""Reasons of a fitted model, made when its folder is written and checked against its probabilities."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from sklearn.pipeline import Pipeline

from telco_stream.contract.events import Event
from telco_stream.errors import ModelError
from telco_stream.messages.codec import Codec
from telco_stream.model.evaluation import Floats
from telco_stream.model.features import input_table
from telco_stream.model.labelled import LabelledEvents
from telco_stream.model.reasons.approximate import write_approximate
from telco_stream.model.reasons.baselines import Rows
from telco_stream.model.reasons.files import APPROXIMATE, GRAPH, LEAVES, load_reasons
from telco_stream.model.reasons.leaves import read_leaves, write_leaves
from telco_stream.model.reasons.linear import is_logistic_regression, linear_reasons, with_contributions
from telco_stream.model.scorer import Scorer, ScoringError
from telco_stream.model.trees.ensemble import Ensemble, UnreadableModelError
from telco_stream.model.trees.from_sklearn import read_sklearn

#: Largest difference of a probability from the one that base and contributions give.
_TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True)
class BuiltReasons:
    """Files for the model folder, and why the model has no exact reasons; None if it has them."""

    files: dict[str, bytes] = field(default_factory=dict)
    refused: str | None = None


def build_reasons(
    read: Callable[[], Ensemble | Pipeline], scorer: Scorer, compiled: bytes | None, data: LabelledEvents
) -> BuiltReasons:
    """Make the reasons of the model that `read` returns, as trees or else as a pipeline.

    `scorer` is the model that will serve, and `compiled` its ONNX form. The reasons are refused unless base and
    contributions give its probabilities.
    """
    codec = scorer.codec
    rows = Rows(input_table(codec.events, data.events), np.array(data.positive))
    files: dict[str, bytes] = {}
    model, bases, refused = None, None, None
    try:
        model = read()
        if isinstance(model, Ensemble):
            leaves = read_leaves(model, rows)
            bases, files = leaves.base, {LEAVES: write_leaves(leaves)}
        else:
            files = {GRAPH: _graph(model, codec, rows, compiled)}
        _check(files, scorer, data.events)
    except (ModelError, ScoringError) as error:
        files, bases, refused = {}, None, str(error)
    return BuiltReasons(files | _approximate(model, scorer, data, bases), refused)


def _approximate(
    model: Ensemble | Pipeline | None, scorer: Scorer, data: LabelledEvents, bases: Floats | None
) -> dict[str, bytes]:
    """Return the file of the approximate reasons; none if the model has none."""
    if not isinstance(model, Ensemble):
        return {}
    try:
        files = {APPROXIMATE: write_approximate(model, scorer.codec, data.events, data.positive, bases)}
        _check(files, scorer, data.events, approximate=True)
    except (ModelError, ScoringError):
        return {}
    return files


def read_trees(pipeline: Pipeline, codec: Codec) -> Ensemble | Pipeline:
    """Return the trees of a pipeline, or a logistic regression as it is; raise UnreadableModelError for others."""
    return pipeline if is_logistic_regression(pipeline) else read_sklearn(pipeline, codec)


def _graph(pipeline: Pipeline, codec: Codec, rows: Rows, compiled: bytes | None) -> bytes:
    reasons = linear_reasons(pipeline, codec, rows)
    if compiled is None:
        raise UnreadableModelError("it has no compiled form")
    return with_contributions(compiled, reasons)


def _check(files: dict[str, bytes], scorer: Scorer, events: Sequence[Event], *, approximate: bool = False) -> None:
    """Raise UnreadableModelError unless base and contributions give the probabilities of the scorer."""
    explainer = load_reasons(files, scorer.codec, "all", approximate=approximate)
    if explainer is None:
        raise AssertionError("the files hold no reasons")
    logits = explainer.base + explainer.contributions(events).sum(axis=1, dtype=np.float64)
    difference = float(np.abs(1.0 / (1.0 + np.exp(-logits)) - np.array(scorer.score(events))).max(initial=0.0))
    if not difference <= _TOLERANCE:
        raise UnreadableModelError(f"the contributions give probabilities that differ by up to {difference:.1e}")
