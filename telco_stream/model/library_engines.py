"""Engines of XGBoost, LightGBM and CatBoost: each runs a model by the library that fitted it, from arrays."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import nan
from typing import Any

import numpy as np

from telco_stream.contract.events import Event, EventCodec
from telco_stream.contract.schema import Boolean, Category, Integer
from telco_stream.errors import ModelError
from telco_stream.messages.codec import Codec
from telco_stream.model.features import Table, category_texts, feature_table, input_table
from telco_stream.model.reasons.explainer import Explainer
from telco_stream.model.scorer import call_model, check_probabilities, positive_position
from telco_stream.model.trees.columns import model_table
from telco_stream.model.trees.from_lightgbm import lightgbm_columns
from telco_stream.model.trees.from_xgboost import xgboost_columns, xgboost_document, xgboost_rounds

#: Returns the probabilities of both labels, as [events, 2].
Predict = Callable[[Sequence[Event]], Any]


@dataclass(frozen=True, slots=True)
class LibraryScorer:
    """Scorer that runs a model by its own library; `positive` is the position of the positive label."""

    engine: str
    version: str
    threshold: float
    codec: Codec
    predict: Predict
    positive: int = 1
    explainer: Explainer | None = None

    def score(self, events: Sequence[Event]) -> list[float]:
        """Return the probability of each event, in their order; raise ScoringError if the model fails."""
        scores: list[float] = call_model(self.engine, self.predict, events)[:, self.positive].tolist()
        return scores


def load_library(engine: str, content: bytes, codec: Codec, *, version: str, threshold: float) -> LibraryScorer:
    """Create the scorer from the verified bytes of a model file; raise ModelError if it cannot be used."""
    predict, positive = _LOADERS[engine](content, codec)
    check_probabilities(codec.events, predict)
    return LibraryScorer(engine, version, threshold, codec, predict, positive)


def _load_xgboost(content: bytes, codec: Codec) -> tuple[Predict, int]:
    import xgboost  # noqa: PLC0415 - only this engine needs it

    document = xgboost_document(content)
    columns, rounds = xgboost_columns(document, codec), xgboost_rounds(document)
    booster = xgboost.Booster({"nthread": 1}, model_file=bytearray(content))

    def predict(events: Sequence[Event]) -> Any:  # noqa: ANN401 - an array
        table = model_table(columns, input_table(codec.events, events))
        predicted = booster.inplace_predict(table, iteration_range=(0, rounds), missing=nan, validate_features=False)
        return _both(predicted)

    return predict, 1


def _load_lightgbm(content: bytes, codec: Codec) -> tuple[Predict, int]:
    import lightgbm  # noqa: PLC0415 - only this engine needs it

    text = content.decode()
    columns = lightgbm_columns(text, codec)
    booster = lightgbm.Booster(model_str=text)

    def predict(events: Sequence[Event]) -> Any:  # noqa: ANN401 - an array
        return _both(booster.predict(model_table(columns, input_table(codec.events, events)), num_threads=1))

    return predict, 1


def _both(positive: Any) -> Any:  # noqa: ANN401 - an array of any shape
    """Return the probabilities of both labels, or the model's answer if it is not one number for each event."""
    return np.column_stack([1.0 - positive, positive]) if positive.ndim == 1 else positive


def _load_catboost(content: bytes, codec: Codec) -> tuple[Predict, int]:
    import catboost  # noqa: PLC0415 - only this engine needs it

    model = catboost.CatBoostClassifier()
    try:
        model.load_model(blob=content)
    except catboost.CatBoostError as error:
        raise ModelError(f"CatBoost can't load it: {error}") from error
    if model.get_text_feature_indices() or model.get_embedding_feature_indices():
        raise ModelError("it reads columns of texts or embeddings")
    categories = set(model.get_cat_feature_indices())
    readers = [
        _catboost_column(codec.events, name, is_category=position in categories)
        for position, name in enumerate(model.feature_names_)
    ]

    def predict(events: Sequence[Event]) -> Any:  # noqa: ANN401 - an array
        table, rows = feature_table(codec.events, events), np.empty((len(events), len(readers)), object)
        for position, read in enumerate(readers):
            rows[:, position] = read(table)
        return model.predict_proba(rows, thread_count=1)

    return predict, positive_position(model.classes_, codec.contract.label)


def _catboost_column(codec: EventCodec, name: str, *, is_category: bool) -> Callable[[Table], Any]:
    """Return the function that reads a column as CatBoost takes it: numbers, and texts for categories."""
    features = {feature.name: (position, feature) for position, feature in enumerate(codec.contract.features)}
    if name not in features:
        raise ModelError(f"it reads columns that the contract does not have: {name}")
    position, feature = features[name]
    if not is_category:
        if isinstance(feature, Category):
            raise ModelError(f"it reads {name} as a number, but it is a category in the contract")
        return lambda table: table[:, position]
    if feature.nullable and getattr(feature, "fill", None) is None:
        raise ModelError(f"it reads {name} as a category, which can't be null for CatBoost, but can in the contract")
    if isinstance(feature, Category):
        texts = np.array(category_texts(codec, feature), object)
        return lambda table: texts[table[:, position].astype(np.intp)]
    if isinstance(feature, Integer | Boolean):
        convert = int if isinstance(feature, Integer) else bool
        return lambda table: [str(convert(value)) for value in table[:, position].tolist()]
    raise ModelError(f"it reads {name} as a category, but it is a number in the contract")


_LOADERS: dict[str, Callable[[bytes, Codec], tuple[Predict, int]]] = {
    "xgboost": _load_xgboost,
    "lightgbm": _load_lightgbm,
    "catboost": _load_catboost,
}
