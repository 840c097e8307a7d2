"""One representation of the tree models of all libraries, and the numbers at which they split.

A reader (`from_sklearn`, `from_lightgbm`, `from_xgboost`) returns an `Ensemble` on the inputs of our graphs, and
`to_onnx` writes it. The readers raise `UnreadableModelError` for a model that they cannot read exactly.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from telco_stream.contract.schema import Contract
from telco_stream.errors import ModelError
from telco_stream.model.features import input_order


class UnreadableModelError(ModelError):
    """Model that cannot be read exactly. The message is the reason, as in `it can't be exported: REASON`."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """End of a branch, with its part of the sum."""

    value: float


@dataclass(frozen=True, slots=True)
class Split:
    """Inner node: continue at the node `passed` if the feature passes the test, or else at the node `failed`.

    A test is a threshold, passed by numbers up to and including it in double precision, or the set of the values that
    pass. `missing` says whether NaN passes; codes of categories are never NaN. `feature` is a position in
    `features.input_order`: the contract's numbers, and then its categories.
    """

    feature: int
    test: float | frozenset[float]
    missing: bool
    passed: int
    failed: int


Node: TypeAlias = Leaf | Split
#: Nodes of a tree, the root first; splits refer to nodes by position.
Tree: TypeAlias = tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Ensemble:
    """Trees whose leaves, added to `base`, give the probability of the positive label, or its logit.

    With the link `logistic` the sum is a logit; with `identity` it is the probability.
    """

    trees: tuple[Tree, ...]
    base: float = 0.0
    link: Literal["logistic", "identity"] = "logistic"

    def scaled(self, factor: float) -> "Ensemble":
        """Return the ensemble with its sums multiplied by a factor."""
        trees = tuple(
            tuple(replace(node, value=node.value * factor) if isinstance(node, Leaf) else node for node in tree)
            for tree in self.trees
        )
        return replace(self, trees=trees, base=self.base * factor)

    def opposite(self) -> "Ensemble":
        """Return the ensemble for the probability of the other label."""
        negated = self.scaled(-1.0)
        return negated if self.link == "logistic" else replace(negated, base=negated.base + 1.0)


def split_values(ensemble: Ensemble, contract: Contract) -> dict[str, NDArray[np.float64]]:
    """Return the numbers at which the trees split, sorted, by the name of the feature."""
    found: dict[int, set[float]] = {}
    for tree in ensemble.trees:
        for node in tree:
            if isinstance(node, Split) and isinstance(node.test, float):
                found.setdefault(node.feature, set()).add(node.test)
    return named_splits(found, contract)


def named_splits(splits: Mapping[int, set[float]], contract: Contract) -> dict[str, NDArray[np.float64]]:
    """Return finite splits by the name of the feature instead of its position, sorted."""
    order = input_order(contract)
    arrays = {order[feature]: np.array(sorted(values)) for feature, values in splits.items()}
    return {name: finite for name, values in arrays.items() if len(finite := values[np.isfinite(values)])}
