"""ONNX engine: runs the compiled pipeline without pandas, scikit-learn or unpickling.

The pipeline takes customers as two arrays: numbers, and codes of categories. A code is the category's position in the
contract. Columns are encoded in groups: looking up a tuple of five values takes less time than five look-ups
(`docs/performance.md`).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, product
from operator import attrgetter
from typing import Any, TypeAlias

import numpy as np
import onnxruntime
from numpy.typing import NDArray
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
from telco_stream.model.manifest import RETRAIN
from telco_stream.model.scorer import ScoringError, check_probabilities

#: Exceptions of the encoding and of the session for values outside the contract.
_BAD_DATA = (KeyError, TypeError, ValueError, OverflowError, Fail, InvalidArgument, RuntimeException)
_UNLOADABLE = (Fail, InvalidArgument, InvalidGraph, InvalidProtobuf, NotImplemented, RuntimeException)
#: Log level "fatal" of onnxruntime; errors are raised and need not be logged.
_FATAL_ONLY = 4
#: Type and width of each input of a graph, and the name of its output.
_INPUTS = {"numbers": ("tensor(float)", len(NUMBERS)), "codes": ("tensor(int64)", len(CATEGORIES))}
_OUTPUT = "probabilities"
#: Columns of the numbers, followed by the columns of the codes.
ORDER = (*NUMBERS, *CATEGORIES)
#: Columns per group. Tables for five have at most 243 rows; tables for eight would save 50 ns per customer with 3,240.
_GROUP_SIZE = 5
_numbers_of = attrgetter(*NUMBERS)

Floats: TypeAlias = NDArray[np.float32]
Codes: TypeAlias = NDArray[np.int64]


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
            raise ScoringError(f"onnx: {type(error).__name__}", error) from error
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


def number_columns(customers: Sequence[Customer]) -> Floats:
    """Return the numbers as [customers, 4], NaN for a blank TotalCharges."""
    flat = chain.from_iterable(map(_numbers_of, customers))
    return np.fromiter(flat, np.float32, len(customers) * len(NUMBERS)).reshape(-1, len(NUMBERS))


def code_columns(customers: Sequence[Customer]) -> Codes:
    """Return the codes of the categories as [customers, 15]; raise KeyError for a value outside the contract."""
    return np.hstack([group.codes(customers) for group in _GROUPS])


def _run(session: onnxruntime.InferenceSession, customers: Sequence[Customer]) -> Any:  # noqa: ANN401 - the library is untyped
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


class _CodeGroup:
    """Encoder of several columns: reads their values, finds the row for the combination, and takes its codes."""

    def __init__(self, columns: Sequence[str]) -> None:
        codes: Any = list(product(*(range(len(CATEGORIES[name])) for name in columns)))
        self._values_of = attrgetter(*columns)
        self._rows = {values: row for row, values in enumerate(product(*(CATEGORIES[name] for name in columns)))}
        self._table: Codes = np.array(codes, np.int64)

    def codes(self, customers: Sequence[Customer]) -> Codes:
        rows = map(self._rows.__getitem__, map(self._values_of, customers))
        return self._table[np.fromiter(rows, np.intp, len(customers))]


_CATEGORY_COLUMNS = tuple(CATEGORIES)
_GROUPS = [
    _CodeGroup(_CATEGORY_COLUMNS[start : start + _GROUP_SIZE])
    for start in range(0, len(_CATEGORY_COLUMNS), _GROUP_SIZE)
]
