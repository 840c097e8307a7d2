"""Reader of XGBoost's model documents, which are JSON, also inside of its binary files.

XGBoost rounds its input to single precision, and passes numbers below a threshold to the left. Since version 3, a file
has the values of pandas categories in the order of their codes.
"""

import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from telco_stream.messages.codec import Codec
from telco_stream.model.trees.columns import Column, coded, feature_columns, in_single_precision, on_features
from telco_stream.model.trees.ensemble import Ensemble, Leaf, Node, Split, Tree, UnreadableModelError

#: A parsed document, or a part of it.
Document = Mapping[str, Any]
_NO_CHILD = -1


def xgboost_document(content: bytes) -> Document:
    """Return the document in a file of either format (.json, .ubj); raise UnreadableModelError if it is neither.

    A binary file needs the library.
    """
    try:
        document: Document = json.loads(content)
    except ValueError:
        import xgboost  # noqa: PLC0415 - only such a file needs the library

        try:
            document = json.loads(xgboost.Booster(model_file=bytearray(content)).save_raw("json"))
        except xgboost.core.XGBoostError:
            raise UnreadableModelError("it is not an XGBoost model file") from None
    if not isinstance(document, dict) or "learner" not in document:
        raise UnreadableModelError("it is not an XGBoost model file")
    return document


def read_xgboost(document: Document, codec: Codec, *, contract_codes: bool = False) -> Ensemble:
    """Return the trees of a binary classifier, up to its best iteration if it was fitted with early stopping.

    `contract_codes` says that a model without the values of its categories was fitted to codes in the order of the
    contract. Raise UnreadableModelError if the model cannot be read exactly.
    """
    return xgboost_ensemble(document, xgboost_columns(document, codec, contract_codes=contract_codes))


def xgboost_ensemble(document: Document, columns: Sequence[Column]) -> Ensemble:
    """Return the trees of a binary classifier that reads these columns; see `read_xgboost`."""
    learner = document["learner"]
    _check_kind(learner)
    model = _model(learner)
    rounds = xgboost_rounds(document)
    trees = map(_tree, model["trees"][: model["iteration_indptr"][rounds] if rounds else None])
    columns = [in_single_precision(column) for column in columns]
    return Ensemble(on_features(trees, columns), _base(learner["learner_model_param"]["base_score"]))


def xgboost_rounds(document: Document) -> int:
    """Return the number of boosting rounds that `XGBClassifier` predicts with: `iteration_range=(0, ROUNDS)`.

    It is 0, which means all, if the file does not have their limits, as those of version 1 have not.
    """
    learner = document["learner"]
    rounds = len(_model(learner).get("iteration_indptr", [0])) - 1
    best = learner.get("attributes", {}).get("best_iteration")
    return rounds if best is None else min(rounds, int(best) + 1)


def xgboost_columns(document: Document, codec: Codec, *, contract_codes: bool = False) -> list[Column]:
    """Return the columns that a model reads; see `read_xgboost`."""
    learner = document["learner"]
    names, kinds = learner["feature_names"], learner["feature_types"]
    if not names:
        raise UnreadableModelError("its file has no names of columns: fit it to a data frame")
    in_contract = {category.name for category in codec.contract.categories}
    known = _known_values(_model(learner).get("cats", {}))
    columns = feature_columns(codec.events, names)
    for position, (name, kind) in enumerate(zip(names, kinds or [""] * len(names), strict=True)):
        if kind == "c" or name in in_contract:
            values = known.get(position)
            if values is None and not contract_codes:
                raise UnreadableModelError(f"its file does not have the values of {name} in the order of its codes")
            columns[position] = coded(columns[position], values, codec.contract)
    return columns


def _model(learner: Document) -> Document:
    """Return the part with trees and categories, which the booster dart has inside of another."""
    booster = learner["gradient_booster"]
    model: Document = booster.get("gbtree", booster)["model"]
    return model


def _check_kind(learner: Document) -> None:
    booster, objective = learner["gradient_booster"], learner["objective"]["name"]
    if booster["name"] != "gbtree":
        raise UnreadableModelError(f"its booster is {booster['name']}, not gbtree")
    if objective != "binary:logistic":
        raise UnreadableModelError(f"its objective is {objective}, not binary:logistic")
    if any(int(tree["tree_param"]["size_leaf_vector"]) > 1 for tree in booster["model"]["trees"]):
        raise UnreadableModelError("its leaves are vectors")


def _base(text: str) -> float:
    """Return the logit of the document's base score, in single precision as the library computes it."""
    score = json.loads(text)
    probability = np.float32(score[0] if isinstance(score, list) else score)
    return float(-np.log(np.float32(1) / probability - np.float32(1)))


def _known_values(categories: Document) -> dict[int, list[Any]]:
    """Return the values of each category by the position of its column."""
    return {
        position: values for position, column in enumerate(categories.get("enc", ())) if (values := _values(column))
    }


def _values(column: Document) -> list[Any]:
    if "offsets" not in column:
        return list(column["values"])
    text = bytes(byte & 0xFF for byte in column["values"])
    return [text[start:stop].decode() for start, stop in pairwise(column["offsets"])]


def _tree(tree: Document) -> Tree:
    sets = {
        node: frozenset(map(float, tree["categories"][start : start + size]))
        for node, start, size in zip(
            tree["categories_nodes"], tree["categories_segments"], tree["categories_sizes"], strict=True
        )
    }
    below = np.nextafter(np.array(tree["split_conditions"], np.float32), np.float32(-np.inf)).tolist()
    return tuple(_node(tree, number, below[number], sets.get(number)) for number in range(len(below)))


def _node(tree: Document, number: int, below: float, values: frozenset[float] | None) -> Node:
    """Return a node. Numbers below the condition are at most the number before it; values in a set go to the right."""
    left, right = tree["left_children"][number], tree["right_children"][number]
    column, missing_left = tree["split_indices"][number], bool(tree["default_left"][number])
    if left == _NO_CHILD:
        return Leaf(float(np.float32(tree["split_conditions"][number])))
    if values is not None:
        return Split(column, values, not missing_left, right, left)
    return Split(column, below, missing_left, left, right)
