"""`model import`: each library, with and without categories and nulls, on two contracts, is served equal or refused."""

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import joblib
import numpy as np
import onnxruntime
import pandas as pd
import pytest
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from telco_stream.contract.document import decode_contract
from telco_stream.contract.events import Event
from telco_stream.contract.schema import Boolean, Category, Integer
from telco_stream.csv.validation import CsvFormat
from telco_stream.messages.codec import Codec, compile_contract
from telco_stream.model import engines
from telco_stream.model.artifact import load_scorer
from telco_stream.model.imports.originals import open_model
from telco_stream.model.labelled import read_labelled_events
from telco_stream.model.probes import edge_events, split_events
from tests.support.contracts import SMALL, Document, edited, telco
from tests.support.in_process import run_in_process

pytestmark = pytest.mark.slow

DOCUMENTS: Mapping[str, Document] = {"telco": telco(), "mobile": SMALL}
#: Columns that are null in some rows, with the number that null counts as; None if it is missing to a model.
NULLS: Mapping[str, Mapping[str, float | None]] = {
    "telco": {"tenure": None, "MonthlyCharges": None, "TotalCharges": 0.0, "InternetService": None},
    "mobile": {"data_gb": None, "complaints": 3, "roaming": None, "device": None},
}
#: Largest number in the data, far below the limit of the contract.
LARGEST = 100
#: Rows that models are fitted to, and rows that follow them, in which some values of categories are unknown.
FITTED, UNKNOWN = 300, 20
PROBES, TREES = 1_000, 8

#: End of the reason for which a library's model is refused, if the contract has categories that can be null.
REFUSED = {
    "catboost": "as a category, which can't be null for CatBoost, but can in the contract",
    "onnx": "takes texts, which can't be null, but it can be null in the contract",
}


