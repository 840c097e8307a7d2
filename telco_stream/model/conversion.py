"""Conversion of a fitted pipeline to an ONNX graph."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any, TypeAlias

import numpy as np
from onnx import ModelProto, TensorProto, helper
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, Int64TensorType
from skl2onnx.helpers.onnx_helper import select_model_inputs_outputs
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline

from telco_stream.messages.codec import Codec
from telco_stream.model.features import category_codes, input_order, selected_names
from telco_stream.model.trees.ensemble import UnreadableModelError
from telco_stream.model.trees.from_sklearn import read_sklearn
from telco_stream.model.trees.to_onnx import write_onnx

#: ONNX operator sets, old enough for every supported version of onnxruntime.
_OPERATORS = {"": 18, "ai.onnx.ml": 3}

#: Code of each value of a category, None for null.
Codes: TypeAlias = Mapping[str | None, int]


def convert(pipeline: Pipeline, codec: Codec) -> bytes:
    """Convert the whole pipeline, from the arrays of numbers and codes to the answers that `onnx_engine` takes.

    Trees are exported exactly, other pipelines by skl2onnx. Raise RuntimeError or ValueError if that fails.
    """
    try:
        return write_onnx(read_sklearn(pipeline, codec), codec.contract)
    except UnreadableModelError:
        return convert_with_skl2onnx(pipeline, codec)


def convert_with_skl2onnx(pipeline: Pipeline, codec: Codec) -> bytes:
    """Convert a pipeline by skl2onnx, which compares numbers with the splits of trees in single precision."""
    contract = codec.contract
    coded = _with_codes(pipeline, codec)
    inputs = {
        "numbers": FloatTensorType([None, len(contract.numbers)]),
        "codes": Int64TensorType([None, len(contract.categories)]),
    }
    graph = to_onnx(
        coded,
        name=contract.name,
        initial_types=[(name, kind) for name, kind in inputs.items() if kind.shape[1]],
        options={id(coded): {"zipmap": False}},
        target_opset=_OPERATORS,
    )
    graph = select_model_inputs_outputs(graph, ["probabilities"])
    graph.opset_import.sort(key=lambda operators: operators.domain)  # skl2onnx takes them from a set, in random order
    _read_doubles(graph)
    content: bytes = graph.SerializeToString()
    return content


def _read_doubles(model: ModelProto) -> None:
    """Let the graph take its numbers in double precision, and cast them itself."""
    for node in model.graph.input:
        if node.name == "numbers":
            node.type.tensor_type.elem_type = TensorProto.DOUBLE
            for step in model.graph.node:
                step.input[:] = ["single" if name == "numbers" else name for name in step.input]
            model.graph.node.insert(0, helper.make_node("Cast", ["numbers"], ["single"], to=TensorProto.FLOAT))


def _with_codes(pipeline: Pipeline, codec: Codec) -> Pipeline:
    """Return a copy that takes arrays instead of a data frame, and codes instead of texts, which are slow to copy."""
    coded = deepcopy(pipeline)
    if hasattr(coded.steps[-1][1], "flatten_transform"):  # of voters; skl2onnx needs False, probabilities do not use it
        coded.steps[-1][1].flatten_transform = False
    columns = coded.steps[0][1]
    if not isinstance(columns, ColumnTransformer):
        raise NotImplementedError("its first step is not a ColumnTransformer")
    order, codes = input_order(codec.contract), category_codes(codec.events)
    transformers = []
    for name, step, selected in columns.transformers_:
        if step == "drop" or not len(selected):
            continue
        names = selected_names(columns, name)
        if any(column in codes for column in names):
            _encode_categories(name, step, names, codes)
        transformers.append((name, step, [order.index(column) for column in names]))
    columns.transformers_ = transformers
    return coded


def _encode_categories(name: str, step: Any, columns: Sequence[str], codes: Mapping[str, Codes]) -> None:  # noqa: ANN401
    """Replace the texts that the encoder of this step was fitted to by their codes."""
    if not all(column in codes for column in columns):
        raise NotImplementedError(f"its step {name} reads numbers and categories")
    first = step.steps[0][1] if isinstance(step, Pipeline) else step
    if not hasattr(first, "categories_"):
        raise NotImplementedError(f"its step {name} reads categories without an encoder")
    first.categories_ = [
        np.array([codes[column][None if text != text else text] for text in texts], np.int64)  # noqa: PLR0124 - NaN
        for column, texts in zip(columns, first.categories_, strict=True)
    ]
