"""The ONNX engine: the compiled pipeline, without pandas, scikit-learn or unpickling."""

from collections.abc import Sequence
from dataclasses import dataclass

import onnxruntime
from onnxruntime.capi.onnxruntime_pybind11_state import (
    Fail,
    InvalidArgument,
    InvalidGraph,
    InvalidProtobuf,
    NotImplemented,  # noqa: A004 - the library's name for an operator that it lacks
    RuntimeException,
)

from telco_stream.contracts.customer import Customer
from telco_stream.contracts.scoring import ScoringError
from telco_stream.errors import ModelError
from telco_stream.model.columns import code_columns, number_columns

#: What the arrays' making raises on values outside the contract, and what the session does.
_BAD_DATA = (KeyError, TypeError, ValueError, OverflowError, Fail, InvalidArgument, RuntimeException)
_UNLOADABLE = (Fail, InvalidArgument, InvalidGraph, InvalidProtobuf, NotImplemented, RuntimeException)
#: onnxruntime's levels start at 0, the most talkative; this one is "error".
_ERRORS_ONLY = 3


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
            columns = {"numbers": number_columns(customers), "codes": code_columns(customers)}
            (probabilities,) = self.session.run(["probabilities"], columns)
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
    return OnnxScorer(version, threshold, session)


def _options(threads: int) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # The arena keeps the largest batch's memory for good, and saves no measurable time here.
    options.enable_cpu_mem_arena = False
    options.log_severity_level = _ERRORS_ONLY
    return options
