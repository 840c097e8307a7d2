"""Models that differ from the committed one: its graph with other nodes at the end, as good and bad candidates."""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

import onnx
from onnx import TensorProto, helper

from telco_stream.model.artifact import CONTRACT, GOLDEN, MANIFEST, ONNX, load_files, read_folder
from telco_stream.model.golden import golden_events, make_golden
from telco_stream.registry.archive import pack
from tests.support.model_folder import COMMITTED

Node: TypeAlias = onnx.NodeProto
#: Column of the tenure in the array of numbers.
_TENURE = 1
#: Width of the matrix by which a slow model multiplies, and how often it does.
_WIDTH, _PRODUCTS = 1_000, 30


def variant(version: str, change: str = "equal") -> dict[str, bytes]:
    """Return the files of a model without a pickle: the committed one, changed in one of the ways of `CHANGES`."""
    files = dict(read_folder(COMMITTED, only={ONNX, CONTRACT, GOLDEN}))
    files[ONNX] = _changed(files[ONNX], CHANGES[change])
    if change == "contract":
        files[CONTRACT] = files[CONTRACT].replace(b'"maximum": 1000}', b'"maximum": 1001}')
    if change == "golden rows":
        golden = json.loads(files[GOLDEN])
        golden["probabilities"] = [1 - probability for probability in golden["probabilities"]]
        return _with_manifest(files | {GOLDEN: json.dumps(golden).encode()}, version)
    rows = files.pop(GOLDEN)
    files = _with_manifest(files, version)
    if change in {"fails", "no probability"}:  # on values that the golden rows would have
        return files
    scorer = load_files(files, version)
    events = golden_events(rows, scorer.codec.events)
    return _with_manifest(files | {GOLDEN: make_golden(scorer, events, seed=1)}, version)


def archive(version: str, change: str = "equal") -> bytes:
    """Return the archive of a variant."""
    return pack(variant(version, change))


def write_variant(folder: Path, version: str, change: str = "equal") -> Path:
    """Write the files of a variant into a new folder."""
    folder.mkdir()
    for name, content in variant(version, change).items():
        (folder / name).write_bytes(content)
    return folder


def _with_manifest(files: dict[str, bytes], version: str) -> dict[str, bytes]:
    manifest = json.loads((COMMITTED / MANIFEST).read_bytes())
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items() if name != MANIFEST}
    digests["pipeline.joblib"] = manifest["artifacts"]["pipeline.joblib"]
    manifest |= {"model_version": version, "artifacts": digests}
    return files | {MANIFEST: json.dumps(manifest).encode()}


def _changed(content: bytes, nodes: Callable[[], list[Node]]) -> bytes:
    """Return the graph with nodes between the probability of the positive label, `p`, and the output, `q`."""
    model = onnx.load_from_string(content)
    graph = model.graph
    for node in graph.node:
        node.output[:] = ["inner" if name == "probabilities" else name for name in node.output]
    graph.node.extend(
        [
            helper.make_node("Cast", ["inner"], ["both"], to=TensorProto.DOUBLE),
            *_constants(first=1, tenure_column=_TENURE),
            helper.make_node("Gather", ["both", "first"], ["p"], axis=1),
            helper.make_node("Gather", ["numbers", "tenure_column"], ["tenure"], axis=1),
            *nodes(),
            *_values(one=1.0),
            helper.make_node("Sub", ["one", "q"], ["other"]),
            helper.make_node("Concat", ["other", "q"], ["probabilities"], axis=1),
        ]
    )
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info("probabilities", TensorProto.DOUBLE, [None, 2]))
    changed: bytes = model.SerializeToString()
    return changed


def _equal() -> list[Node]:
    return [helper.make_node("Identity", ["p"], ["q"])]


def _close() -> list[Node]:
    """Differ a little, as a model that was trained again does."""
    return [*_values(factor=0.999), helper.make_node("Mul", ["p", "factor"], ["q"])]


def _shifted() -> list[Node]:
    return [
        *_values(half=0.5, more=0.5),
        helper.make_node("Mul", ["p", "half"], ["halved"]),
        helper.make_node("Add", ["halved", "more"], ["q"]),
    ]


def _always_yes() -> list[Node]:
    return [
        *_values(zero=0.0, all=1.0),
        helper.make_node("Mul", ["p", "zero"], ["nothing"]),
        helper.make_node("Add", ["nothing", "all"], ["q"]),
    ]


def _slow() -> list[Node]:
    """Take a millisecond or more per row, also on a fast machine."""
    return [
        *_values(zero=0.0, ones=1.0, share=1 / _WIDTH),
        *_constants(wide=[1, _WIDTH], square=[_WIDTH, _WIDTH], columns=1),
        helper.make_node("Expand", ["ones", "wide"], ["row"]),
        helper.make_node("Expand", ["share", "square"], ["matrix"]),
        helper.make_node("MatMul", ["p", "row"], ["product0"]),
        *(
            helper.make_node("MatMul", [f"product{number}", "matrix"], [f"product{number + 1}"])
            for number in range(_PRODUCTS)
        ),
        helper.make_node("ReduceMean", [f"product{_PRODUCTS}", "columns"], ["mean"], keepdims=1),
        helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
        helper.make_node("Add", ["p", "nothing"], ["q"]),
    ]


def _fails() -> list[Node]:
    """Fail on each call with a tenure above 1, which the examples of the check when loading do not have."""
    return [
        *_values(limit=1.0),
        *_constants(index=5, columns=1),
        helper.make_node("Greater", ["tenure", "limit"], ["above"]),
        helper.make_node("Cast", ["above"], ["numbers_above"], to=TensorProto.INT64),
        helper.make_node("ReduceMax", ["numbers_above"], ["any"], keepdims=0),
        helper.make_node("Mul", ["any", "index"], ["position"]),
        helper.make_node("Gather", ["p", "position"], ["picked"], axis=1),
        helper.make_node("ReduceMax", ["picked", "columns"], ["q"], keepdims=1),
    ]


def _no_probability() -> list[Node]:
    """Have no probability for a tenure of 72."""
    return [
        *_values(last=72.0, zero=0.0),
        helper.make_node("Equal", ["tenure", "last"], ["is_last"]),
        helper.make_node("Div", ["zero", "zero"], ["nan"]),
        helper.make_node("Where", ["is_last", "nan", "p"], ["q"]),
    ]


def _values(**values: float) -> list[Node]:
    return [
        helper.make_node("Constant", [], [name], value=helper.make_tensor(name, TensorProto.DOUBLE, [1, 1], [value]))
        for name, value in values.items()
    ]


def _constants(**values: int | list[int]) -> list[Node]:
    arrays = {name: value if isinstance(value, list) else [value] for name, value in values.items()}
    return [
        helper.make_node("Constant", [], [name], value=helper.make_tensor(name, TensorProto.INT64, [len(of)], of))
        for name, of in arrays.items()
    ]


#: Changes by name.
CHANGES: Mapping[str, Callable[[], list[Node]]] = {
    "equal": _equal,
    "close": _close,
    "shifted": _shifted,
    "always yes": _always_yes,
    "slow": _slow,
    "fails": _fails,
    "no probability": _no_probability,
    "contract": _equal,
    "golden rows": _equal,
}
