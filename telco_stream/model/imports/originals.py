"""Models of any library as the library itself runs them, and the engines that may run them instead."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from telco_stream.errors import ModelError
from telco_stream.messages.codec import Codec
from telco_stream.model.artifact import ONNX, requiring_libraries
from telco_stream.model.conversion import convert_with_skl2onnx
from telco_stream.model.engines import Candidate, EngineFile, Original
from telco_stream.model.imports import kinds
from telco_stream.model.imports.kinds import Kind
from telco_stream.model.library_engines import load_library
from telco_stream.model.onnx_engine import load_onnx, read_onnx
from telco_stream.model.reasons.linear import is_logistic_regression
from telco_stream.model.sklearn_engine import SklearnScorer, adapt, read_skops, unpickle
from telco_stream.model.trees.ensemble import Ensemble, UnreadableModelError, split_values
from telco_stream.model.trees.from_lightgbm import read_lightgbm
from telco_stream.model.trees.from_sklearn import read_sklearn, sklearn_splits
from telco_stream.model.trees.from_xgboost import read_xgboost, xgboost_document
from telco_stream.model.trees.to_onnx import write_onnx

#: Names of the engines in the table of a manifest.
TREES, SKL2ONNX, GIVEN = "onnx (trees)", "onnx (skl2onnx)", "onnx"
_SINGLE_PRECISION = (
    "The graph has trees and compares in single precision. If it was converted from a model that compares in double, "
    "such as LightGBM's, its answers differ at the splits: import that model's own file."
)


@dataclass(frozen=True, slots=True)
class Opened:
    """Model file that was loaded: the original, other engines, and the numbers at which its trees split."""

    original: Original
    #: Returns the model in the form from which its reasons are computed; raises ModelError if it has none.
    read: Callable[[], Ensemble | Pipeline]
    candidates: tuple[Candidate, ...] = ()
    splits: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    #: Packages that the original needs besides those of every model.
    packages: tuple[str, ...] = ()


def open_model(content: bytes, name: str, codec: Codec, *, trust: bool) -> Opened:
    """Load a model file of any kind; errors call it `name`.

    Raise ModelError if it is of an unknown kind or cannot be used, or if it is a pickle and `trust` is not set.
    """
    kind = kinds.kind_of(content, name)
    if kind.is_code and not trust:
        raise ModelError(
            f"{name} is a pickle, which can run any code when it is loaded: give --trust if you trust its author, or "
            "save the model with skops or in the format of its library"
        )
    advice = f"pip install {kind.package}"
    try:
        with requiring_libraries(f"To read {name}, a model of {kind.name},", ModelError, advice):
            opened = _OPENERS[kind](content, kind, codec)
    except ModelError as error:
        raise ModelError(f"{name} can't be imported: {error}") from error
    return opened if kind in _CORE else replace(opened, packages=(*opened.packages, kind.package))


def _open_sklearn(content: bytes, kind: Kind, codec: Codec) -> Opened:
    scorer = adapt(unpickle(content) if kind is kinds.PICKLE else read_skops(content), codec)
    model, positive = scorer.pipeline, scorer.positive
    candidates = [
        Candidate(TREES, partial(_exported, lambda: _read_fitted(model, codec), codec, positive)),
        Candidate(SKL2ONNX, partial(_converted, scorer, codec)),
    ]
    packages: tuple[str, ...] = ()
    if saved := _saved_by_library(model):
        library, content, own_kind = saved
        candidates.append(Candidate(library, partial(_own_format, library, content, own_kind, codec, positive)))
        packages = (own_kind.package,)
    original = Original(kind.name, EngineFile(scorer, kind.artifact, content), is_code=kind.is_code)
    try:
        splits = split_values(_read_fitted(model, codec), codec.contract)
    except UnreadableModelError:
        splits = sklearn_splits(model, codec)
    read = partial(_read_explained, model, codec, positive)
    return Opened(original, read, tuple(candidates), splits, tuple(_notes(codec, positive)), packages)


def _saved_by_library(model: Any) -> tuple[str, bytes, Kind] | None:  # noqa: ANN401 - a fitted model of any type
    """Return the library of a fitted model, and the model in its format; None unless that is LightGBM or XGBoost."""
    while isinstance(model, Pipeline) and len(model.steps) == 1:
        model = model.steps[0][1]
    match library := type(model).__module__.partition(".")[0]:
        case "lightgbm":
            return library, model.booster_.model_to_string().encode(), kinds.LIGHTGBM
        case "xgboost":
            return library, bytes(model.get_booster().save_raw("json")), kinds.XGBOOST_JSON
    return None


def _read_fitted(model: Any, codec: Codec) -> Ensemble:  # noqa: ANN401 - as above
    """Read the trees of a fitted model; those of other libraries with the values of categories that they know."""
    saved = _saved_by_library(model)
    if saved is None:
        return read_sklearn(model, codec)
    library, content, _ = saved
    if library == "lightgbm":
        return read_lightgbm(content.decode(), codec)
    return read_xgboost(xgboost_document(content), codec)


def _read_explained(model: Any, codec: Codec, positive: int) -> Ensemble | Pipeline:  # noqa: ANN401 - as above
    """Return the trees of a model, whose positive label is that of the contract, or a logistic regression as it is."""
    if is_logistic_regression(model):
        return model
    ensemble = _read_fitted(model, codec)
    return ensemble if positive else ensemble.opposite()


def _open_xgboost(content: bytes, kind: Kind, codec: Codec) -> Opened:
    return _open_trees("xgboost", content, kind, codec, lambda: read_xgboost(xgboost_document(content), codec))


def _open_lightgbm(content: bytes, kind: Kind, codec: Codec) -> Opened:
    return _open_trees("lightgbm", content, kind, codec, lambda: read_lightgbm(content.decode(), codec))


def _open_trees(engine: str, content: bytes, kind: Kind, codec: Codec, read: Callable[[], Ensemble]) -> Opened:
    scorer = load_library(engine, content, codec, version="", threshold=0.5)
    original = Original(engine, EngineFile(scorer, kind.artifact, content))
    try:
        splits = split_values(read(), codec.contract)
    except UnreadableModelError:
        splits = {}
    return Opened(original, read, (Candidate(TREES, partial(_exported, read, codec, 1)),), splits)


def _open_catboost(content: bytes, kind: Kind, codec: Codec) -> Opened:
    scorer = load_library("catboost", content, codec, version="", threshold=0.5)
    original = Original("catboost", EngineFile(scorer, kind.artifact, content))
    return Opened(
        original,
        partial(_unreadable, "the trees of CatBoost can't be read"),
        notes=tuple(_notes(codec, scorer.positive)),
    )


def _open_onnx(content: bytes, kind: Kind, codec: Codec) -> Opened:
    scorer = read_onnx(content, codec)
    read = partial(_unreadable, "an ONNX file doesn't say which of its numbers depend on which feature")
    is_single = any(node.type == "tensor(float)" for node in scorer.session.get_inputs())
    notes = (_SINGLE_PRECISION,) if is_single and b"TreeEnsemble" in content else ()
    return Opened(Original(GIVEN, EngineFile(scorer, kind.artifact, content)), read, notes=notes)


def _unreadable(reason: str) -> Ensemble:
    raise UnreadableModelError(reason)


def _exported(read: Callable[[], Ensemble], codec: Codec, positive: int) -> EngineFile:
    """Write trees as a graph whose positive label is that of the contract."""
    ensemble = read()
    return _graph(write_onnx(ensemble if positive else ensemble.opposite(), codec.contract), codec, 1)


def _own_format(library: str, content: bytes, kind: Kind, codec: Codec, positive: int) -> EngineFile:
    """Load a model from the format of its library, which can't run code as a pickle can."""
    if not positive:
        raise ModelError("its classes are in reverse order, and the format of its library has no classes")
    return EngineFile(load_library(library, content, codec, version="", threshold=0.5), kind.artifact, content)


