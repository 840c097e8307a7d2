"""The ONNX engine: the compiled pipeline, without pandas, scikit-learn or unpickling."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import onnxruntime
from onnxruntime.capi.onnxruntime_pybind11_state import (
    Fail,
    InvalidArgument,
    InvalidGraph,
    InvalidProtobuf,
    NotImplemented,  # noqa: A004 - the library's name for an operator that it lacks
    RuntimeException,
)

from telco_stream.contract.customer import CATEGORIES, NUMBERS, Customer
from telco_stream.errors import ModelError
from telco_stream.model.encoding import code_columns, number_columns
from telco_stream.model.interface import check_probabilities
from telco_stream.model.scorer import ScoringError

#: What the arrays' making raises on values outside the contract, and what the session does.
_BAD_DATA = (KeyError, TypeError, ValueError, OverflowError, Fail, InvalidArgument, RuntimeException)
_UNLOADABLE = (Fail, InvalidArgument, InvalidGraph, InvalidProtobuf, NotImplemented, RuntimeException)
#: onnxruntime's levels start at 0, the most talkative; this one is "fatal": errors are raised too.
_FATAL_ONLY = 4
#: Type and width of each input of a graph, and the name of the output that is read.
_INPUTS = {"numbers": ("tensor(float)", len(NUMBERS)), "codes": ("tensor(int64)", len(CATEGORIES))}
_OUTPUT = "probabilities"


@dataclass(frozen=True, slots=True)
class OnnxScorer:
    """A compiled model, ready to score."""

    version: str
    threshold: float
    session: onnxruntime.InferenceSession
    engine: str = "onnx"

    def score(self, customers: Sequence[Customer]) -> list[float]:
        """The probability of churn of each customer, in their order; raises `ScoringError`."""
        try:
            probabilities = _run(self.session, customers)
        except _BAD_DATA as error:
            raise ScoringError(f"onnx: {type(error).__name__}") from error
        scores: list[float] = probabilities[:, 1].tolist()
        return scores


def load_onnx(model: bytes, *, version: str, threshold: float, threads: int = 1) -> OnnxScorer:
    """The scorer in an ONNX file's verified bytes; raises ModelError where this onnxruntime can't run it."""
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
        raise ModelError(f"The compiled model can't be used: {error}; make one with telco-stream train") from error
    return OnnxScorer(version, threshold, session)


def _run(session: onnxruntime.InferenceSession, customers: Sequence[Customer]) -> Any:  # noqa: ANN401 - as the library
    (probabilities,) = session.run([_OUTPUT], {"numbers": number_columns(customers), "codes": code_columns(customers)})
    return probabilities


def _check_interface(session: onnxruntime.InferenceSession) -> None:
    """Raises ModelError for other names, types or shapes than `convert` gives a graph."""
    inputs = {node.name: node for node in session.get_inputs()}
    if inputs.keys() != _INPUTS.keys():
        raise ModelError(f"its inputs are {_listed(inputs)}, not {_listed(_INPUTS)}")
    for name, (kind, width) in _INPUTS.items():
        node = inputs[name]
        takes_any_number = len(node.shape) == 2 and not isinstance(node.shape[0], int)  # noqa: PLR2004 - rows, columns
        if node.type != kind or not takes_any_number or node.shape[1] not in {width, None}:
            raise ModelError(f"its input {name} is {node.type} {node.shape}, not {kind} [n, {width}]")
    outputs = {node.name: node for node in session.get_outputs()}
    if _OUTPUT not in outputs:
        raise ModelError(f"its outputs are {_listed(outputs)}: {_OUTPUT} needed")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def _options(threads: int) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # The arena keeps the largest batch's memory for good, and saves no measurable time here.
    options.enable_cpu_mem_arena = False
    options.log_severity_level = _FATAL_ONLY
    return options
