"""Reader of scikit-learn's trees behind the steps of a pipeline."""

import json
from collections.abc import Callable, Iterator, Sequence
from math import isnan
from typing import Any, TypeAlias

import numpy as np
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.pipeline import Pipeline
from sklearn.tree import DecisionTreeClassifier

from telco_stream.contract.schema import Contract
from telco_stream.messages.codec import Codec
from telco_stream.model.features import selected_positions
from telco_stream.model.trees.columns import Column, Floats, in_single_precision, on_features, split_inputs
from telco_stream.model.trees.ensemble import (
    Ensemble,
    Leaf,
    Node,
    Split,
    Tree,
    UnreadableModelError,
    split_values,
)
from telco_stream.model.trees.from_lightgbm import lightgbm_ensemble
from telco_stream.model.trees.from_xgboost import xgboost_ensemble
from telco_stream.model.trees.sklearn_columns import sklearn_columns, transformed

_CLASSES = 2
#: Number of codes that a category can have in boosted trees; the bits of a set of them are stored in words.
_CODES, _WORD = 256, 32
#: Steps that a model with categories has inside: it takes the columns of the first one to the front.
_ENCODER, _NUMBERS = "encoder", "numerical"


def read_sklearn(model: Any, codec: Codec) -> Ensemble:  # noqa: ANN401 - a fitted model of any type
    """Return the trees of a fitted classifier of two classes, or of a pipeline that ends with one.

    The ensemble's positive label is the model's second class. Raise UnreadableModelError if the model is of another
    kind, or if its columns are not computed one by one from the features (`sklearn_columns`).
    """
    classifier = model.steps[-1][1] if isinstance(model, Pipeline) else model
    read = _reader(classifier)
    if len(classifier.classes_) != _CLASSES:
        raise UnreadableModelError(f"it has {len(classifier.classes_)} classes, not {_CLASSES}")
    return read(classifier, sklearn_columns(model, codec), codec.contract)


def sklearn_splits(model: Any, codec: Codec) -> dict[str, Floats]:  # noqa: ANN401 - as above
    """Return the numbers at which all trees in a model split, by feature; none for models without trees.

    Unlike `read_sklearn` it accepts other models that contain trees, such as calibrated or voting ones. Splits of
    columns that are not computed from one number are left out.
    """
    try:
        return split_values(read_sklearn(model, codec), codec.contract)
    except UnreadableModelError:
        classifier = model.steps[-1][1] if isinstance(model, Pipeline) else model
    try:
        columns = sklearn_columns(model, codec)
        if isinstance(classifier, HistGradientBoostingClassifier):
            columns = _boosted_columns(classifier, columns, codec.contract)
    except UnreadableModelError:
        return {}
    return split_inputs(_splits(classifier), columns, codec.contract)


_Read: TypeAlias = Callable[[Any, list[Column], Contract], Ensemble]


def _reader(classifier: Any) -> _Read:  # noqa: ANN401 - as above
    match classifier:
        case HistGradientBoostingClassifier():
            return _read_boosted
        case GradientBoostingClassifier():
            return _read_gradient_boosting
        case RandomForestClassifier() | ExtraTreesClassifier():
            return _read_forest
        case DecisionTreeClassifier():
            return _read_tree
    library = type(classifier).__module__.partition(".")[0]
    if library in _OTHERS and hasattr(classifier, "classes_"):
        return _OTHERS[library]
    raise UnreadableModelError(f"a {type(classifier).__name__} does not consist of trees that can be read")


def _read_tree(tree: Any, columns: list[Column], _: Contract) -> Ensemble:  # noqa: ANN401 - a classifier
    return _averaged([tree], columns)


def _read_forest(forest: Any, columns: list[Column], _: Contract) -> Ensemble:  # noqa: ANN401 - a forest
    return _averaged(forest.estimators_, columns)


def _averaged(trees: Sequence[DecisionTreeClassifier], columns: list[Column]) -> Ensemble:
    """Return trees whose leaves are shares of the classes."""
    if trees[0].n_outputs_ != 1:
        raise UnreadableModelError(f"it has {trees[0].n_outputs_} outputs")
    read = [_tree(tree.tree_, tree.tree_.value[:, 0, 1]) for tree in trees]
    return Ensemble(on_features(read, list(map(in_single_precision, columns))), link="identity").scaled(1 / len(trees))


