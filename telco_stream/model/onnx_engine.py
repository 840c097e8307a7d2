"""ONNX engine: runs the compiled pipeline without pandas, scikit-learn or unpickling."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import onnxruntime
from onnxruntime.capi.onnxruntime_pybind11_state import (
    Fail,
    InvalidArgument,
    InvalidGraph,
    InvalidProtobuf,
    NotImplemented,  # noqa: A004 - the library's error for an operator that it lacks
    RuntimeException,
)

from telco_stream.contract.customer import CATEGORIES, NUMBERS, Customer
from telco_stream.errors import ModelError
from telco_stream.model.encoding import code_columns, number_columns
from telco_stream.model.interface import check_probabilities
from telco_stream.model.manifest import RETRAIN
from telco_stream.model.scorer import ScoringError

#: Exceptions of the encoding and of the session for values outside the contract.
_BAD_DATA = (KeyError, TypeError, ValueError, OverflowError, Fail, InvalidArgument, RuntimeException)
_UNLOADABLE = (Fail, InvalidArgument, InvalidGraph, InvalidProtobuf, NotImplemented, RuntimeException)
#: Log level "fatal" of onnxruntime; errors are raised and need not be logged.
_FATAL_ONLY = 4
#: Type and width of each input of a graph, and the name of its output.
_INPUTS = {"numbers": ("tensor(float)", len(NUMBERS)), "codes": ("tensor(int64)", len(CATEGORIES))}
_OUTPUT = "probabilities"


@dataclass(frozen=True, slots=True)
class OnnxScorer:
    """Scorer that runs a compiled pipeline."""

    version: str
    threshold: float
    session: onnxruntime.InferenceSession
    engine: str = "onnx"

    def score(self, customers: Sequence[Customer]) -> list[float]:
        """Return the churn probability of each customer, in their order; raise ScoringError if the model fails."""
        try:
            probabilities = _run(self.session, customers)
        except _BAD_DATA as error:
            raise ScoringError(f"onnx: {type(error).__name__}") from error
        scores: list[float] = probabilities[:, 1].tolist()
        return scores


def load_onnx(model: bytes, *, version: str, threshold: float, threads: int = 1) -> OnnxScorer:
    """Create the scorer from the verified bytes of an ONNX file; raise ModelError if onnxruntime cannot run it."""
    try:
        session = onnxruntime.InferenceSession(model, _options(threads), providers=["CPUExecutionProvider"])
    except _UNLOADABLE as error:
        raise ModelError(
            f"onnxruntime {onnxruntime.__version__} can't load the compiled model ({type(error).__name__}): "
            "install a newer one, or use --engine sklearn"
        ) from error
    try:
        _check_interface(session)
        check_probabilities(lambda customers: _run(session, customers))
    except ModelError as error:
        raise ModelError(f"The compiled model can't be used: {error}; {RETRAIN}") from error
    return OnnxScorer(version, threshold, session)


def _run(session: onnxruntime.InferenceSession, customers: Sequence[Customer]) -> Any:  # noqa: ANN401 - the library has no types
    (probabilities,) = session.run([_OUTPUT], {"numbers": number_columns(customers), "codes": code_columns(customers)})
    return probabilities


def _check_interface(session: onnxruntime.InferenceSession) -> None:
    """Raise ModelError if inputs or outputs differ in name, type or shape from the graphs of `convert`."""
    inputs = {node.name: node for node in session.get_inputs()}
    if inputs.keys() != _INPUTS.keys():
        raise ModelError(f"its inputs are {_listed(inputs)}, not {_listed(_INPUTS)}")
    for name, (kind, width) in _INPUTS.items():
        node = inputs[name]
        has_free_rows = len(node.shape) == 2 and not isinstance(node.shape[0], int)  # noqa: PLR2004 - rows, columns
        if node.type != kind or not has_free_rows or node.shape[1] not in {width, None}:
            raise ModelError(f"its input {name} is {node.type} {node.shape}, not {kind} [n, {width}]")
    outputs = {node.name: node for node in session.get_outputs()}
    if _OUTPUT not in outputs:
        raise ModelError(f"its outputs are {_listed(outputs)}, without {_OUTPUT}")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def _options(threads: int) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # The arena would never release the memory of the largest batch, and saves no measurable time.
    options.enable_cpu_mem_arena = False
    options.log_severity_level = _FATAL_ONLY
    return options