def _converted(scorer: SklearnScorer, codec: Codec) -> EngineFile:
    if not isinstance(scorer.pipeline, Pipeline):
        raise ModelError("it is not a pipeline that begins with a ColumnTransformer")
    return _graph(convert_with_skl2onnx(scorer.pipeline, codec), codec, scorer.positive)


def _graph(content: bytes, codec: Codec, positive: int) -> EngineFile:
    return EngineFile(load_onnx(content, codec, version="", threshold=0.5, positive=positive), ONNX, content)


def _notes(codec: Codec, positive: int) -> Iterator[str]:
    if not positive:
        label = codec.contract.label
        yield f"The classes of the model are in reverse order, {label.positive} first: this was taken into account."


#: Kinds of files whose library is always installed.
_CORE = (kinds.PICKLE, kinds.ONNX_FILE)
_OPENERS: Mapping[Kind, Callable[[bytes, Kind, Codec], Opened]] = {
    kinds.PICKLE: _open_sklearn,
    kinds.SKOPS: _open_sklearn,
    kinds.XGBOOST_JSON: _open_xgboost,
    kinds.XGBOOST_BINARY: _open_xgboost,
    kinds.LIGHTGBM: _open_lightgbm,
    kinds.CATBOOST: _open_catboost,
    kinds.ONNX_FILE: _open_onnx,
}