def _read_gradient_boosting(model: Any, columns: list[Column], _: Contract) -> Ensemble:  # noqa: ANN401 - a classifier
    if not isinstance(model.init_, DummyClassifier | str):
        raise UnreadableModelError(f"it begins with the answers of a {type(model.init_).__name__}")
    base = model._raw_predict_init(np.zeros((1, model.n_features_in_), np.float32))  # noqa: SLF001
    trees = [_tree(part.tree_, part.tree_.value[:, 0, 0] * model.learning_rate) for part in model.estimators_[:, 0]]
    ensemble = Ensemble(on_features(trees, list(map(in_single_precision, columns))), float(base[0, 0]))
    return ensemble.scaled(2.0) if model.loss == "exponential" else ensemble


def _read_lightgbm(model: Any, columns: list[Column], _: Contract) -> Ensemble:  # noqa: ANN401 - a classifier
    return lightgbm_ensemble(model.booster_.model_to_string(), columns)


def _read_xgboost(model: Any, columns: list[Column], _: Contract) -> Ensemble:  # noqa: ANN401 - a classifier
    if not isnan(model.missing):
        raise UnreadableModelError(f"{model.missing} counts as missing")
    return xgboost_ensemble(json.loads(model.get_booster().save_raw("json")), columns)


#: Readers of classifiers that other libraries provide for pipelines, by the name of the library.
_OTHERS: dict[str, _Read] = {"lightgbm": _read_lightgbm, "xgboost": _read_xgboost}


def _read_boosted(model: Any, columns: list[Column], contract: Contract) -> Ensemble:  # noqa: ANN401 - a classifier
    trees = [_boosted_tree(predictor) for (predictor,) in model._predictors]  # noqa: SLF001
    base = float(np.ravel(model._baseline_prediction)[0])  # noqa: SLF001
    return Ensemble(on_features(trees, _boosted_columns(model, columns, contract)), base)


def _boosted_columns(model: Any, columns: list[Column], contract: Contract) -> list[Column]:  # noqa: ANN401 - a classifier
    """Return the columns as the trees number them: those that the model reads as categories first, coded."""
    if model._preprocessor is None:  # noqa: SLF001
        return columns
    steps = model._preprocessor  # noqa: SLF001
    categories, numbers = (
        [columns[position] for position in selected_positions(steps, name)] for name in (_ENCODER, _NUMBERS)
    )
    return [*transformed(steps.named_transformers_[_ENCODER], categories, contract), *numbers]


def _codes(words: Sequence[Any]) -> frozenset[float]:
    """Return the codes whose bits are set."""
    return frozenset(float(code) for code in range(_CODES) if int(words[code // _WORD]) >> code % _WORD & 1)


def _boosted_tree(predictor: Any) -> Tree:  # noqa: ANN401 - the library's tree
    return tuple(_boosted_node(node, predictor.raw_left_cat_bitsets) for node in predictor.nodes)


def _boosted_node(node: Any, sets: Any) -> Node:  # noqa: ANN401 - rows of arrays
    """Return a node. Values that the model does not know reach it as missing ones."""
    if node["is_leaf"]:
        return Leaf(float(node["value"]))
    test = _codes(sets[node["bitset_idx"]]) if node["is_categorical"] else float(node["num_threshold"])
    column, missing = int(node["feature_idx"]), bool(node["missing_go_to_left"])
    return Split(column, test, missing, int(node["left"]), int(node["right"]))


def _tree(tree: Any, values: Floats) -> Tree:  # noqa: ANN401 - the library's tree
    nodes = zip(
        tree.children_left.tolist(),
        tree.children_right.tolist(),
        tree.feature.tolist(),
        tree.threshold.tolist(),
        tree.missing_go_to_left.astype(bool).tolist(),
        values.tolist(),
        strict=True,
    )
    return tuple(
        Leaf(value) if left < 0 else Split(column, threshold, missing, left, right)
        for left, right, column, threshold, missing, value in nodes
    )


def _splits(model: Any) -> Iterator[tuple[int, float]]:  # noqa: ANN401 - a model of any type
    """Yield column and threshold of every split of the trees in a model, whether single, in a forest or boosted."""
    if hasattr(model, "tree_"):
        inner = model.tree_.children_left >= 0
        yield from zip(model.tree_.feature[inner].tolist(), model.tree_.threshold[inner].tolist(), strict=True)
    for predictors in getattr(model, "_predictors", ()):
        for predictor in predictors:
            inner = (predictor.nodes["is_leaf"] == 0) & (predictor.nodes["is_categorical"] == 0)
            yield from predictor.nodes[["feature_idx", "num_threshold"]][inner].tolist()
    parts = getattr(model, "estimators_", ())
    for part in parts.ravel() if isinstance(parts, np.ndarray) else parts:
        yield from _splits(part)
    for calibrated in getattr(model, "calibrated_classifiers_", ()):
        yield from _splits(calibrated.estimator)
