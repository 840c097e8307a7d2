"""Inputs and outputs of ONNX graphs: which features a graph takes, and which output has its probabilities.

A graph of `conversion` or `trees.to_onnx` takes `numbers` and `codes`. Other graphs take an input for each column, as
those of skl2onnx for a `ColumnTransformer`, or all numbers of a contract without categories as one array.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from telco_stream.contract.schema import Category
from telco_stream.errors import ModelError
from telco_stream.messages.codec import Codec
from telco_stream.model.features import Table, category_texts, code_positions, number_positions

#: Node of a graph; onnxruntime is untyped.
Node = Any
#: Types of an input with numbers, single precision in models of earlier versions; and with codes.
_NUMBERS: dict[str, Any] = {"tensor(double)": np.float64, "tensor(float)": np.float32}
_CODES: dict[str, Any] = {"tensor(int64)": np.int64}
_TEXTS = "tensor(string)"
PROBABILITIES, MARGINS = "probabilities", "margins"
_LABELS = 2


@dataclass(frozen=True, slots=True)
class GraphInput:
    """Input of a graph, and the function that returns its array for a table of features."""

    name: str
    read: Callable[[Table], Any]


def graph_inputs(nodes: Iterable[Node], codec: Codec) -> tuple[GraphInput, ...]:
    """Return the inputs of a graph; raise ModelError if they are not features of the contract."""
    by_name = {node.name: node for node in nodes}
    contract = codec.contract
    arrays = {"numbers": number_positions(contract), "codes": code_positions(contract)}
    arrays = {name: positions for name, positions in arrays.items() if len(positions)}
    if by_name.keys() == arrays.keys():
        types = {"numbers": _NUMBERS, "codes": _CODES}
        return tuple(_array(by_name[name], positions, types[name]) for name, positions in arrays.items())
    features = {feature.name for feature in contract.features}
    if by_name and by_name.keys() <= features:
        return tuple(_column(node, codec) for node in by_name.values())
    if len(by_name) == 1 and not contract.categories and not by_name.keys() & arrays.keys():
        return tuple(_array(node, arrays["numbers"], _NUMBERS) for node in by_name.values())
    if len(unknown := by_name.keys() - features) < len(by_name):
        raise ModelError(f"it reads columns that the contract does not have: {_listed(unknown)}")
    raise ModelError(f"its inputs are {_listed(by_name)}, not {_listed(arrays)}, nor columns of the contract")


def probability_output(nodes: Iterable[Node]) -> str:
    """Return the name of the output to use; raise ModelError if the graph has no array of probabilities."""
    outputs: dict[str, Node] = {node.name: node for node in nodes}
    for name in (PROBABILITIES, MARGINS):
        if name in outputs and not outputs[name].type.startswith("seq"):
            return name
    for name, node in outputs.items():
        if node.type in _NUMBERS and len(node.shape) == _LABELS and node.shape[1] == _LABELS:
            return name
    if any(node.type.startswith("seq(map") for node in outputs.values()):
        raise ModelError("its probabilities are a dictionary for each row: convert it with the option zipmap=False")
    raise ModelError(f"its outputs are {_listed(outputs)}, without {PROBABILITIES} or {MARGINS}")


def _array(node: Node, positions: NDArray[np.intp], types: Mapping[str, Any]) -> GraphInput:
    """Return an input that takes several columns, as numbers or codes."""
    _check(node, types, len(positions))
    dtype = types[node.type]
    # `take` returns rows that are contiguous in memory; onnxruntime would copy those of an indexed table.
    return GraphInput(node.name, lambda table: table.take(positions, axis=1).astype(dtype, copy=False))


def _column(node: Node, codec: Codec) -> GraphInput:
    """Return an input that takes one column: a number, or a category as texts."""
    names = [feature.name for feature in codec.contract.features]
    position = names.index(node.name)
    feature = codec.contract.features[position]
    if not isinstance(feature, Category):
        return _array(node, np.array([position]), _NUMBERS | _CODES)
    _check(node, {_TEXTS: object}, 1)
    if feature.nullable:
        raise ModelError(f"its input {node.name} takes texts, which can't be null, but it can be null in the contract")
    texts = np.array(category_texts(codec.events, feature), object)
    return GraphInput(node.name, lambda table: texts[table[:, [position]].astype(np.intp)])


def _check(node: Node, types: Mapping[str, Any], width: int) -> None:
    has_free_rows = len(node.shape) == 2 and not isinstance(node.shape[0], int)  # noqa: PLR2004 - rows, columns
    if node.type not in types or not has_free_rows or (isinstance(node.shape[1], int) and node.shape[1] != width):
        kind = next(iter(types))
        raise ModelError(f"its input {node.name} is {node.type} {node.shape}, not {kind} [n, {width}]")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"
