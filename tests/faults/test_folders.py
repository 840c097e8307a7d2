"""Case 12: workers with each kind of model folder are killed; case 1 has the bundled folder."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import joblib
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from tests.faults.numbered import Predict
from tests.faults.scenario import QUICK, Scenario
from tests.support.in_process import run_in_process
from tests.support.model_folder import edit_manifest
from tests.support.run_summary import FULL
from tests.support.telco import CATEGORIES, FEATURES, NUMBERS
from tests.support.training_data import labelled_rows, write_csv

pytestmark = [pytest.mark.own_broker, pytest.mark.timeout(1200)]
full_only = pytest.mark.skipif(not FULL, reason="runs in the full form (make faults)")

ROWS = labelled_rows(400)
CHURNED = [row["Churn"] == "Yes" for row in ROWS]

#: Fits a model, saves it to the folder, and returns its file and what its own library predicts.
Fit = Callable[[Path], tuple[Path, Predict]]


def forest() -> Any:
    encoder = OneHotEncoder(handle_unknown="ignore")
    columns = ColumnTransformer([("encode", encoder, list(CATEGORIES))], remainder="passthrough")
    return make_pipeline(columns, RandomForestClassifier(20, random_state=0)).fit(numbers_and_texts(ROWS), CHURNED)


def numbers_and_texts(rows: Any) -> pd.DataFrame:
    frame = pd.DataFrame(rows)[list(FEATURES)].replace({"TotalCharges": " "}, 0.0)
    return frame.astype(dict.fromkeys(NUMBERS, float))


def numbers_and_categories(rows: Any) -> pd.DataFrame:
    types = {name: pd.CategoricalDtype(sorted(values)) for name, values in CATEGORIES.items()}
    return numbers_and_texts(rows).astype(types)


def predicting(model: Any, prepare: Callable[[Any], pd.DataFrame]) -> Predict:
    def predict(frame: pd.DataFrame) -> Sequence[float]:
        probabilities: list[float] = model.predict_proba(prepare(frame))[:, 1].tolist()
        return probabilities

    return predict


def fit_pickle(folder: Path) -> tuple[Path, Predict]:
    model = forest()
    joblib.dump(model, folder / "model.joblib")
    return folder / "model.joblib", predicting(model, numbers_and_texts)


def fit_skops(folder: Path) -> tuple[Path, Predict]:
    skops, model = pytest.importorskip("skops.io"), forest()
    skops.dump(model, folder / "model.skops")
    return folder / "model.skops", predicting(model, numbers_and_texts)


def fit_lightgbm(folder: Path) -> tuple[Path, Predict]:
    lightgbm = pytest.importorskip("lightgbm")
    model = lightgbm.LGBMClassifier(n_estimators=20, verbose=-1).fit(numbers_and_categories(ROWS), CHURNED)
    model.booster_.save_model(folder / "model.txt")
    return folder / "model.txt", predicting(model, numbers_and_categories)


def fit_xgboost(folder: Path) -> tuple[Path, Predict]:
    xgboost = pytest.importorskip("xgboost")
    model = xgboost.XGBClassifier(n_estimators=20, enable_categorical=True).fit(numbers_and_categories(ROWS), CHURNED)
    model.save_model(folder / "model.ubj")
    return folder / "model.ubj", predicting(model, numbers_and_categories)


def fit_catboost(folder: Path) -> tuple[Path, Predict]:
    catboost = pytest.importorskip("catboost")
    model = catboost.CatBoostClassifier(
        iterations=20, verbose=0, cat_features=list(CATEGORIES), allow_writing_files=False, thread_count=1
    ).fit(numbers_and_texts(ROWS), [*map(int, CHURNED)])
    model.save_model(str(folder / "model.cbm"))
    return folder / "model.cbm", predicting(model, numbers_and_texts)


@pytest.mark.parametrize(
    ("engine", "artifact", "fit"),
    [
        pytest.param("onnx", "pipeline.onnx", fit_pickle, id="onnx"),
        pytest.param("lightgbm", "pipeline.txt", fit_lightgbm, id="lightgbm"),
        pytest.param("xgboost", "pipeline.ubj", fit_xgboost, id="xgboost", marks=full_only),
        pytest.param("catboost", "pipeline.cbm", fit_catboost, id="catboost", marks=full_only),
        pytest.param("sklearn", "pipeline.skops", fit_skops, id="skops", marks=full_only),
    ],
)
def test_12_each_input_is_answered_once_when_workers_are_killed(
    scenario: Scenario, tmp_path: Path, engine: str, artifact: str, fit: Fit
) -> None:
    """SIGKILL at random moments to one of three workers; the expected probabilities are those of the library."""
    path, predict = fit(tmp_path)
    folder, data = tmp_path / "model", write_csv(tmp_path / "labelled.csv", ROWS)
    imported = run_in_process(
        "model", "import", str(path), "--data", str(data), "--out", str(folder), "--trust", env={}
    )
    assert imported.code == 0, imported.err
    # Two engines can be equally fast, so the one to test is chosen here.
    edit_manifest(folder, lambda manifest: manifest["serving"].update(engine=engine, artifact=artifact))
    with scenario.streaming(settings=QUICK | {"TELCO_STREAM_MODEL__PATH": str(folder)}, predict=predict):
        for _ in range(scenario.form(2, 10)):
            scenario.moment()
            scenario.pool.replace_killed()
