"""Exact conversion of gradient-boosted trees to an ONNX graph, and the numbers at which a model of trees splits.

skl2onnx compares numbers and thresholds in single precision, in which a number close to a threshold can take the other
branch. This graph compares in double precision, and tests the codes of categories instead of one-hot columns.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder

from telco_stream.contract.schema import Contract
from telco_stream.messages.codec import Codec
from telco_stream.model.features import category_texts

#: Version of the format that onnxruntime 1.20 reads.
_IR_VERSION = 8


@dataclass(frozen=True, slots=True)
class _Source:
    """Feature that a column of the trees is, and the code that it tests for, if it is one-hot."""

    position: int
    code: int | None = None


#: A column that an imputer has filled; if it was constant in training, no tree splits at it.
_CONSTANT = _Source(-1)


def convert_boosted(pipeline: Pipeline, codec: Codec, operators: dict[str, int]) -> ModelProto | None:
    """Convert boosted trees on plain numbers and one-hot categories; return None for any other pipeline."""
    classifier = pipeline.steps[-1][1]
    if len(pipeline.steps) != 2 or not isinstance(classifier, HistGradientBoostingClassifier):  # noqa: PLR2004
        return None
    sources = _sources(pipeline.steps[0][1], codec)
    if sources is None or classifier.is_categorical_ is not None or classifier.n_trees_per_iteration_ != 1:
        return None
    if any(sources[column] is _CONSTANT for column, _ in _splits(classifier)):
        return None
    contract = codec.contract
    graph = helper.make_graph(
        [*_inputs(contract), _ensemble(classifier, sources)],
        contract.name,
        [helper.make_tensor_value_info(name, kind, [None, width]) for name, kind, width in _arrays(contract)],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, 2])],
    )
    opsets = [helper.make_opsetid(domain, version) for domain, version in operators.items()]
    return helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION, producer_name="telco-stream")


def split_values(pipeline: Pipeline) -> dict[str, NDArray[np.float64]]:
    """Return the numbers at which the trees of a fitted model split, by feature; none for other models.

    Splits of columns that were computed from several features, or in another way than by scaling, are left out.
    """
    found: dict[str, NDArray[np.float64]] = {}
    columns = pipeline.steps[0][1]
    if not isinstance(columns, ColumnTransformer) or len(pipeline.steps) != 2:  # noqa: PLR2004
        return found
    splits = np.array(list(_splits(pipeline.steps[-1][1])), np.float64).reshape(-1, 2)
    splits = splits[np.isfinite(splits[:, 1])]
    for name, step, selected in columns.transformers_:
        span = columns.output_indices_[name]
        if step == "drop" or span.stop - span.start != len(selected):
            continue
        for position, feature in enumerate(columns.feature_names_in_[_positions(columns, selected)]):
            values = np.unique(splits[splits[:, 0] == span.start + position, 1])
            if len(values) and len(inputs := _unscaled(step, position, len(selected), values)):
                found[feature] = inputs
    return found


def _sources(columns: Any, codec: Codec) -> list[_Source] | None:  # noqa: ANN401 - a step of any type
    """Return what each column of the trees is computed from, or None if a step does more than select and encode."""
    if not isinstance(columns, ColumnTransformer):
        return None
    order = [feature.name for feature in (*codec.contract.numbers, *codec.contract.categories)]
    texts = {category.name: category_texts(codec.events, category) for category in codec.contract.categories}
    sources: list[_Source] = []
    for _, step, selected in columns.transformers_:
        names = columns.feature_names_in_[_positions(columns, selected)]
        if _is_passthrough(step) and not any(name in texts for name in names):
            sources += [_Source(order.index(name)) for name in names]
        elif isinstance(step, OneHotEncoder) and step.drop_idx_ is None and all(name in texts for name in names):
            for name, values in zip(names, step.categories_, strict=True):
                sources += [_Source(order.index(name), texts[name].index(value)) for value in values]
        elif isinstance(step, SimpleImputer) and step.strategy == "constant" and not step.add_indicator:
            sources += [_CONSTANT] * len(names)
        elif step != "drop":
            return None
    return sources


def _is_passthrough(step: Any) -> bool:  # noqa: ANN401 - a step of any type
    """Return whether columns pass unchanged; a fitted `ColumnTransformer` has replaced the word by a transformer."""
    return step == "passthrough" or (isinstance(step, FunctionTransformer) and step.func is None)


def _positions(columns: ColumnTransformer, selected: Sequence[Any]) -> list[int]:
    names = list(columns.feature_names_in_)
    return [names.index(key) if isinstance(key, str) else int(key) for key in selected]


def _arrays(contract: Contract) -> Iterator[tuple[str, int, int]]:
    if contract.numbers:
        yield "numbers", TensorProto.DOUBLE, len(contract.numbers)
    if contract.categories:
        yield "codes", TensorProto.INT64, len(contract.categories)


def _inputs(contract: Contract) -> Iterator[NodeProto]:
    """Yield the nodes that put numbers and codes side by side."""
    parts = []
    for name, kind, _ in _arrays(contract):
        parts.append(name if kind == TensorProto.DOUBLE else f"{name}_double")
        if kind != TensorProto.DOUBLE:
            yield helper.make_node("Cast", [name], [parts[-1]], to=TensorProto.DOUBLE)
    yield helper.make_node("Concat", parts, ["features"], axis=1)


def _ensemble(classifier: HistGradientBoostingClassifier, sources: Sequence[_Source]) -> NodeProto:
    """Return the node with all trees. Its logistic function gives the same bits at any position in a batch."""
    nodes: list[tuple[Any, ...]] = []
    leaves: list[tuple[Any, ...]] = []
    thresholds: list[float] = []
    for tree, (predictor,) in enumerate(classifier._predictors):  # noqa: SLF001 - there is no public form
        for number, node in enumerate(predictor.nodes):
            if node["is_leaf"]:
                nodes.append((tree, number, 0, "LEAF", 0, 0, 0))
                thresholds.append(0.0)
                leaves.append((tree, number, 0, node["value"]))
                continue
            source, left, right = sources[node["feature_idx"]], int(node["left"]), int(node["right"])
            if source.code is None:
                is_left = int(node["missing_go_to_left"])
                nodes.append((tree, number, source.position, "BRANCH_LEQ", left, right, is_left))
                thresholds.append(float(node["num_threshold"]))
            else:  # a one-hot column above its threshold is the code of its value
                nodes.append((tree, number, source.position, "BRANCH_EQ", right, left, 0))
                thresholds.append(float(source.code))
    names = ("treeids", "nodeids", "featureids", "modes", "truenodeids", "falsenodeids", "missing_value_tracks_true")
    columns: dict[str, Any] = {
        f"nodes_{name}": list(values) for name, values in zip(names, zip(*nodes, strict=True), strict=True)
    }
    for name, values in zip(("treeids", "nodeids", "ids"), zip(*leaves, strict=True), strict=False):
        columns[f"class_{name}"] = list(values)
    return helper.make_node(
        "TreeEnsembleClassifier",
        ["features"],
        ["label", "probabilities"],
        domain="ai.onnx.ml",
        classlabels_int64s=[0, 1],
        post_transform="LOGISTIC",
        nodes_values_as_tensor=_doubles(thresholds),
        class_weights_as_tensor=_doubles([leaf[3] for leaf in leaves]),
        base_values_as_tensor=_doubles(np.ravel(classifier._baseline_prediction)),  # noqa: SLF001
        **columns,
    )


def _doubles(values: Sequence[float] | NDArray[np.float64]) -> TensorProto:
    return numpy_helper.from_array(np.array(values, np.float64))


def _splits(model: Any) -> Iterator[tuple[int, float]]:  # noqa: ANN401 - a model of any type
    """Yield column and threshold of every split of the trees in a model, whether single, in a forest or boosted."""
    if hasattr(model, "tree_"):
        inner = model.tree_.children_left >= 0
        yield from zip(model.tree_.feature[inner], model.tree_.threshold[inner], strict=True)
    for predictors in getattr(model, "_predictors", ()):
        for predictor in predictors:
            inner = (predictor.nodes["is_leaf"] == 0) & (predictor.nodes["is_categorical"] == 0)
            yield from predictor.nodes[["feature_idx", "num_threshold"]][inner].tolist()
    for part in np.ravel(getattr(model, "estimators_", ())):
        yield from _splits(part)


def _unscaled(step: Any, position: int, width: int, values: NDArray[np.float64]) -> NDArray[np.float64]:  # noqa: ANN401
    """Return values of a step's output column as values of its input."""
    for part in reversed([part for _, part in step.steps] if isinstance(step, Pipeline) else [step]):
        if _is_passthrough(part) or isinstance(part, SimpleImputer):
            continue
        if not hasattr(part, "inverse_transform") or hasattr(part, "categories_"):
            return values[:0]
        table = np.zeros((len(values), width))
        table[:, position] = values
        values = part.inverse_transform(table)[:, position]
    return values
