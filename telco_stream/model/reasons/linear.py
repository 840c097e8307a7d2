"""Exact reasons of linear models: the graph of a logistic regression with the contribution of each feature.

The logit is a weighted sum of terms, each of which is a product of factors, and each factor depends on one feature. The
Shapley values of such a sum are again weighted sums of its terms, so that one matrix behind the terms computes them:
for a term with the features S, the value of a subset T is the product of the factors of T and the mean, over the rows
of the baseline, of the product of the others.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, combinations
from math import factorial
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import PolynomialFeatures

from telco_stream.contract.schema import Contract
from telco_stream.messages.codec import Codec
from telco_stream.model.features import Table, selected_positions
from telco_stream.model.reasons.baselines import Rows
from telco_stream.model.reasons.graph import BASELINE, CONTRIBUTIONS, base_key
from telco_stream.model.scorer import positive_position
from telco_stream.model.trees.columns import Column, Floats, UnknownColumn, feature_columns
from telco_stream.model.trees.ensemble import UnreadableModelError
from telco_stream.model.trees.sklearn_columns import transformed
from telco_stream.runtime.choices import BASELINES

#: A factor of a term: the position of a column, and its power.
Powers = tuple[tuple[int, int], ...]
_TERMS = 2_000


@dataclass(frozen=True, slots=True)
class _Terms:
    """Terms of a linear model as powers of columns, each of which depends on one feature."""

    columns: tuple[Column, ...]
    powers: tuple[Powers, ...]

    def feature(self, column: int) -> int:
        """Return the position of a column's feature in the order of the inputs."""
        known = self.columns[column]
        if isinstance(known, UnknownColumn):
            raise UnreadableModelError(known.reason)
        return known.feature


@dataclass(frozen=True, slots=True)
class LinearReasons:
    """Weights [terms, features], constants [features] and base of the contributions for each baseline."""

    weights: Floats
    constants: Floats
    bases: Floats


def is_logistic_regression(model: Any) -> bool:  # noqa: ANN401 - a fitted model of any type
    """Return whether the model is a pipeline that ends with a logistic regression."""
    return isinstance(model, Pipeline) and isinstance(model.steps[-1][1], LogisticRegression)


def linear_reasons(pipeline: Pipeline, codec: Codec, rows: Rows) -> LinearReasons:
    """Return the matrices that turn the terms of a fitted pipeline into contributions to the logit.

    Raise UnreadableModelError with the reason if the pipeline is not a logistic regression on terms that are products
    of single features.
    """
    columns, classifier = _parts(pipeline)
    terms = _read_terms(columns, codec)
    sign = 1.0 if positive_position(classifier.classes_, codec.contract.label) else -1.0
    coefficients, intercept = sign * classifier.coef_[0], sign * float(classifier.intercept_[0])
    if len(coefficients) != len(terms.powers):
        raise UnreadableModelError("its columns are not the terms of the regression")
    if len(coefficients) > _TERMS:
        raise UnreadableModelError(f"it has {len(coefficients)} terms, more than {_TERMS}")
    results = [_matrix(terms, coefficients, table, codec.contract) for table in rows.by_baseline()]
    weights, constants, bases = (np.array(parts) for parts in zip(*results, strict=True))
    return LinearReasons(weights, constants, bases + intercept)


def with_contributions(content: bytes, reasons: LinearReasons) -> bytes:
    """Return a compiled linear model with the output `contributions` and the input `baseline`, a position in BASELINES.

    Raise UnreadableModelError if the graph does not end in one linear classifier.
    """
    model = onnx.load_model_from_string(content)
    graph = model.graph
    classifiers = [node for node in graph.node if node.op_type == "LinearClassifier"]
    if len(classifiers) != 1:
        raise UnreadableModelError("its graph has no linear classifier")
    graph.initializer.extend(
        numpy_helper.from_array(array.astype(np.float32), name)
        for name, array in (("reasons_weights", reasons.weights), ("reasons_constants", reasons.constants))
    )
    graph.node.extend(
        [
            helper.make_node("Gather", ["reasons_weights", BASELINE], ["reasons_weight"], axis=0),
            helper.make_node("Gather", ["reasons_constants", BASELINE], ["reasons_constant"], axis=0),
            helper.make_node("Gemm", [classifiers[0].input[0], "reasons_weight", "reasons_constant"], [CONTRIBUTIONS]),
        ]
    )
    graph.input.append(helper.make_tensor_value_info(BASELINE, TensorProto.INT64, []))
    shape = [None, reasons.constants.shape[1]]
    graph.output.append(helper.make_tensor_value_info(CONTRIBUTIONS, TensorProto.FLOAT, shape))
    bases = {base_key(name): repr(float(base)) for name, base in zip(BASELINES, reasons.bases, strict=True)}
    helper.set_model_props(model, bases)
    return bytes(model.SerializeToString())


