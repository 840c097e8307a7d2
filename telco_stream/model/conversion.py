"""The fitted pipeline as an ONNX graph."""

from copy import deepcopy
from typing import Any

import numpy as np
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, Int64TensorType
from skl2onnx.helpers.onnx_helper import select_model_inputs_outputs
from sklearn.pipeline import Pipeline

from telco_stream.contract.customer import CATEGORIES, NUMBERS
from telco_stream.model.encoding import ORDER

#: Versions of ONNX's operators, old enough for every onnxruntime that the package accepts.
_OPERATORS = {"": 18, "ai.onnx.ml": 3}
_INPUTS = [("numbers", FloatTensorType([None, len(NUMBERS)])), ("codes", Int64TensorType([None, len(CATEGORIES)]))]


def convert(pipeline: Pipeline) -> bytes:
    """The whole pipeline, from `number_columns` and `code_columns` to the two probabilities.

    Raises RuntimeError for a pipeline that it can't compile, as skl2onnx does.
    """
    coded = _with_codes(pipeline)
    graph = to_onnx(
        coded,
        name="churn",
        initial_types=_INPUTS,
        options={id(coded): {"zipmap": False}},
        target_opset=_OPERATORS,
    )
    graph = select_model_inputs_outputs(graph, ["probabilities"])
    graph.opset_import.sort(key=lambda operators: operators.domain)  # they come from a set, in any order
    content: bytes = graph.SerializeToString()
    return content


def _with_codes(pipeline: Pipeline) -> Pipeline:
    """A copy that reads arrays instead of a frame, and codes instead of texts: onnxruntime would copy each text."""
    coded = deepcopy(pipeline)
    columns, encoder = _named_parts(coded)
    encoder.categories_ = [np.arange(len(values)) for values in encoder.categories_]
    columns.transformers_ = [
        (name, step, [ORDER.index(column) for column in names])
        for name, step, names in columns.transformers_
        if name != "remainder"
    ]
    return coded


def _named_parts(pipeline: Pipeline) -> tuple[Any, Any]:
    """The transformer of the columns, and in it the encoder of the categories."""
    columns = pipeline.named_steps.get("columns")
    encoder = getattr(columns, "named_transformers_", {}).get("categories")
    if not hasattr(encoder, "categories_"):
        raise NotImplementedError('it has no step "columns" with an encoder named "categories"')
    return columns, encoder
