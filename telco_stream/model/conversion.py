"""Conversion of a fitted pipeline to an ONNX graph."""

from copy import deepcopy
from typing import Any

import numpy as np
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, Int64TensorType
from skl2onnx.helpers.onnx_helper import select_model_inputs_outputs
from sklearn.pipeline import Pipeline

from telco_stream.contract.customer import CATEGORIES, NUMBERS
from telco_stream.model.encoding import ORDER

#: ONNX operator sets, old enough for every supported version of onnxruntime.
_OPERATORS = {"": 18, "ai.onnx.ml": 3}
_INPUTS = [("numbers", FloatTensorType([None, len(NUMBERS)])), ("codes", Int64TensorType([None, len(CATEGORIES)]))]


def convert(pipeline: Pipeline) -> bytes:
    """Convert the whole pipeline, from `number_columns` and `code_columns` to the two probabilities.

    Raise RuntimeError or ValueError if skl2onnx cannot convert it.
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
    graph.opset_import.sort(key=lambda operators: operators.domain)  # skl2onnx takes them from a set, in random order
    content: bytes = graph.SerializeToString()
    return content


def _with_codes(pipeline: Pipeline) -> Pipeline:
    """Return a copy that takes arrays instead of a data frame, and codes instead of strings, which are slow to copy."""
    coded = deepcopy(pipeline)
    columns, encoder = _find_steps(coded)
    encoder.categories_ = [np.arange(len(values)) for values in encoder.categories_]
    columns.transformers_ = [
        (name, step, [ORDER.index(column) for column in names])
        for name, step, names in columns.transformers_
        if name != "remainder"
    ]
    return coded


def _find_steps(pipeline: Pipeline) -> tuple[Any, Any]:
    """Return the step that transforms the columns, and the encoder of the categories in it."""
    columns = pipeline.named_steps.get("columns")
    encoder = getattr(columns, "named_transformers_", {}).get("categories")
    if not hasattr(encoder, "categories_"):
        raise NotImplementedError('it has no step "columns" with an encoder named "categories"')
    return columns, encoder