def _parts(pipeline: Any) -> tuple[ColumnTransformer, LogisticRegression]:  # noqa: ANN401 - a fitted model of any type
    steps = [step for _, step in pipeline.steps] if isinstance(pipeline, Pipeline) else []
    match steps:
        case [ColumnTransformer() as columns, LogisticRegression() as classifier]:
            return columns, classifier
    raise UnreadableModelError("it is not a ColumnTransformer and a LogisticRegression")


def _read_terms(step: ColumnTransformer, codec: Codec) -> _Terms:
    """Return the terms in the order of the transformer's output."""
    features = feature_columns(codec.events, step.feature_names_in_)
    columns: list[Column] = []
    powers: list[Powers] = []
    for name, part, _ in step.transformers_:
        selected = [features[position] for position in selected_positions(step, name)]
        if part == "drop" or not selected:
            continue
        before, polynomial = _split_polynomial(part)
        first = len(columns)
        columns += transformed(before, selected, codec.contract)
        if polynomial is None:
            powers += [((column, 1),) for column in range(first, len(columns))]
        else:
            powers += [
                tuple((first + column, int(power)) for column, power in enumerate(row) if power)
                for row in polynomial.powers_
            ]
    return _Terms(tuple(columns), tuple(powers))


def _split_polynomial(part: Any) -> tuple[Any, PolynomialFeatures | None]:  # noqa: ANN401 - a step of any type
    """Return what comes before a polynomial at the end of a transformer, and the polynomial."""
    if isinstance(part, PolynomialFeatures):
        return "passthrough", part
    if isinstance(part, Pipeline) and isinstance(part.steps[-1][1], PolynomialFeatures):
        before = part.steps[:-1]
        return (Pipeline(before) if before else "passthrough"), part.steps[-1][1]
    return part, None


def _matrix(terms: _Terms, coefficients: Floats, table: Table, contract: Contract) -> tuple[Floats, Floats, float]:
    """Return weights, constants and the mean of the logit without its intercept, for the rows of one baseline."""
    values = [_values(terms, column, table) for column in range(len(terms.columns))]
    positions = {powers: position for position, powers in enumerate(terms.powers)}
    weights = np.zeros((len(terms.powers), len(contract.features)))
    constants, base = np.zeros(len(contract.features)), 0.0
    for powers, coefficient in zip(terms.powers, coefficients, strict=True):
        features = sorted({terms.feature(column) for column, _ in powers})
        for subset in _subsets(features):
            kept = tuple(factor for factor in powers if terms.feature(factor[0]) in subset)
            mean = coefficient * _mean_product(values, [factor for factor in powers if factor not in kept])
            if not subset:
                base += mean
            row = constants if not subset else _row(weights, positions, kept)
            for feature in features:
                row[feature] += mean * _share(len(subset), len(features), is_in=feature in subset)
    return weights, constants, base


def _values(terms: _Terms, column: int, table: Table) -> Floats:
    known = terms.columns[column]
    if isinstance(known, UnknownColumn):
        raise UnreadableModelError(known.reason)
    return known.compute(table[:, known.feature])


def _row(weights: Floats, positions: Mapping[Powers, int], kept: Powers) -> Floats:
    if kept not in positions:
        raise UnreadableModelError("a product of its polynomial is a term, but a part of that product is not")
    row: Floats = weights[positions[kept]]
    return row


def _subsets(features: Sequence[int]) -> Iterator[tuple[int, ...]]:
    return chain.from_iterable(combinations(features, size) for size in range(len(features) + 1))


def _mean_product(values: Sequence[Floats], factors: Sequence[tuple[int, int]]) -> float:
    if not factors:
        return 1.0
    product: NDArray[np.float64] = np.prod([values[column] ** power for column, power in factors], axis=0)
    return float(product.mean())


def _share(chosen: int, features: int, *, is_in: bool) -> float:
    """Return the weight of a subset's value in the Shapley value of a feature: of its arrival, or of what precedes it.

    `chosen` is the size of the subset, `features` the number of features, and `is_in` says whether the subset has the
    feature.
    """
    before = chosen - 1 if is_in else chosen
    weight = factorial(before) * factorial(features - before - 1) / factorial(features)
    return weight if is_in else -weight
