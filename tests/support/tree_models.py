"""Models of trees from several libraries, fitted to public data as their users do, to compare exported ones with."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import compress
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from telco_stream.contract.document import builtin_contract, decode_contract
from telco_stream.contract.events import Event
from telco_stream.contract.schema import Boolean, Category, Contract
from telco_stream.csv.infer_options import InferOptions
from telco_stream.csv.inference import infer_contract
from telco_stream.csv.validation import CsvFormat
from telco_stream.messages.codec import Codec, compile_contract
from telco_stream.model.labelled import read_labelled_events
from telco_stream.model.sklearn_engine import frame
from telco_stream.model.trees.ensemble import Ensemble
from telco_stream.model.trees.from_lightgbm import read_lightgbm
from telco_stream.model.trees.from_sklearn import read_sklearn
from telco_stream.model.trees.from_xgboost import read_xgboost, xgboost_document
from tests.support.foreign_data import FOLDER, FOREIGN, TELCO

Predict: TypeAlias = Callable[[Sequence[Event]], NDArray[np.float64]]
TREES = 60


@dataclass(frozen=True, slots=True)
class Data:
    """Labelled events of a contract."""

    codec: Codec
    events: list[Event]
    positive: NDArray[np.bool_]

    @property
    def names(self) -> tuple[list[str], list[str]]:
        """Return the names of the numbers and of the categories."""
        contract = self.codec.contract
        return [number.name for number in contract.numbers], [category.name for category in contract.categories]


@dataclass(frozen=True, slots=True)
class TreeModel:
    """Fitted model: its own predictions, and its trees as they were read."""

    predict: Predict
    read: Callable[[], Ensemble]


Fit: TypeAlias = Callable[[Data], TreeModel]


@dataclass(frozen=True, slots=True)
class FunctionScorer:
    """Scorer that calls a function."""

    predict: Predict
    codec: Codec
    version: str = ""
    threshold: float = 0.5
    engine: str = "sklearn"

    def score(self, events: Sequence[Event]) -> list[float]:
        scores: list[float] = self.predict(events).tolist()
        return scores


@cache
def load_data(name: str, folder: Path, *, nulls: bool) -> Data:
    """Read the public telco data or a foreign set: with nulls that are missing, or only rows without nulls."""
    source = TELCO if name == "telco" else FOLDER / f"{name}.csv"
    csv_format = CsvFormat(builtin_contract()) if name == "telco" else _inferred(name, folder / f"{name}.json")
    csv_format = replace(csv_format, contract=without_fills(csv_format.contract), requires_label=True)
    codec = compile_contract(csv_format.contract)
    labelled = read_labelled_events(source, csv_format, codec)
    data = Data(codec, labelled.events, np.array(labelled.positive))
    return data if nulls else _complete(data)


def without_fills(contract: Contract) -> Contract:
    """Return the contract with nulls that are missing to a model."""
    features = tuple(
        feature if isinstance(feature, Category | Boolean) else msgspec.structs.replace(feature, fill=None)
        for feature in contract.features
    )
    return msgspec.structs.replace(contract, features=features)


def _complete(data: Data) -> Data:
    features = tuple(
        msgspec.structs.replace(feature, nullable=False, optional=False) for feature in data.codec.contract.features
    )
    codec = compile_contract(msgspec.structs.replace(data.codec.contract, features=features))
    names = [feature.name for feature in features]
    columns = [data.codec.events.values(name, data.events) for name in names]
    rows = list(zip(*columns, strict=True))
    is_complete = np.array([None not in row and "" not in row for row in rows])
    events = [codec.events.make(dict(zip(names, row, strict=True))) for row in compress(rows, is_complete)]
    return Data(codec, events, data.positive[is_complete])


def _inferred(name: str, path: Path) -> CsvFormat:
    data = next(data for data in FOREIGN if data.name == name)
    infer_contract(InferOptions(data.path, path, None, data.label, data.positive, number_rows=True), lambda _: None)
    return CsvFormat(decode_contract(path.read_bytes()), number_rows=True)


def pipeline(classifier: Any, numbers: Any = "passthrough", categories: Any = None) -> Fit:
    """Return a function that fits a pipeline; without an encoder of categories it reads numbers only."""

    def fit(data: Data) -> TreeModel:
        number_names, category_names = data.names
        steps = [("numbers", clone_step(numbers), number_names)]
        if categories is not None and category_names:
            steps.append(("categories", clone(categories), category_names))
        model = Pipeline([("columns", ColumnTransformer(steps)), ("classifier", clone(classifier))])
        model.fit(frame(data.codec.events, data.events), data.positive)
        return of_sklearn(model, data)

    return fit


def clone_step(step: Any) -> Any:
    return step if isinstance(step, str) else clone(step)


def of_sklearn(model: Any, data: Data) -> TreeModel:
    events = data.codec.events
    return TreeModel(
        lambda rows: np.asarray(model.predict_proba(frame(events, rows))[:, 1], np.float64),
        lambda: read_sklearn(model, data.codec),
    )


def boosted_with_categories(data: Data) -> TreeModel:
    model = HistGradientBoostingClassifier(max_iter=TREES, categorical_features=data.names[1])
    return of_sklearn(model.fit(frame(data.codec.events, data.events), data.positive), data)


def typed_frame(codec: Codec, fitted: pd.DataFrame, events: Sequence[Event]) -> pd.DataFrame:
    """Return events with categories as pandas has them, of which those that were not fitted are missing."""
    types = {
        category.name: pd.CategoricalDtype(sorted(fitted[category.name].dropna().unique()))
        for category in codec.contract.categories
    }
    return frame(codec.events, events).astype(types)


def lightgbm(data: Data) -> TreeModel:
    """Fit LightGBM to a data frame with categories, and read the text of its file."""
    from lightgbm import LGBMClassifier  # noqa: PLC0415 - slow to import

    fitted = frame(data.codec.events, data.events)
    model = LGBMClassifier(n_estimators=TREES, min_data_per_group=5, cat_smooth=1, verbose=-1, n_jobs=1)
    model.fit(typed_frame(data.codec, fitted, data.events), data.positive.astype(int))
    text = model.booster_.model_to_string()
    return TreeModel(
        lambda rows: np.asarray(model.predict_proba(typed_frame(data.codec, fitted, rows)))[:, 1],
        lambda: read_lightgbm(text, data.codec),
    )


def xgboost(data: Data) -> TreeModel:
    """Fit XGBoost to a data frame with categories, and read its binary file."""
    from xgboost import XGBClassifier  # noqa: PLC0415 - slow to import

    fitted = frame(data.codec.events, data.events)
    model = XGBClassifier(n_estimators=TREES, max_depth=6, enable_categorical=True, max_cat_to_onehot=3, n_jobs=1)
    model.fit(typed_frame(data.codec, fitted, data.events), data.positive.astype(int))
    content = bytes(model.get_booster().save_raw("ubj"))
    return TreeModel(
        lambda rows: model.predict_proba(typed_frame(data.codec, fitted, rows))[:, 1].astype(np.float64),
        lambda: read_xgboost(xgboost_document(content), data.codec),
    )


def lightgbm_in_pipeline(data: Data) -> TreeModel:
    from lightgbm import LGBMClassifier  # noqa: PLC0415 - slow to import

    classifier = LGBMClassifier(n_estimators=TREES, verbose=-1, n_jobs=1)
    return pipeline(classifier, SimpleImputer(strategy="median", add_indicator=True), ONE_HOT)(data)


def xgboost_in_pipeline(data: Data) -> TreeModel:
    from xgboost import XGBClassifier  # noqa: PLC0415 - slow to import

    return pipeline(XGBClassifier(n_estimators=TREES, n_jobs=1), "passthrough", ONE_HOT)(data)


ONE_HOT = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
ORDINAL = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
BOOSTED = HistGradientBoostingClassifier(max_iter=TREES)
FOREST = RandomForestClassifier(TREES, min_samples_leaf=3, random_state=0)
GRADIENT = GradientBoostingClassifier(n_estimators=TREES, random_state=0)
SCALED = make_pipeline(SimpleImputer(strategy="mean"), StandardScaler())

#: Models by name; those in single precision are equal to 1e-6 instead of 1e-12.
MODELS: dict[str, Fit] = {
    "boosted, numbers": pipeline(BOOSTED),
    "boosted, one-hot": pipeline(BOOSTED, categories=ONE_HOT),
    "boosted, scaled, ordinal": pipeline(BOOSTED, StandardScaler(), ORDINAL),
    "boosted, own categories": boosted_with_categories,
    "forest, numbers": pipeline(FOREST),
    "forest, one-hot": pipeline(FOREST, categories=OneHotEncoder(handle_unknown="ignore", drop="if_binary")),
    "forest, ordinal": pipeline(FOREST, categories=ORDINAL),
    "extra trees, one-hot": pipeline(ExtraTreesClassifier(TREES, random_state=0), categories=ONE_HOT),
    "one tree, rare categories": pipeline(
        DecisionTreeClassifier(min_samples_leaf=9), categories=OneHotEncoder(min_frequency=200, handle_unknown="ignore")
    ),
    "gradient boosting, scaled": pipeline(GRADIENT, SCALED, ONE_HOT),
    "gradient boosting, exponential": pipeline(
        GradientBoostingClassifier(n_estimators=TREES, loss="exponential"), SimpleImputer(add_indicator=True), ORDINAL
    ),
    "lightgbm": lightgbm,
    "lightgbm, one-hot": lightgbm_in_pipeline,
    "xgboost": xgboost,
    "xgboost, one-hot": xgboost_in_pipeline,
}
SINGLE = ("xgboost",)
