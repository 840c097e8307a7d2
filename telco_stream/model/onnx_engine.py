"""ONNX engine: runs the compiled pipeline without pandas, scikit-learn or unpickling.

The pipeline takes events as two arrays: numbers, and codes of categories. A code is the category's position in the
contract. A contract without numbers or without categories has one array only. The graph returns the probabilities of
both labels, or of trees the logit of the positive one, which numpy turns into probabilities.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime
from onnxruntime.capi.onnxruntime_pybind11_state import (
    Fail,
    InvalidArgument,
    InvalidGraph,
    InvalidProtobuf,
    NotImplemented,  # noqa: A004 - the library's error for an operator that it lacks
    RuntimeException,
)

from telco_stream.contract.events import Event
from telco_stream.errors import ModelError
from telco_stream.messages.codec import Codec
from telco_stream.model.features import Table, feature_table
from telco_stream.model.manifest import RETRAIN
from telco_stream.model.onnx_inputs import MARGINS, GraphInput, graph_inputs, probability_output
from telco_stream.model.reasons.explainer import Explainer
from telco_stream.model.scorer import ScoringError, check_probabilities

#: Exceptions of a session that fails on some events.
_BAD_DATA = (Fail, InvalidArgument, RuntimeException)
UNLOADABLE = (Fail, InvalidArgument, InvalidGraph, InvalidProtobuf, NotImplemented, RuntimeException)
#: Largest deviation of a probability from 0 or 1 that is a matter of rounding.
_ROUNDING = 1e-6
#: Log level "fatal" of onnxruntime; errors are raised and need not be logged.
_FATAL_ONLY = 4


@dataclass(frozen=True, slots=True)
class OnnxScorer:
    """Scorer that runs a compiled pipeline; `positive` is the position of the positive label in its probabilities."""

    version: str
    threshold: float
    session: onnxruntime.InferenceSession
    codec: Codec
    inputs: tuple[GraphInput, ...]
    output: str
    positive: int = 1
    engine: str = "onnx"
    explainer: Explainer | None = None

    def score(self, events: Sequence[Event]) -> list[float]:
        """Return the probability of each event, in their order; raise ScoringError if the model fails."""
        if self.explainer is not None and self.explainer.probabilities is not None:
            probabilities = self.explainer.probabilities(events)
        else:
            try:
                probabilities = _run(
                    self.session, self.inputs, self.output, padded(feature_table(self.codec.events, events))
                )
            except _BAD_DATA as error:
                raise ScoringError(f"onnx: {type(error).__name__}", error) from error
        scores: list[float] = probabilities[: len(events), self.positive].tolist()
        return scores


def load_onnx(model: bytes, codec: Codec, *, version: str, threshold: float, positive: int = 1) -> OnnxScorer:
    """Create the scorer from the verified bytes of an ONNX file; raise ModelError if onnxruntime cannot run it.

    `positive` is the position of the positive label in the graph's probabilities.
    """
    try:
        session = _start_session(model)
    except UNLOADABLE as error:
        raise ModelError(
            f"onnxruntime {onnxruntime.__version__} can't load the compiled model ({type(error).__name__}): "
            "install a newer one, or use --engine sklearn"
        ) from error
    try:
        return _adapted(session, codec, version, threshold, positive)
    except ModelError as error:
        raise ModelError(f"The compiled model can't be used: {error}; {RETRAIN}") from error


def read_onnx(content: bytes, codec: Codec) -> OnnxScorer:
    """Create the scorer of an ONNX file of any origin; raise ModelError if onnxruntime cannot run it."""
    try:
        session = _start_session(content)
    except UNLOADABLE as error:
        raise ModelError(
            f"onnxruntime {onnxruntime.__version__} can't load it ({type(error).__name__}): "
            "the file is damaged, or needs a newer version"
        ) from error
    return _adapted(session, codec, version="", threshold=0.5, positive=1)


def _start_session(model: bytes) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(model, session_options(), providers=["CPUExecutionProvider"])


def _adapted(
    session: onnxruntime.InferenceSession, codec: Codec, version: str, threshold: float, positive: int
) -> OnnxScorer:
    inputs, output = graph_inputs(session.get_inputs(), codec), probability_output(session.get_outputs())
    check_probabilities(codec.events, lambda events: _run(session, inputs, output, feature_table(codec.events, events)))
    return OnnxScorer(version, threshold, session, codec, inputs, output, positive)


def padded(table: Table) -> Table:
    """Return the table with at least two rows: for one, onnxruntime multiplies matrices in a way with other bits."""
    return table if len(table) > 1 else table.repeat(2, axis=0)


def _run(session: onnxruntime.InferenceSession, inputs: Iterable[GraphInput], output: str, table: Table) -> Any:  # noqa: ANN401 - the library is untyped
    (values,) = session.run([output], {node.name: node.read(table) for node in inputs})
    return _logistic(values) if output == MARGINS else within_limits(values)


def within_limits(values: Any) -> Any:  # noqa: ANN401 - an array of any type
    """Return probabilities without the rounding that moved sums of leaves beyond 0 or 1; leave other values."""
    if getattr(values, "dtype", np.dtype(bool)).kind != "f":
        return values
    limited = np.clip(values, 0.0, 1.0)
    return np.where(np.abs(values - limited) <= _ROUNDING, limited, values)


def _logistic(margins: Any) -> Any:  # noqa: ANN401 - arrays of any precision
    """Return the probabilities of both labels [n, 2] from the logits of the positive one [n, 1].

    onnxruntime's function computes the last rows of a batch in another way, which gives other bits.
    """
    smaller = np.exp(-np.abs(margins))
    both = np.where(np.hstack([margins <= 0, margins > 0]), 1.0, smaller)
    return both / (1.0 + smaller)


def session_options() -> onnxruntime.SessionOptions:
    """Return the options of all sessions: one thread, little memory, and no log."""
    options = onnxruntime.SessionOptions()
    # Several threads would add the trees of a model in parts, whose sums have other bits. Workers score in parallel.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    # The arena would never release the memory of the largest batch, and saves no measurable time.
    options.enable_cpu_mem_arena = False
    options.log_severity_level = _FATAL_ONLY
    return options
