"""Writer of trees as an ONNX graph, which compares in double precision.

Trees are summed by `TreeEnsemble`, which gives the same bits at any position in a batch. A logit leaves the graph as
`margins` and becomes a probability in the engine, because the logistic function of onnxruntime gives the last rows of
a batch other bits.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import count
from typing import Any, TypeAlias

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper

from telco_stream.contract.schema import Contract
from telco_stream.model.trees.ensemble import Ensemble, Leaf, Split, Tree

#: Operator sets, and the version of the format of their time, which onnxruntime 1.21 reads.
_OPERATORS = {"": 18, "ai.onnx.ml": 5}
_IR_VERSION = 10
#: Modes of a node in a `TreeEnsemble`, and its function of the leaves of all trees.
_AT_MOST, _EQUAL, _MEMBER = 0, 4, 6
_SUM = 1
#: Leaves and splits in one `TreeEnsemble`. It takes all its trees for a row before the next row, so that large batches
#: are a third faster in parts of this size, while each part costs half a microsecond per call.
_MAX_NODES = 12_000

#: Whether a node is a leaf, and its number among the leaves or among the splits.
_Place: TypeAlias = tuple[bool, int]
#: Feature, mode, threshold, set and direction of missing values of a split, and its two children.
_Row: TypeAlias = tuple[int, int, float, list[float], int, _Place, _Place]


def write_onnx(ensemble: Ensemble, contract: Contract) -> bytes:
    """Return the graph: from `numbers` (double) and `codes` (int64) to `margins` or `probabilities` (double).

    `margins` is the logit of the positive label [n, 1], `probabilities` are those of both labels [n, 2].
    """
    output, width = ("margins", 1) if ensemble.link == "logistic" else ("probabilities", 2)
    constants = [_doubles([ensemble.base], "base"), _doubles([1.0], "one")]
    return _encode(_trees(ensemble), contract, output, width, constants)


def write_leaf_numbers(ensemble: Ensemble, contract: Contract) -> bytes:
    """Return the graph with the same inputs, and the leaf that each tree reaches as `leaves` (double) [n, trees].

    A leaf is a number in the order of all leaves of the ensemble.
    """
    numbers = count()
    trees = [tuple(Leaf(next(numbers)) if isinstance(node, Leaf) else node for node in tree) for tree in ensemble.trees]
    return _encode(_leaf_numbers(trees), contract, "leaves", len(trees), [])


def _leaf_numbers(trees: Sequence[Tree]) -> Iterator[NodeProto]:
    parts: list[str] = []
    for part in _parts(trees):
        parts.append(f"leaves_{len(parts)}")
        attributes = _attributes(part, has_targets=True)
        yield helper.make_node("TreeEnsemble", ["features"], parts[-1:], domain="ai.onnx.ml", **attributes)
    yield helper.make_node("Concat", parts, ["leaves"], axis=1)


def _encode(
    nodes: Iterable[NodeProto], contract: Contract, output: str, width: int, constants: Sequence[TensorProto]
) -> bytes:
    graph = helper.make_graph(
        [*_inputs(contract), *nodes],
        contract.name,
        [helper.make_tensor_value_info(name, kind, [None, columns]) for name, kind, columns in _arrays(contract)],
        [helper.make_tensor_value_info(output, TensorProto.DOUBLE, [None, width])],
        constants,
    )
    opsets = [helper.make_opsetid(domain, version) for domain, version in _OPERATORS.items()]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION, producer_name="telco-stream")
    content: bytes = model.SerializeToString()
    return content


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


def _trees(ensemble: Ensemble) -> Iterator[NodeProto]:
    sums: list[str] = []
    for trees in _parts(ensemble.trees):
        sums.append(f"sums_{len(sums)}")
        yield helper.make_node("TreeEnsemble", ["features"], sums[-1:], domain="ai.onnx.ml", **_attributes(trees))
    if ensemble.link == "logistic":
        yield helper.make_node("Sum", [*sums, "base"], ["margins"])
        return
    yield helper.make_node("Sum", [*sums, "base"], ["positive"])
    yield helper.make_node("Sub", ["one", "positive"], ["negative"])
    yield helper.make_node("Concat", ["negative", "positive"], ["probabilities"], axis=1)


def _parts(trees: Iterable[Tree]) -> Iterator[list[Tree]]:
    """Yield the trees in parts of some thousand nodes each, at least one tree."""
    part: list[Tree] = []
    for tree in trees:
        if part and sum(map(len, part)) + len(tree) > _MAX_NODES:
            yield part
            part = []
        part.append(tree)
    yield part


def _attributes(trees: Sequence[Tree], *, has_targets: bool = False) -> dict[str, Any]:
    """Return the attributes of the node: columns of all splits, and of all leaves, which are numbered apart.

    The trees add up to one number, or each is a target of its own.
    """
    splits: list[_Row] = []
    leaves: list[float] = []
    targets: list[int] = []
    roots = []
    for number, tree in enumerate(map(_with_split, trees)):
        roots.append(len(splits))
        splits += _rows(tree, len(splits), len(leaves))
        leaves += [node.value for node in tree if isinstance(node, Leaf)]
        targets += [number if has_targets else 0] * (len(leaves) - len(targets))
    features, modes, thresholds, sets, missing, passed, failed = zip(*splits, strict=True)
    members = [value for values in sets for value in values]
    return ({"membership_values": _doubles(members)} if members else {}) | {
        "aggregate_function": _SUM,
        "n_targets": len(trees) if has_targets else 1,
        "tree_roots": roots,
        "nodes_featureids": features,
        "nodes_modes": numpy_helper.from_array(np.array(modes, np.uint8)),
        "nodes_splits": _doubles(thresholds),
        "nodes_missing_value_tracks_true": missing,
        "nodes_trueleafs": [int(is_leaf) for is_leaf, _ in passed],
        "nodes_truenodeids": [position for _, position in passed],
        "nodes_falseleafs": [int(is_leaf) for is_leaf, _ in failed],
        "nodes_falsenodeids": [position for _, position in failed],
        "leaf_weights": _doubles(leaves),
        "leaf_targetids": targets,
    }


def _with_split(tree: Tree) -> Tree:
    """Return the tree, or if it is a leaf, one with a split, which each must have."""
    return tree if len(tree) > 1 else (Split(0, np.inf, missing=True, passed=1, failed=1), *tree)


def _rows(tree: Tree, split: int, leaf: int) -> Iterator[_Row]:
    """Yield the splits of a tree, if its first split and its first leaf have these numbers."""
    splits, leaves = count(split), count(leaf)
    places = [(True, next(leaves)) if isinstance(node, Leaf) else (False, next(splits)) for node in tree]
    for node in tree:
        if isinstance(node, Split):
            mode, threshold, values = _test(node.test)
            yield node.feature, mode, threshold, values, int(node.missing), places[node.passed], places[node.failed]


def _test(test: float | frozenset[float]) -> tuple[int, float, list[float]]:
    """Return the mode of a node, its threshold, and its set, which NaN ends."""
    if not isinstance(test, frozenset):
        return _AT_MOST, test, []
    if len(test) == 1:
        return _EQUAL, min(test), []
    return _MEMBER, 0.0, [*sorted(test), np.nan]


def _doubles(values: Sequence[float], name: str = "") -> TensorProto:
    return numpy_helper.from_array(np.array(values, np.float64), name)
