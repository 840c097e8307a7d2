"""Approximate reasons of trees: a constant for each leaf, so that they cost little more than a prediction.

On the way from the root of a tree to a leaf, each split moves the mean of the rows of the baseline that get there. The
contribution of a feature is the sum of the moves at its splits (Saabas values). They add up to the logit, but depend on
the order of the splits, unlike Shapley values.
"""

from collections.abc import Iterator, Sequence
from io import BytesIO
from typing import TypeAlias

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from telco_stream.contract.events import Event
from telco_stream.errors import ModelError
from telco_stream.messages.codec import Codec
from telco_stream.model.features import Table, feature_table
from telco_stream.model.onnx_engine import UNLOADABLE, session_options
from telco_stream.model.onnx_inputs import graph_inputs
from telco_stream.model.reasons.baselines import by_baseline
from telco_stream.model.reasons.explainer import Contributions, Explainer
from telco_stream.model.trees.ensemble import Ensemble, Leaf, Split, Tree, UnreadableModelError
from telco_stream.runtime.choices import BASELINES, Baseline

Floats: TypeAlias = NDArray[np.float64]
#: Most numbers in the table of a baseline.
_MAX_NUMBERS = 8_000_000
#: Rows whose contributions are summed at a time.
_BLOCK = 64


class _LeafNumbers:
    """Graph that returns the number of the leaf that an event reaches in each tree, counted over all trees."""

    def __init__(self, graph: bytes, codec: Codec) -> None:
        options = session_options()
        self._session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        self._inputs = graph_inputs(self._session.get_inputs(), codec)

    def of(self, table: Table) -> NDArray[np.intp]:
        """Return the numbers for the features of events, as `feature_table` has them [events, trees]."""
        (numbers,) = self._session.run(None, {node.name: node.read(table) for node in self._inputs})
        leaves: NDArray[np.intp] = numbers.astype(np.intp)
        return leaves


def write_approximate(
    ensemble: Ensemble, codec: Codec, events: Sequence[Event], positive: Sequence[bool], bases: Floats | None
) -> bytes:
    """Return the content of `reasons-approximate.npz` for the trees and the training data.

    `bases` are the mean logits of the baselines, if they are known. Raise UnreadableModelError if the sum of the trees
    is not a logit, or if it would take too much memory.
    """
    from telco_stream.model.trees.to_onnx import write_leaf_numbers  # noqa: PLC0415 - serving has no onnx

    if ensemble.link != "logistic":
        raise UnreadableModelError("its trees add up to a probability, not to a logit")
    values = [node.value for tree in ensemble.trees for node in tree if isinstance(node, Leaf)]
    features = len(codec.contract.features)
    if (size := len(values) * features) > _MAX_NUMBERS:
        raise UnreadableModelError(f"its leaves would take {size * 8 / 1e6:,.0f} MB")
    graph = write_leaf_numbers(ensemble, codec.contract)
    reached = _LeafNumbers(graph, codec).of(feature_table(codec.events, events))
    tables, means = [], []
    for rows in by_baseline(reached, np.array(positive)):
        counts = np.bincount(rows.ravel(), minlength=len(values))
        parts = [_contributions(tree, part, features) for tree, part in _by_tree(ensemble, counts)]
        tables.append(np.concatenate([table for table, _ in parts]))
        means.append(ensemble.base + sum(mean for _, mean in parts))
    buffer = BytesIO()
    base = np.array(means if bases is None else bases)
    np.savez_compressed(buffer, graph=np.frombuffer(graph, np.uint8), tables=np.array(tables), base=base)
    return buffer.getvalue()


def load_approximate(content: bytes, codec: Codec, baseline: Baseline) -> Explainer:
    """Return the approximate contributions of trees; raise ModelError if the file cannot be used."""
    position = BASELINES.index(baseline)
    try:
        with np.load(BytesIO(content), allow_pickle=False) as arrays:
            numbers = _LeafNumbers(arrays["graph"].tobytes(), codec)
            table, base = arrays["tables"][position], float(arrays["base"][position])
    except (*UNLOADABLE, ValueError, KeyError, IndexError, OSError, EOFError) as error:
        raise ModelError(f"The approximate reasons can't be loaded ({type(error).__name__})") from error

    def contribute(events: Sequence[Event]) -> Contributions:
        reached = numbers.of(feature_table(codec.events, events))
        starts = range(0, len(reached), _BLOCK)
        return np.concatenate([table[reached[start : start + _BLOCK]].sum(axis=1) for start in starts])

    return Explainer(codec, base, contribute, is_approximate=True)


def _by_tree(ensemble: Ensemble, counts: NDArray[np.intp]) -> Iterator[tuple[Tree, Sequence[int]]]:
    """Yield each tree with the numbers of rows that reach its leaves."""
    first = 0
    for tree in ensemble.trees:
        leaves = sum(isinstance(node, Leaf) for node in tree)
        yield tree, counts[first : first + leaves].tolist()
        first += leaves


def _contributions(tree: Tree, counts: Sequence[int], features: int) -> tuple[Floats, float]:
    """Return the contributions of each leaf [leaves, features] and the mean of the tree.

    The mean of a node that no row reaches is that of its two children.
    """
    numbers = iter(counts)
    reached = [next(numbers) if isinstance(node, Leaf) else 0 for node in tree]
    means = [node.value if isinstance(node, Leaf) else 0.0 for node in tree]
    order = list(_from_root(tree))
    for position, node in reversed(order):
        if isinstance(node, Split):
            children = node.passed, node.failed
            reached[position] = sum(reached[child] for child in children)
            weights = [reached[child] if reached[position] else 1 for child in children]
            total = sum(weight * means[child] for weight, child in zip(weights, children, strict=True))
            means[position] = total / sum(weights)
    rows = np.zeros((len(tree), features))
    for position, node in order:
        if isinstance(node, Split):
            for child in (node.passed, node.failed):
                rows[child] = rows[position]
                rows[child, node.feature] += means[child] - means[position]
    return rows[[position for position, node in enumerate(tree) if isinstance(node, Leaf)]], means[0]


def _from_root(tree: Tree) -> Iterator[tuple[int, Leaf | Split]]:
    """Yield the nodes with their positions, each before its children."""
    pending = [0]
    while pending:
        position = pending.pop()
        node = tree[position]
        yield position, node
        if isinstance(node, Split):
            pending += [node.passed, node.failed]
