"""Contributions of a linear model, from the graph that `linear` has written."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidArgument, RuntimeException

from telco_stream.contract.events import Event, EventBatch
from telco_stream.errors import ModelError
from telco_stream.messages.codec import Codec
from telco_stream.model.features import feature_table
from telco_stream.model.onnx_engine import UNLOADABLE, padded, session_options, within_limits
from telco_stream.model.onnx_inputs import PROBABILITIES, GraphInput, graph_inputs
from telco_stream.model.reasons.explainer import Contributions, Explainer
from telco_stream.model.scorer import ScoringError
from telco_stream.runtime.choices import BASELINES, Baseline

#: Input and output that the graph has beside those of the compiled model.
BASELINE, CONTRIBUTIONS = "baseline", "contributions"
#: Digits after the decimal point of a contribution in a message; single precision has no more.
_DIGITS = 7


def base_key(baseline: Baseline) -> str:
    """Return the name of a baseline's mean logit in the metadata of the graph."""
    return f"base.{baseline}"


def load_graph(content: bytes, codec: Codec, baseline: Baseline) -> Explainer:
    """Return the contributions of a graph; raise ModelError if onnxruntime cannot run it or it has none."""
    try:
        session = onnxruntime.InferenceSession(content, session_options(), providers=["CPUExecutionProvider"])
        base = float(session.get_modelmeta().custom_metadata_map[base_key(baseline)])
    except (*UNLOADABLE, KeyError, ValueError) as error:
        raise ModelError(f"The graph of the reasons can't be loaded ({type(error).__name__})") from error
    inputs = graph_inputs([node for node in session.get_inputs() if node.name != BASELINE], codec)
    runs = _Runs(session, inputs, np.array(BASELINES.index(baseline), np.int64), codec)
    return Explainer(codec, base, runs.contributions, runs.probabilities, _DIGITS)


class _Runs:
    """Runs of a graph that computes probabilities and contributions together; remembers those of the newest events."""

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        inputs: tuple[GraphInput, ...],
        baseline: NDArray[np.int64],
        codec: Codec,
    ) -> None:
        self._session = session
        self._inputs = inputs
        self._baseline = baseline
        self._codec = codec
        self._newest: tuple[Sequence[Event], Any, Contributions] | None = None

    def contributions(self, events: Sequence[Event]) -> Contributions:
        """Return the contributions [events, features], in the order of the inputs."""
        return self._run(events)[1]

    def probabilities(self, events: Sequence[Event]) -> Any:  # noqa: ANN401 - the library is untyped
        """Return the probabilities of both labels [events, 2]."""
        return self._run(events)[0]

    def _run(self, events: Sequence[Event]) -> tuple[Any, Contributions]:
        newest, self._newest = self._newest, None
        if newest is not None and newest[0] is events:
            return newest[1:]
        rows = padded(feature_table(self._codec.events, events))
        arrays = {node.name: node.read(rows) for node in self._inputs} | {BASELINE: self._baseline}
        try:
            probabilities, contributions = self._session.run([PROBABILITIES, CONTRIBUTIONS], arrays)
        except (Fail, InvalidArgument, RuntimeException) as error:
            raise ScoringError(f"onnx: {type(error).__name__}", error) from error
        found = within_limits(probabilities[: len(events)]), contributions[: len(events)]
        self._newest = (events, *found) if isinstance(events, EventBatch) else None
        return found
