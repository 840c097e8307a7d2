"""`model import` on a contract with nulls in numbers and categories, and models whose first class is its positive."""

import json
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from telco_stream.csv.validation import CsvFormat
from telco_stream.model.artifact import load_scorer
from telco_stream.model.labelled import read_labelled_events
from tests.support.foreign_data import FOLDER, needs_foreign_data
from tests.support.in_process import run_in_process

pytestmark = [pytest.mark.slow, needs_foreign_data]

ROWS = 700


@pytest.fixture(scope="module")
def applicants(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with some rows of the data and their contract."""
    folder = tmp_path_factory.mktemp("applicants")
    with (FOLDER / "credit_data.csv").open() as file:
        (folder / "data.csv").write_text("".join(islice(file, ROWS + 1)))
    options = ("--number-rows", "--label", "Status", "--positive", "bad", "--out", str(folder / "contract.json"))
    assert run_in_process("contract", "infer", str(folder / "data.csv"), *options, env={}).code == 0
    return folder


class Table:
    """Rows of the data as their users have them: a data frame with NaN for null, and the labels."""

    def __init__(self, folder: Path) -> None:
        contract = json.loads((folder / "contract.json").read_text())
        rows = pd.read_csv(folder / "data.csv")
        self.categories = [column["name"] for column in contract["features"] if column["kind"] == "category"]
        self.numbers = [column["name"] for column in contract["features"] if column["kind"] != "category"]
        names = [column["name"] for column in contract["features"]]
        self.texts = rows[names].astype(dict.fromkeys(self.numbers, float))
        self.typed = self.texts.astype(dict.fromkeys(self.categories, "category"))
        self.label, self.is_bad = rows["Status"], np.array(rows["Status"] == "bad")

    def encoded(self, numbers: Any) -> ColumnTransformer:
        encoder = OneHotEncoder(handle_unknown="ignore")
        return ColumnTransformer([("numbers", numbers, self.numbers), ("categories", encoder, self.categories)])


def fit_forest(table: Table) -> tuple[Any, Any]:
    model = make_pipeline(table.encoded("passthrough"), RandomForestClassifier(20, random_state=0))
    return model.fit(table.texts, table.label), table.texts


def fit_boosted(table: Table) -> tuple[Any, Any]:
    model = HistGradientBoostingClassifier(max_iter=20, categorical_features="from_dtype")
    return model.fit(table.typed, table.is_bad), table.typed


def fit_lightgbm(table: Table) -> tuple[Any, Any]:
    lightgbm = pytest.importorskip("lightgbm")
    return lightgbm.LGBMClassifier(n_estimators=20, verbose=-1).fit(table.typed, table.is_bad), table.typed


def fit_xgboost(table: Table) -> tuple[Any, Any]:
    """Fit a pipeline of one step, whose columns are pandas categories."""
    xgboost = pytest.importorskip("xgboost")
    model = make_pipeline(xgboost.XGBClassifier(n_estimators=20, enable_categorical=True))
    return model.fit(table.typed, table.is_bad.astype(int)), table.typed


def fit_stack(table: Table) -> tuple[Any, Any]:
    parts = [("forest", RandomForestClassifier(5, random_state=0)), ("boosted", GradientBoostingClassifier())]
    model = make_pipeline(table.encoded(SimpleImputer()), StackingClassifier(parts, cv=2))
    return model.fit(table.texts, table.label), table.texts


def fit_voters(table: Table) -> tuple[Any, Any]:
    parts = [("forest", RandomForestClassifier(5, random_state=0)), ("boosted", GradientBoostingClassifier())]
    model = make_pipeline(table.encoded(SimpleImputer()), VotingClassifier(parts, voting="soft"))
    return model.fit(table.texts, table.label), table.texts


def fit_calibrated(table: Table) -> tuple[Any, Any]:
    boosted = CalibratedClassifierCV(GradientBoostingClassifier(n_estimators=20), cv=2)
    return make_pipeline(table.encoded(SimpleImputer()), boosted).fit(table.texts, table.label), table.texts


@pytest.mark.parametrize(
    "fit",
    [fit_forest, fit_boosted, fit_lightgbm, fit_xgboost, fit_stack, fit_voters, fit_calibrated],
    ids=lambda fit: fit.__name__,
)
def test_import_serves_what_the_library_predicts_when_values_are_null(
    fit: Callable[[Table], tuple[Any, Any]], applicants: Path, tmp_path: Path
) -> None:
    """The expected probabilities are the library's own, of the data frame that its user had."""
    model, features = fit(Table(applicants))
    joblib.dump(model, tmp_path / "model")
    expected = model.predict_proba(features)[:, 0 if model.classes_[0] == "bad" else 1]
    options = (
        "--contract",
        str(applicants / "contract.json"),
        "--number-rows",
        "--trust",
        "--out",
        str(tmp_path / "out"),
    )
    done = run_in_process(
        "model", "import", str(tmp_path / "model"), "--data", str(applicants / "data.csv"), *options, env={}
    )
    assert done.code == 0, done.err
    scorer = load_scorer(tmp_path / "out")  # an engine other than the pickle serves each of them
    rows = CsvFormat(scorer.codec.contract, number_rows=True, requires_label=True, ignores_time=True)
    scores = scorer.score(read_labelled_events(applicants / "data.csv", rows, scorer.codec).events)
    assert scores == pytest.approx(expected, rel=0, abs=1e-6)
