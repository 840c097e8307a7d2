"""Models of trees from several libraries, fitted to public data as their users do, to compare exported ones with."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
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

    def where(self, mask: Sequence[bool]) -> "Data":
        """Return some of the rows."""
        return Data(self.codec, list(compress(self.events, mask)), self.positive[np.array(mask)])


@dataclass(frozen=True, slots=True)
class TreeModel:
    """Fitted model: its input for events, its probabilities of both labels for an input, and its trees as read."""

    prepare: Callable[[Sequence[Event]], Any]
    call: Callable[[Any], Any]
    read: Callable[[], Ensemble]

    def predict(self, events: Sequence[Event]) -> NDArray[np.float64]:
        """Return the probabilities of the positive label."""
        return np.asarray(self.call(self.prepare(events)), np.float64)[:, 1]


Fit: TypeAlias = Callable[[Data], TreeModel]


@dataclass(frozen=True, slots=True)
class FunctionScorer:
    """Scorer that calls a function."""

    predict: Predict
    codec: Codec
    version: str = ""
    threshold: float = 0.5
    engine: str = "sklearn"
    explainer: None = None

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
    return TreeModel(
        partial(frame, data.codec.events),
        model.predict_proba,
        lambda: read_sklearn(model, data.codec),
    )


def boosted_with_categories(trees: int) -> Fit:
    def fit(data: Data) -> TreeModel:
        model = HistGradientBoostingClassifier(max_iter=trees, categorical_features=data.names[1])
        return of_sklearn(model.fit(frame(data.codec.events, data.events), data.positive), data)

    return fit


def typed_frame(codec: Codec, fitted: pd.DataFrame, events: Sequence[Event]) -> pd.DataFrame:
    """Return events with categories as pandas has them, of which those that were not fitted are missing."""
    table = frame(codec.events, events)
    for category in codec.contract.categories:
        known = sorted(fitted[category.name].dropna().unique())
        column = table[category.name]
        table[category.name] = column.where(column.isin(known), None).astype(pd.CategoricalDtype(known))
    return table


def lightgbm(trees: int) -> Fit:
    """Return a function that fits LightGBM to a data frame with categories, and reads the text of its file."""
    from lightgbm import LGBMClassifier  # noqa: PLC0415 - slow to import

    model = LGBMClassifier(n_estimators=trees, verbose=-1, n_jobs=1).set_params(min_data_per_group=5, cat_smooth=1)
    return with_categories(model, lambda fitted, codec: read_lightgbm(fitted.booster_.model_to_string(), codec))


def xgboost(trees: int) -> Fit:
    """Return a function that fits XGBoost to a data frame with categories, and reads its binary file."""
    from xgboost import XGBClassifier  # noqa: PLC0415 - slow to import

    def read(fitted: XGBClassifier, codec: Codec) -> Ensemble:
        return read_xgboost(xgboost_document(bytes(fitted.get_booster().save_raw("ubj"))), codec)

    model = XGBClassifier(n_estimators=trees, max_depth=6, enable_categorical=True, max_cat_to_onehot=3, n_jobs=1)
    return with_categories(model, read)


def with_categories(model: Any, read: Callable[[Any, Codec], Ensemble]) -> Fit:
    def fit(data: Data) -> TreeModel:
        prepare = partial(typed_frame, data.codec, frame(data.codec.events, data.events))
        fitted = clone(model).fit(prepare(data.events), data.positive.astype(int))
        return TreeModel(prepare, fitted.predict_proba, lambda: read(fitted, data.codec))

    return fit


ONE_HOT = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
ORDINAL = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)


def tree_models(trees: int = 30) -> dict[str, Fit]:
    """Return functions that fit models of this number of trees, by name."""
    from lightgbm import LGBMClassifier  # noqa: PLC0415 - slow to import
    from xgboost import XGBClassifier  # noqa: PLC0415 - slow to import

    boosted = HistGradientBoostingClassifier(max_iter=trees)
    forest = RandomForestClassifier(trees, min_samples_leaf=3, random_state=0)
    extra = ExtraTreesClassifier(trees, min_samples_leaf=2, random_state=0)
    gradient = GradientBoostingClassifier(n_estimators=trees, random_state=0)
    exponential = GradientBoostingClassifier(n_estimators=trees, loss="exponential", random_state=0)
    scaled = make_pipeline(SimpleImputer(strategy="mean"), StandardScaler())
    imputed, rare = SimpleImputer(strategy="median", add_indicator=True), OneHotEncoder(min_frequency=200)
    return {
        "boosted, numbers": pipeline(boosted),
        "boosted, one-hot": pipeline(boosted, categories=ONE_HOT),
        "boosted, scaled, ordinal": pipeline(boosted, StandardScaler(), ORDINAL),
        "boosted, own categories": boosted_with_categories(trees),
        "forest, numbers": pipeline(forest),
        "forest, one-hot": pipeline(forest, categories=OneHotEncoder(handle_unknown="ignore", drop="if_binary")),
        "forest, ordinal": pipeline(forest, categories=ORDINAL),
        "extra trees, one-hot": pipeline(extra, categories=ONE_HOT),
        "one tree, rare categories": pipeline(DecisionTreeClassifier(min_samples_leaf=9), categories=rare),
        "gradient boosting, scaled": pipeline(gradient, scaled, ONE_HOT),
        "gradient boosting, exponential": pipeline(exponential, imputed, ORDINAL),
        "lightgbm": lightgbm(trees),
        "lightgbm, one-hot": pipeline(LGBMClassifier(n_estimators=trees, verbose=-1, n_jobs=1), imputed, ONE_HOT),
        "xgboost": xgboost(trees),
        "xgboost, one-hot": pipeline(XGBClassifier(n_estimators=trees, n_jobs=1), "passthrough", ONE_HOT),
    }


#: Models that compute in single precision are equal to 1e-6, others to 1e-12.
SINGLE = ("xgboost",)
MODELS = tree_models()