@dataclass(frozen=True, slots=True)
class Data:
    """Labelled rows of a contract, as columns with None for null and as the data frame of a user of libraries."""

    document: bytes
    codec: Codec
    columns: Mapping[str, Sequence[Any]]
    rows: pd.DataFrame
    labels: Any

    @property
    def names(self) -> list[str]:
        return [feature.name for feature in self.codec.contract.features]

    @property
    def numbers(self) -> list[str]:
        return [number.name for number in self.codec.contract.numbers]

    @property
    def categories(self) -> list[str]:
        return [category.name for category in self.codec.contract.categories]

    @property
    def fitted(self) -> pd.DataFrame:
        return self.rows[:FITTED]

    def typed(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return rows with categories as pandas has them, of which values that were not fitted are missing."""
        known = {name: sorted(self.fitted[name].dropna().unique()) for name in self.categories}
        columns = {name: rows[name].where(rows[name].isin(values)) for name, values in known.items()}
        return rows.assign(**{name: pd.Categorical(column, known[name]) for name, column in columns.items()})

    def texts(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return rows with a text for null in categories, for libraries that have no null there."""
        return rows.assign(**{name: rows[name].fillna("none") for name in self.categories})

    def rows_of(self, events: Sequence[Event]) -> pd.DataFrame:
        """Return events as rows of the data frame."""
        values = {name: self.codec.events.values(name, events) for name in self.names}
        nulls = {name: [value if value != "" else None for value in values[name]] for name in self.categories}
        return make_frame(self.codec, values | nulls)


def make_frame(codec: Codec, columns: Mapping[str, Sequence[Any]]) -> pd.DataFrame:
    """Return columns as a data frame with NaN for null, or the number that the contract gives for it."""
    table = pd.DataFrame({name: pd.Series(list(column), dtype=object) for name, column in columns.items()})
    table = table.where(table.notna(), np.nan).astype({number.name: float for number in codec.contract.numbers})
    fills = {feature.name: getattr(feature, "fill", None) for feature in codec.contract.features}
    return table.fillna({name: fill for name, fill in fills.items() if fill is not None})


@dataclass(frozen=True, slots=True)
class Model:
    """File of a model, and the function by which its library returns the probabilities of both labels for rows."""

    path: Path
    predict: Callable[[pd.DataFrame], Any]
    options: tuple[str, ...] = ()


@cache
def make_data(name: str, *, categories: bool, nulls: bool) -> Data:
    """Return random rows of a contract, from which categories are removed, or in which nothing can be null."""

    def edit(document: Document) -> None:
        kept = [column for column in document["features"] if categories or column["kind"] != "category"]
        for column in kept:
            for flag in ("nullable", "optional", "fill"):
                column.pop(flag, None)
            if nulls and column["name"] in NULLS[name]:
                fill = NULLS[name][column["name"]]
                column.update({"nullable": True} if fill is None else {"nullable": True, "fill": fill})
        names = [column["name"] for column in kept]
        document.update(features=kept, segments=[name for name in document["segments"] if name in names])

    document = edited(edit, DOCUMENTS[name])
    codec = compile_contract(decode_contract(document))
    random = Random(f"{name} {categories} {nulls}")
    columns = {
        feature.name: [_draw(feature, random, row) for row in range(FITTED + UNKNOWN)]
        for feature in codec.contract.features
    }
    rows = make_frame(codec, columns)
    ranks = rows[[number.name for number in codec.contract.numbers]].rank(pct=True).fillna(1.0)
    texts = rows[[category.name for category in codec.contract.categories]]
    scale = ranks.sum(axis=1) + (texts == texts.iloc[0]).sum(axis=1)
    noise = [random.gauss(0, 1) for _ in scale]
    return Data(document, codec, columns, rows, np.array(scale + noise > scale.median()))


def _draw(feature: Any, random: Random, row: int) -> Any:
    if feature.nullable and random.random() < 0.15:
        return None
    match feature:
        case Category():
            is_unknown = feature.other is not None and row >= FITTED
            return "never seen" if is_unknown else random.choice(feature.values)
        case Boolean():
            return random.random() < 0.5
        case Integer():
            return random.randint(feature.minimum, min(feature.maximum, LARGEST))
    return round(random.uniform(feature.minimum, min(feature.maximum, LARGEST)), 2)


def write_files(data: Data, folder: Path) -> None:
    """Write the contract, and a CSV file of the labelled rows, which has blanks for None."""
    contract = data.codec.contract
    (folder / "contract.json").write_bytes(data.document)
    with (folder / "data.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([contract.key.name, *data.names, contract.label.name])
        labels = np.where(data.labels, contract.label.positive, contract.label.negative)
        writer.writerows(zip(range(len(labels)), *data.columns.values(), labels, strict=True))


def encoded(data: Data, numbers: Any) -> ColumnTransformer:
    steps = [("numbers", numbers, data.numbers)]
    if data.categories:
        steps.append(("categories", OneHotEncoder(handle_unknown="ignore"), data.categories))
    return ColumnTransformer(steps)


def make_linear(data: Data) -> Pipeline:
    scaled = make_pipeline(SimpleImputer(), StandardScaler())
    return make_pipeline(encoded(data, scaled), LogisticRegression(max_iter=1000))


def fit_linear(data: Data, folder: Path) -> Model:
    model = make_linear(data).fit(data.fitted, data.labels[:FITTED])
    joblib.dump(model, folder / "model")
    return Model(folder / "model", model.predict_proba, ("--trust",))


def fit_forest(data: Data, folder: Path) -> Model:
    skops = pytest.importorskip("skops.io")
    forest = RandomForestClassifier(TREES, random_state=0)
    model = make_pipeline(encoded(data, "passthrough"), forest).fit(data.fitted, data.labels[:FITTED])
    skops.dump(model, folder / "model")
    return Model(folder / "model", model.predict_proba)


def fit_boosted(data: Data, folder: Path) -> Model:
    model = HistGradientBoostingClassifier(max_iter=TREES, categorical_features="from_dtype")
    model.fit(data.typed(data.fitted), data.labels[:FITTED])
    joblib.dump(model, folder / "model")
    return Model(folder / "model", lambda rows: model.predict_proba(data.typed(rows)), ("--trust",))


def fit_xgboost(data: Data, folder: Path) -> Model:
    xgboost = pytest.importorskip("xgboost")
    model = xgboost.XGBClassifier(n_estimators=TREES, enable_categorical=True, n_jobs=1)
    model.fit(data.typed(data.fitted), data.labels[:FITTED].astype(int))
    model.save_model(folder / "model.ubj")
    return Model(folder / "model.ubj", lambda rows: model.predict_proba(data.typed(rows)))


def fit_lightgbm(data: Data, folder: Path) -> Model:
    lightgbm = pytest.importorskip("lightgbm")
    model = lightgbm.LGBMClassifier(n_estimators=TREES, verbose=-1, n_jobs=1, min_data_per_group=5, cat_smooth=1)
    model.fit(data.typed(data.fitted), data.labels[:FITTED])
    model.booster_.save_model(folder / "model")
    return Model(folder / "model", lambda rows: model.predict_proba(data.typed(rows)))


def fit_catboost(data: Data, folder: Path) -> Model:
    catboost = pytest.importorskip("catboost")
    model = catboost.CatBoostClassifier(
        iterations=TREES, verbose=0, cat_features=data.categories, allow_writing_files=False, thread_count=1
    )
    model.fit(data.texts(data.fitted), data.labels[:FITTED].astype(int))
    model.save_model(str(folder / "model"))
    return Model(folder / "model", lambda rows: model.predict_proba(data.texts(rows)))


def convert_linear(data: Data, folder: Path) -> Model:
    """Write a graph with an input for each column, which onnxruntime runs."""
    model = make_linear(data).fit(data.texts(data.fitted), data.labels[:FITTED])
    types = [
        (name, (StringTensorType if name in data.categories else FloatTensorType)([None, 1])) for name in data.rows
    ]
    options = {id(model): {"zipmap": False}}
    graph = to_onnx(model, initial_types=types, target_opset={"": 18, "ai.onnx.ml": 3}, options=options)
    (folder / "model").write_bytes(graph.SerializeToString())
    session = onnxruntime.InferenceSession(graph.SerializeToString())

    def predict(rows: pd.DataFrame) -> Any:
        columns = data.texts(rows).astype(dict.fromkeys(data.numbers, np.float32))
        return session.run(["probabilities"], {name: columns[[name]].to_numpy() for name in columns})[0]

    return Model(folder / "model", predict)


LIBRARIES: Mapping[str, Callable[[Data, Path], Model]] = {
    "linear": fit_linear,
    "forest": fit_forest,
    "boosted": fit_boosted,
    "xgboost": fit_xgboost,
    "lightgbm": fit_lightgbm,
    "catboost": fit_catboost,
    "onnx": convert_linear,
}


@pytest.mark.parametrize("nulls", [True, False], ids=["nulls", "no nulls"])
@pytest.mark.parametrize("categories", [True, False], ids=["categories", "no categories"])
@pytest.mark.parametrize("contract", DOCUMENTS)
@pytest.mark.parametrize("library", LIBRARIES)
def test_import_serves_equal_or_refuses_with_a_reason(  # noqa: PLR0917 - dimensions of the matrix
    library: str, contract: str, categories: bool, nulls: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "_SECONDS", 0.0)  # which equal engine is the fastest does not matter here
    data = make_data(contract, categories=categories, nulls=nulls)
    write_files(data, tmp_path)
    model = LIBRARIES[library](data, tmp_path)
    files = ("--contract", str(tmp_path / "contract.json"), "--data", str(tmp_path / "data.csv"))
    done = run_in_process(
        *("model", "import", str(model.path), *files, *model.options, "--out", str(tmp_path / "out"), "-q"), env={}
    )
    if library in REFUSED and categories and nulls:
        assert (done.code, done.out, done.err.count("\n")) == (4, "", 1), done.err
        assert done.err.endswith(f"{REFUSED[library]}\n")
        assert not (tmp_path / "out").exists()
        return
    assert done.code == 0, done.err
    scorer = load_scorer(tmp_path / "out")
    csv_format = CsvFormat(data.codec.contract, requires_label=True, ignores_time=True)
    events = read_labelled_events(tmp_path / "data.csv", csv_format, data.codec).events
    assert scorer.score(events) == pytest.approx(model.predict(data.rows)[:, 1], rel=0, abs=1e-6)
    splits = open_model(model.path.read_bytes(), "model", data.codec, trust=True).splits
    assert bool(splits) == (library in {"forest", "boosted", "xgboost", "lightgbm"})
    others = [
        *edge_events(data.codec, events, seed=1)[:PROBES],
        *split_events(data.codec, events, splits, seed=1)[:PROBES],
    ]
    assert scorer.score(others) == pytest.approx(model.predict(data.rows_of(others))[:, 1], rel=0, abs=1e-6)
