"""Conversion of a fitted pipeline to an ONNX graph, and the comparison of both on the same customers."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from math import isnan, nan
from random import Random
from textwrap import shorten
from typing import Any

import numpy as np
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, Int64TensorType
from skl2onnx.helpers.onnx_helper import select_model_inputs_outputs
from sklearn.pipeline import Pipeline

from telco_stream.contract.customer import CATEGORIES, NUMBERS, Customer
from telco_stream.errors import ModelError
from telco_stream.model.artifact import ONNX
from telco_stream.model.manifest import SCHEMA, Feature, Parity
from telco_stream.model.onnx_engine import ORDER, load_onnx
from telco_stream.model.scorer import Scorer, ScoringError, make_customer
from telco_stream.model.sklearn_engine import SklearnScorer

#: ONNX operator sets, old enough for every supported version of onnxruntime.
_OPERATORS = {"": 18, "ai.onnx.ml": 3}
_INPUTS = [("numbers", FloatTensorType([None, len(NUMBERS)])), ("codes", Int64TensorType([None, len(CATEGORIES)]))]
#: Largest allowed difference of two probabilities.
TOLERANCE = 1e-6
EDGE_CUSTOMERS = 10_000
_MAY_BE_BLANK = "TotalCharges"
#: Distances from an edge: none, a cent and 1 on either side.
_STEPS = (0, -0.01, 0.01, -1, 1)


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


def compile_if_equal(
    pipeline: Pipeline,
    threshold: float,
    customers: Sequence[Customer],
    *,
    seed: int,
    convert: Callable[[Pipeline], bytes] = convert,
) -> tuple[dict[str, bytes], Parity]:
    """Convert the pipeline to ONNX and compare both on these customers and on edge cases.

    Return the ONNX file, or no file if it cannot be built or differs, and the comparison.
    """
    try:
        content = convert(pipeline)
        compiled = load_onnx(content, version="", threshold=threshold)
    except (RuntimeError, ValueError, ModelError) as error:  # of the converter, and of onnxruntime
        first_line = str(error).partition("\n")[0]  # the converter may append a whole tree
        return {}, Parity(refused=f"it can't be compiled: {shorten(first_line, 200)}")
    test_customers = [*customers, *edge_customers(customers, seed=seed)]
    try:
        parity = compare(SklearnScorer("", threshold, pipeline), compiled, test_customers)
    except ScoringError as error:
        return {}, Parity(refused=f"it fails on some customers: {error}")
    return ({} if parity.refused else {ONNX: content}), parity


def compare(original: Scorer, compiled: Scorer, customers: Sequence[Customer]) -> Parity:
    """Return the largest difference, and the reason if the compiled pipeline must not be used.

    A difference within the tolerance changes a decision only if the probability is that close to the threshold.
    """
    expected, actual = np.array(original.score(customers)), np.array(compiled.score(customers))
    largest = float(np.abs(expected - actual).max())
    differing = int(((expected >= original.threshold) != (actual >= compiled.threshold)).sum())
    if np.isnan(largest):
        return Parity(len(expected), None, differing, "some of its answers are not numbers")
    refused = f"it differs from the original by up to {largest:.1e}, {TOLERANCE:.0e} is allowed"
    return Parity(len(expected), largest, differing, refused if largest > TOLERANCE else None)


def edge_customers(trained_on: Sequence[Customer], *, seed: int) -> list[Customer]:
    """Draw 10,000 customers with numbers at and just beyond the limits of the contract and of the training data."""
    random = Random(seed)  # noqa: S311 - not used for cryptography
    choices = {feature.name: _choices(feature, trained_on) for feature in SCHEMA}
    return [
        make_customer({name: random.choice(values) for name, values in choices.items()}) for _ in range(EDGE_CUSTOMERS)
    ]


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


def _choices(feature: Feature, trained_on: Sequence[Customer]) -> list[Any]:
    if feature.kind == "category":
        return list(feature.categories)
    trained = [value for customer in trained_on if not isnan(value := getattr(customer, feature.name))]
    edges = [edge for edge in (feature.minimum, feature.maximum, min(trained), max(trained)) if edge is not None]
    blank = [nan] * len(_STEPS) if feature.name == _MAY_BE_BLANK else []
    return [edge + step for edge in edges for step in _STEPS] + blank
