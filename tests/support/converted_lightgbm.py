"""LightGBM models as onnxmltools converts them: thresholds, leaves and inputs in single precision.

For the model of `fit`, the file answers all rows of the tests with the bits of that of onnxmltools 1.16.
"""

from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from lightgbm import LGBMClassifier
from onnx import TensorProto, helper

from telco_stream.contract.events import Event
from telco_stream.messages.codec import Codec
from telco_stream.model.compilation import TOLERANCE
from telco_stream.model.features import input_table
from telco_stream.model.library_engines import LibraryScorer, load_library
from telco_stream.model.probes import edge_events, split_events
from telco_stream.model.sklearn_engine import frame
from telco_stream.model.trees.ensemble import Ensemble, Leaf, Tree, split_values
from telco_stream.model.trees.from_lightgbm import read_lightgbm
from tests.support.tree_models import Data, load_data, typed_frame

TREES, LEAVES = 300, 31


def fit(data: Data) -> str:
    """Return the text of a model with native categories, all of which have up to four values."""
    table = typed_frame(data.codec, frame(data.codec.events, data.events), data.events)
    model = LGBMClassifier(n_estimators=TREES, num_leaves=LEAVES, verbose=-1, n_jobs=1)
    text: str = model.fit(table, data.positive.astype(int)).booster_.model_to_string()
    return text


def convert(ensemble: Ensemble, columns: int) -> bytes:
    """Return the graph: from `input` (float) [n, columns] to `label` and `probabilities` (float) [n, 2]."""
    tables = [_attributes(tree, number) for number, tree in enumerate(ensemble.trees)]
    attributes: dict[str, Any] = {name: [value for table in tables for value in table[name]] for name in tables[0]}
    node = helper.make_node(
        "TreeEnsembleClassifier",
        ["input"],
        ["label", "probabilities"],
        domain="ai.onnx.ml",
        classlabels_int64s=[0, 1],
        post_transform="LOGISTIC",
        **attributes,
    )
    graph = helper.make_graph(
        [node],
        "converted",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [None, columns])],
        [
            helper.make_tensor_value_info("label", TensorProto.INT64, [None]),
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, 2]),
        ],
    )
    opsets = [helper.make_opsetid("", 9), helper.make_opsetid("ai.onnx.ml", 1)]
    content: bytes = helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()
    return content


def converted_scorer(content: bytes, text: str, codec: Codec) -> LibraryScorer:
    """Return a scorer that runs the graph as its users do: an array of numbers and of codes."""
    session = onnxruntime.InferenceSession(content)

    def predict(events: Sequence[Event]) -> Any:
        table = input_table(codec.events, events).astype(np.float32)
        return session.run(["probabilities"], {"input": table})[0].astype(np.float64)

    original = load_library("lightgbm", text.encode(), codec, version="", threshold=0.5)
    return LibraryScorer("onnx", original.version, original.threshold, codec, predict)


def _attributes(tree: Tree, number: int) -> dict[str, list[Any]]:
    """Return the rows of a tree in the attributes of the node."""
    leaves = [(position, node.value) for position, node in enumerate(tree) if isinstance(node, Leaf)]
    rows = sorted(_rows(tree))
    ids, features, modes, values, missing, passed, failed = map(list, zip(*rows, strict=True))
    return {
        "nodes_treeids": [number] * len(rows),
        "nodes_nodeids": ids,
        "nodes_featureids": features,
        "nodes_modes": modes,
        "nodes_values": values,
        "nodes_missing_value_tracks_true": missing,
        "nodes_truenodeids": passed,
        "nodes_falsenodeids": failed,
        "class_treeids": [number] * len(leaves),
        "class_nodeids": [position for position, _ in leaves],
        "class_ids": [0] * len(leaves),
        "class_weights": [value for _, value in leaves],
    }


def _rows(tree: Tree) -> Iterator[tuple[int, int, str, float, int, int, int]]:
    """Yield the nodes; a set of values becomes a chain of nodes that test one each and share the branch that passes."""
    added = count(len(tree))
    for position, node in enumerate(tree):
        if isinstance(node, Leaf):
            yield position, 0, "LEAF", 0.0, 0, 0, 0
        elif isinstance(node.test, frozenset):
            *others, last = sorted(node.test)
            for value in others:
                after = next(added)
                yield position, node.feature, "BRANCH_EQ", value, 0, node.passed, after
                position = after  # noqa: PLW2901 - the chain continues there
            yield position, node.feature, "BRANCH_EQ", last, 0, node.passed, node.failed
        else:
            yield position, node.feature, "BRANCH_LEQ", node.test, int(node.missing), node.passed, node.failed


def _main() -> None:
    """Print how much the conversion differs from a model of the public data set."""
    data = load_data("telco", Path(), nulls=False)
    codec, text = data.codec, fit(data)
    library = load_library("lightgbm", text.encode(), codec, version="", threshold=0.5)
    ensemble = read_lightgbm(text, codec)
    converted = converted_scorer(convert(ensemble, len(codec.contract.features)), text, codec)
    splits = split_values(ensemble, codec.contract)
    for name, events in {
        "data": data.events,
        "limits": edge_events(codec, data.events, seed=0),
        "splits": split_events(codec, data.events, splits, seed=0),
    }.items():
        differences = np.abs(np.array(library.score(events)) - converted.score(events))
        print(f"{name}: {len(events)}, up to {differences.max():.2g}, {(differences > TOLERANCE).sum()} over")  # noqa: T201


if __name__ == "__main__":
    _main()
