"""`model import`: models of every library become checked folders, and no engine serves that is not equal."""

import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError
from operator import attrgetter, methodcaller
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from telco_stream.contract.document import decode_contract
from telco_stream.errors import ModelError
from telco_stream.messages.codec import Codec, compile_contract
from telco_stream.model import training
from telco_stream.model.artifact import (
    BASELINE,
    GOLDEN,
    load_files,
    load_requested,
    load_scorer,
    read_folder,
    read_manifest,
)
from telco_stream.model.calibration import logit
from telco_stream.model.reasons.request import ReasonRequest
from telco_stream.model.trees.from_lightgbm import read_lightgbm
from telco_stream.registry.archive import unpack
from telco_stream.registry.run import package
from tests.support import converted_lightgbm
from tests.support.cli import ROOT
from tests.support.contracts import Edit, edited, telco
from tests.support.in_process import CompletedRun, run_in_process
from tests.support.model_folder import edit_manifest, replace_artifact
from tests.support.telco import CATEGORIES, CODEC, FEATURES, NUMBERS
from tests.support.training_data import customers_of, labelled_rows, write_csv
from tests.support.tree_models import Data

pytestmark = pytest.mark.slow

ROWS = labelled_rows(400)
FRAME = pd.DataFrame(ROWS)[list(FEATURES)].replace({"TotalCharges": " "}, 0.0).astype(dict.fromkeys(NUMBERS, float))
CHURNED = np.array([row["Churn"] == "Yes" for row in ROWS])
WITH_CATEGORIES = FRAME.astype(dict.fromkeys(CATEGORIES, "category"))


@dataclass(frozen=True)
class Fitted:
    """Model file, what its own library predicts for the rows, and the engines that may serve: the faster one does."""

    path: Path
    expected: Any
    engines: str
    options: tuple[str, ...] = ()


def columns(numbers: Any = "passthrough") -> ColumnTransformer:
    encoder = OneHotEncoder(handle_unknown="ignore")
    return ColumnTransformer([("numbers", numbers, list(NUMBERS)), ("categories", encoder, list(CATEGORIES))])


def dump(model: Any, folder: Path) -> Path:
    joblib.dump(model, folder / "model.joblib")
    return folder / "model.joblib"


def fit_linear(folder: Path) -> Fitted:
    model = make_pipeline(columns(StandardScaler()), LogisticRegression(max_iter=1000)).fit(FRAME, CHURNED)
    return Fitted(dump(model, folder), model.predict_proba(FRAME)[:, 1], "onnx", ("--trust",))


def fit_forest(folder: Path) -> Fitted:
    model = make_pipeline(columns(), RandomForestClassifier(20, random_state=0)).fit(FRAME, CHURNED)
    return Fitted(dump(model, folder), model.predict_proba(FRAME)[:, 1], "onnx", ("--trust",))


def fit_boosted_with_categories(folder: Path) -> Fitted:
    model = HistGradientBoostingClassifier(max_iter=20, categorical_features="from_dtype").fit(WITH_CATEGORIES, CHURNED)
    return Fitted(dump(model, folder), model.predict_proba(WITH_CATEGORIES)[:, 1], "onnx", ("--trust",))


def fit_skops(folder: Path) -> Fitted:
    skops = pytest.importorskip("skops.io")
    model = make_pipeline(columns(), RandomForestClassifier(20, random_state=0)).fit(FRAME, CHURNED)
    skops.dump(model, folder / "model.skops")
    return Fitted(folder / "model.skops", model.predict_proba(FRAME)[:, 1], "onnx")


def fit_lightgbm(folder: Path) -> Fitted:
    lightgbm = pytest.importorskip("lightgbm")
    model = lightgbm.LGBMClassifier(n_estimators=20, verbose=-1).fit(WITH_CATEGORIES, CHURNED)
    model.booster_.save_model(folder / "model.txt")
    return Fitted(folder / "model.txt", model.predict_proba(WITH_CATEGORIES)[:, 1], "onnx lightgbm")


def fit_pickled_lightgbm(folder: Path) -> Fitted:
    lightgbm = pytest.importorskip("lightgbm")
    model = lightgbm.LGBMClassifier(n_estimators=20, verbose=-1).fit(WITH_CATEGORIES, CHURNED)
    expected = model.predict_proba(WITH_CATEGORIES)[:, 1]
    return Fitted(dump(model, folder), expected, "onnx lightgbm", ("--trust",))


def fit_pickled_xgboost(folder: Path) -> Fitted:
    xgboost = pytest.importorskip("xgboost")
    model = xgboost.XGBClassifier(n_estimators=20, enable_categorical=True).fit(WITH_CATEGORIES, CHURNED)
    expected = model.predict_proba(WITH_CATEGORIES)[:, 1]
    return Fitted(dump(model, folder), expected, "onnx xgboost", ("--trust",))


def fit_xgboost(folder: Path, suffix: str = "json") -> Fitted:
    xgboost = pytest.importorskip("xgboost")
    model = xgboost.XGBClassifier(n_estimators=20, enable_categorical=True).fit(WITH_CATEGORIES, CHURNED)
    model.save_model(folder / f"model.{suffix}")
    return Fitted(folder / f"model.{suffix}", model.predict_proba(WITH_CATEGORIES)[:, 1], "onnx xgboost")


def fit_xgboost_binary(folder: Path) -> Fitted:
    return fit_xgboost(folder, "ubj")


def fit_catboost(folder: Path) -> Fitted:
    catboost = pytest.importorskip("catboost")
    model = catboost.CatBoostClassifier(
        iterations=20, verbose=0, cat_features=list(CATEGORIES), allow_writing_files=False, thread_count=1
    ).fit(FRAME, CHURNED.astype(int))
    model.save_model(str(folder / "model.cbm"))
    return Fitted(folder / "model.cbm", model.predict_proba(FRAME)[:, 1], "catboost")


def give_onnx(folder: Path) -> Fitted:
    """The file of another folder."""
    fitted = fit_linear(folder)
    assert run_import(fitted.path, folder, *fitted.options, out="first").code == 0
    return Fitted(folder / "first/pipeline.onnx", fitted.expected, "onnx")


FITTED: list[Callable[[Path], Fitted]] = [
    *(fit_linear, fit_forest, fit_boosted_with_categories, fit_skops, fit_lightgbm, fit_pickled_lightgbm),
    *(fit_pickled_xgboost, fit_xgboost, fit_xgboost_binary, fit_catboost, give_onnx),
]


def run_import(model: Path, folder: Path, *options: str, out: str = "mine") -> CompletedRun:
    data = write_csv(folder / "labelled.csv", ROWS)
    arguments = (str(model), "--data", str(data), "--out", str(folder / out), *options)
    return run_in_process("model", "import", *arguments, env={})


def write_contract(folder: Path, edit: Edit) -> Path:
    """Write an edited copy of the built-in contract."""
    (folder / "contract.json").write_bytes(edited(edit, telco()))
    return folder / "contract.json"


@pytest.mark.parametrize("fit", FITTED, ids=lambda fit: fit.__name__)
def test_import_serves_what_the_library_predicts(fit: Callable[[Path], Fitted], tmp_path: Path) -> None:
    fitted = fit(tmp_path)
    done = run_import(fitted.path, tmp_path, *fitted.options, "--output", "json")
    assert done.code == 0, done.err
    result = json.loads(done.out)
    scorer = load_scorer(tmp_path / "mine")
    assert scorer.engine in fitted.engines.split()
    assert scorer.score(customers_of(ROWS)) == pytest.approx(fitted.expected, rel=0, abs=1e-6)
    (serving,) = [engine for engine in result["engines"] if engine["serves"]]
    assert serving["max_difference"] <= 1e-6
    assert "from its pickle" not in done.err
    assert min(serving[f"us_{size}"] for size in (1, 50, 5_000)) > 0
    manifest = read_manifest(tmp_path / "mine")
    assert {GOLDEN, BASELINE} <= set(manifest.artifacts)
    assert manifest.metrics.method.startswith("in-sample")


@pytest.mark.parametrize("fit", FITTED, ids=lambda fit: fit.__name__)
def test_imported_engine_gives_the_same_bits_in_batches_of_any_size(
    fit: Callable[[Path], Fitted], tmp_path: Path
) -> None:
    fitted, customers = fit(tmp_path), customers_of(ROWS)
    assert run_import(fitted.path, tmp_path, *fitted.options).code == 0
    scorer = load_scorer(tmp_path / "mine")
    parts = [scorer.score(customers[start : start + 7]) for start in range(0, len(customers), 7)]
    assert [score for part in parts for score in part] == scorer.score(customers)
    assert [scorer.score([customer])[0] for customer in customers[:50]] == scorer.score(customers)[:50]


class Trap:
    """Object that creates a folder when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.mkdir, (self.trace,)


def test_import_unpickles_nothing_without_trust(tmp_path: Path) -> None:
    model, trace = tmp_path / "model.txt", tmp_path / "trace"
    model.write_bytes(pickle.dumps(Trap(trace)))
    done = run_import(model, tmp_path)
    assert (done.code, done.out) == (4, "")
    assert "is a pickle, which can run any code when it is loaded: give --trust" in done.err
    assert not trace.exists()
    assert run_import(model, tmp_path, "--trust").code == 4  # the trap works, and is not a model
    assert trace.exists()


def test_import_refuses_a_skops_file_with_types_that_may_run_code(tmp_path: Path) -> None:
    skops = pytest.importorskip("skops.io")
    model = make_pipeline(FunctionTransformer(attrgetter("values")), LogisticRegression())
    skops.dump(model, tmp_path / "model.skops")
    done = run_import(tmp_path / "model.skops", tmp_path, "--trust")
    assert done.code == 4
    assert "types that may run code" in done.err


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        ({"model": 1}, "a dict has no predict_proba"),
        (LinearRegression(), "a LinearRegression has no predict_proba"),
        (
            RandomForestClassifier(2).fit(FRAME[list(NUMBERS)], [number % 3 for number in range(400)]),
            "its classes are not No and Yes, nor 0 and 1, but 0, 1, 2",
        ),
        (
            RandomForestClassifier(2).fit(FRAME[["tenure"]].assign(age=1.0, income=2.0), CHURNED),
            "it reads columns that the contract does not have: age, income",
        ),
        (
            make_pipeline(
                ColumnTransformer([("c", OneHotEncoder(categories=[["Male"]], handle_unknown="error"), ["gender"])]),
                LogisticRegression(),
            ).fit(FRAME[FRAME["gender"] == "Male"], CHURNED[FRAME["gender"] == "Male"]),
            "Found unknown categories",
        ),
    ],
    ids=["a dict", "regression", "three classes", "other columns", "unknown values"],
)
def test_import_refuses_in_one_line_when_the_model_does_not_fit(model: Any, reason: str, tmp_path: Path) -> None:
    done = run_import(dump(model, tmp_path), tmp_path, "--trust", "-q")
    assert (done.code, done.out) == (4, "")
    assert reason in done.err
    assert done.err.count("\n") == 1
    assert not (tmp_path / "mine").exists()


@pytest.mark.parametrize("name", ["xgboost", "lightgbm", "catboost", "skops"])
def test_import_names_the_command_when_a_library_is_missing(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts = {
        "xgboost": b'{"learner":{}}',
        "lightgbm": b"tree\n",
        "catboost": b"CBM1",
        "skops": b"PK\x03\x04schema.json",
    }
    (tmp_path / "model").write_bytes(starts.get(name, b"PK\x03\x04schema.json"))
    monkeypatch.setitem(sys.modules, name, None)
    done = run_import(tmp_path / "model", tmp_path)
    assert done.code == 4
    assert f"pip install {'xgboost-cpu' if name == 'xgboost' else name}" in done.err


def test_load_scorer_names_the_command_when_the_library_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run_import(fit_catboost(tmp_path).path, tmp_path).code == 0
    monkeypatch.setitem(sys.modules, "catboost", None)
    with pytest.raises(ModelError, match="pip install catboost, or build the image with --build-arg EXTRAS=catboost"):
        load_scorer(tmp_path / "mine")


@pytest.mark.parametrize("classifier", [LogisticRegression(max_iter=1000), RandomForestClassifier(5, random_state=0)])
def test_import_takes_classes_in_reverse_order_into_account(classifier: Any, tmp_path: Path) -> None:
    """The contract asks for those who stay, whose label is the first class of the model."""
    contract = write_contract(tmp_path, lambda document: document["label"].update(positive="No", negative="Yes"))
    model = make_pipeline(columns(StandardScaler()), classifier).fit(FRAME, np.where(CHURNED, "Yes", "No"))
    done = run_import(dump(model, tmp_path), tmp_path, "--trust", "--contract", str(contract))
    assert done.code == 0, done.err
    assert "classes of the model are in reverse order, No first" in done.err
    for engine in ("auto", "sklearn"):
        scores = load_scorer(tmp_path / "mine", engine).score(customers_of(ROWS))
        assert scores == pytest.approx(model.predict_proba(FRAME)[:, 0], rel=0, abs=1e-6)


def fit_without_converter(folder: Path) -> Path:
    """Fit a pipeline with a step that skl2onnx cannot convert."""
    steps = [("root", FunctionTransformer(np.cbrt, feature_names_out="one-to-one")), ("scale", StandardScaler())]
    return dump(make_pipeline(columns(Pipeline(steps)), LogisticRegression()).fit(FRAME, CHURNED), folder)


def test_scikit_learn_serves_when_no_other_engine_is_equal(tmp_path: Path) -> None:
    """As the command says: only `--engine sklearn` loads a pickle."""
    done = run_import(fit_without_converter(tmp_path), tmp_path, "--trust", "--output", "json")
    (serving,) = [engine["name"] for engine in json.loads(done.out)["engines"] if engine["serves"]]
    assert serving == "scikit-learn"
    assert "scikit-learn serves the model from its pickle: commands load it only with --engine sklearn" in done.err
    assert f"use --engine sklearn with --model {tmp_path / 'mine'} or " in done.err
    with pytest.raises(ModelError, match=r"no compiled form.*--engine sklearn"):
        load_scorer(tmp_path / "mine")
    assert load_scorer(tmp_path / "mine", "sklearn").engine == "sklearn"


@pytest.mark.parametrize(
    ("library", "name", "options"),
    [("lightgbm", "LGBMClassifier", {"linear_tree": True}), ("xgboost", "XGBClassifier", {"booster": "dart"})],
)
def test_library_serves_a_pickled_model_in_its_own_format(
    library: str, name: str, options: dict[str, Any], tmp_path: Path
) -> None:
    """Of kinds that have no ONNX form: the folder can be published, because it needs no pickle."""
    numbers = FRAME[list(NUMBERS)]
    model = getattr(pytest.importorskip(library), name)(n_estimators=20, verbosity=0, **options).fit(numbers, CHURNED)
    done = run_import(dump(model, tmp_path), tmp_path, "--trust", "--output", "json")
    assert done.code == 0, done.err
    assert "from its pickle" not in done.err
    engines = {engine["name"]: engine for engine in json.loads(done.out)["engines"]}
    assert list(engines) == ["onnx (trees)", "onnx (skl2onnx)", library, "scikit-learn"]
    assert (engines[library]["serves"], engines[library]["max_difference"] < 1e-12) == (True, True)
    scorer = load_scorer(tmp_path / "mine")
    assert scorer.engine == library
    assert scorer.score(customers_of(ROWS)) == pytest.approx(model.predict_proba(numbers)[:, 1], rel=0, abs=1e-12)
    assert load_files(unpack(package(tmp_path / "mine").archive), "archive").engine == library


def test_library_does_not_serve_a_pickled_model_with_reversed_classes(tmp_path: Path) -> None:
    """Its own format does not name the classes."""
    lightgbm = pytest.importorskip("lightgbm")
    contract = write_contract(tmp_path, lambda document: document["label"].update(positive="No", negative="Yes"))
    model = lightgbm.LGBMClassifier(n_estimators=5, verbose=-1).fit(
        FRAME[list(NUMBERS)], np.where(CHURNED, "Yes", "No")
    )
    options = ("--trust", "--contract", str(contract), "--output", "json")
    engines = json.loads(run_import(dump(model, tmp_path), tmp_path, *options).out)["engines"]
    assert "its classes are in reverse order" in engines[2]["rejected"]
    scores = load_scorer(tmp_path / "mine").score(customers_of(ROWS))
    assert scores == pytest.approx(model.predict_proba(FRAME[list(NUMBERS)])[:, 0], rel=0, abs=1e-6)


def test_libraries_name_the_version_of_either_build(monkeypatch: pytest.MonkeyPatch) -> None:
    """XGBoost with CUDA is a package of another name."""

    def version(name: str) -> str:
        if name == "xgboost-cpu":
            raise PackageNotFoundError(name)
        return f"{name} 1"

    monkeypatch.setattr(training, "version", version)
    assert training.library_versions("xgboost-cpu")["xgboost-cpu"] == "xgboost 1"


def test_import_rejects_a_converter_that_lies(tmp_path: Path) -> None:
    """Forests of skl2onnx send null the wrong way (its issue 1253): the exporter of trees serves."""
    without_fill = FRAME.assign(TotalCharges=FRAME["TotalCharges"].replace(0.0, np.nan))
    model = make_pipeline(columns(), RandomForestClassifier(20, random_state=0)).fit(without_fill, CHURNED)
    contract = write_contract(tmp_path, lambda document: document["features"][-1].pop("fill"))
    options = ("--trust", "--contract", str(contract), "--output", "json")
    trees, converted, original = json.loads(run_import(dump(model, tmp_path), tmp_path, *options).out)["engines"]
    assert (trees["serves"], trees["rejected"]) == (True, None)
    assert "it differs from the original by up to" in converted["rejected"]
    assert "for null in `TotalCharges`" in converted["rejected"]
    assert converted["max_difference"] > 1e-3
    assert converted["us_50"] is None
    assert (original["name"], original["max_difference"]) == ("scikit-learn", 0.0)
    shown = run_in_process("model", "show", "--model", str(tmp_path / "mine"), env={}).out
    assert "onnx (trees)" in shown
    assert "onnx (skl2onnx): it differs from the original" in " ".join(shown.split())
    assert all(len(line) <= 80 for line in shown.splitlines())


def test_import_measures_on_the_holdout_when_given(tmp_path: Path) -> None:
    held_out = write_csv(tmp_path / "holdout.csv", labelled_rows(200, seed=9))
    options = ("--trust", "--holdout", str(held_out))
    assert run_import(fit_forest(tmp_path).path, tmp_path, *options).code == 0
    assert run_import(fit_forest(tmp_path).path, tmp_path, "--trust", out="in-sample").code == 0
    measured, flattering = (read_manifest(tmp_path / name) for name in ("mine", "in-sample"))
    assert measured.metrics.method.startswith("hold-out")
    assert measured.metrics.roc_auc < flattering.metrics.roc_auc - 0.05
    assert "hold-out" in measured.threshold_rule


def test_import_chooses_the_threshold_as_asked(tmp_path: Path) -> None:
    model = fit_linear(tmp_path).path
    chosen = {}
    for name, options in {
        "fixed": ("--threshold", "0.42"),
        "cheap": ("--contact-cost", "1", "--customer-value", "100"),
        "dear": ("--contact-cost", "60", "--customer-value", "100"),
    }.items():
        assert run_import(model, tmp_path, "--trust", *options, out=name).code == 0
        chosen[name] = read_manifest(tmp_path / name).threshold
    assert chosen["fixed"] == 0.42
    assert chosen["cheap"] < 0.2
    assert chosen["dear"] > 0.4
    assert run_import(model, tmp_path, "--trust", "--contact-cost", "1").code == 2
    assert run_import(model, tmp_path, "--trust", "--threshold", "0.1", "--contact-cost", "1").code == 2


def test_import_keeps_a_model_unless_replaced(tmp_path: Path) -> None:
    model = fit_linear(tmp_path).path
    assert [run_import(model, tmp_path, "--trust").code for _ in range(2)] == [0, 2]
    again = run_import(model, tmp_path, "--trust", "--replace", "--output", "json")
    assert json.loads(again.out)["replaced"]["same_data"] is True


def test_import_warns_when_the_model_is_no_better_than_chance(tmp_path: Path) -> None:
    random = np.random.default_rng(0).permutation(CHURNED)
    model = make_pipeline(columns(StandardScaler()), LogisticRegression(C=1e-6)).fit(FRAME, random)
    held_out = write_csv(tmp_path / "holdout.csv", labelled_rows(200, seed=9))
    done = run_import(dump(model, tmp_path), tmp_path, "--trust", "--holdout", str(held_out))
    assert (done.code, "hardly better than chance" in done.err) == (0, True)


def test_load_scorer_refuses_an_imported_model_when_its_golden_rows_differ(tmp_path: Path) -> None:
    assert run_import(fit_catboost(tmp_path).path, tmp_path).code == 0
    golden = json.loads((tmp_path / "mine" / GOLDEN).read_text())
    golden["probabilities"][0] = 1 - golden["probabilities"][0]
    replace_artifact(tmp_path / "mine", GOLDEN, json.dumps(golden).encode())
    with pytest.raises(ModelError, match="golden rows"):
        load_scorer(tmp_path / "mine")


def convert_columns(folder: Path, **options: Any) -> tuple[Path, Any]:
    """Convert a pipeline as users do: an input for each column. Return also its probabilities."""
    model = make_pipeline(columns(StandardScaler()), LogisticRegression(max_iter=1000)).fit(FRAME, CHURNED)
    types = [(name, StringTensorType([None, 1])) for name in CATEGORIES]
    types += [(name, FloatTensorType([None, 1])) for name in NUMBERS]
    graph = to_onnx(model, initial_types=types, target_opset={"": 18, "ai.onnx.ml": 3}, options={id(model): options})
    (folder / "model.onnx").write_bytes(graph.SerializeToString())
    return folder / "model.onnx", model.predict_proba(FRAME)[:, 1]


def test_import_takes_a_graph_with_an_input_for_each_column(tmp_path: Path) -> None:
    path, expected = convert_columns(tmp_path, zipmap=False)
    done = run_import(path, tmp_path)
    assert (done.code, "single precision" in done.err) == (0, False)  # which matters for trees only
    assert load_scorer(tmp_path / "mine").score(customers_of(ROWS)) == pytest.approx(expected, rel=0, abs=1e-6)


def test_import_refuses_a_graph_that_returns_dictionaries(tmp_path: Path) -> None:
    done = run_import(convert_columns(tmp_path, zipmap=True)[0], tmp_path)
    assert (done.code, "zipmap=False" in done.err) == (4, True)


def test_import_refuses_a_graph_that_cannot_be_loaded(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(convert_columns(tmp_path, zipmap=False)[0].read_bytes()[:-100])
    done = run_import(tmp_path / "model.onnx", tmp_path)
    assert (done.code, done.err.count("\n")) == (4, 1)
    assert "can't load it (InvalidProtobuf): the file is damaged, or needs a newer version" in done.err


def test_import_names_columns_of_a_graph_that_the_contract_does_not_have(tmp_path: Path) -> None:
    contract = write_contract(tmp_path, lambda document: document["features"].pop(0))  # the gender
    done = run_import(convert_columns(tmp_path, zipmap=False)[0], tmp_path, "--contract", str(contract))
    assert (done.code, "columns that the contract does not have: gender" in done.err) == (4, True)


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (lambda features: features[0].update(nullable=True), "gender as a category, which can't be null for CatBoost"),
        (lambda features: features.pop(0), "columns that the contract does not have: gender"),
    ],
)
def test_import_refuses_a_catboost_model_that_the_contract_does_not_fit(
    edit: Callable[[Any], object], reason: str, tmp_path: Path
) -> None:
    contract = write_contract(tmp_path, lambda document: edit(document["features"]))
    done = run_import(fit_catboost(tmp_path).path, tmp_path, "--contract", str(contract))
    assert (done.code, reason in done.err, len(done.err.splitlines())) == (4, True, 1), done.err


def test_imported_boosted_models_need_neither_pandas_nor_scikit_learn_to_serve(tmp_path: Path) -> None:
    """A smaller image serves a folder by the library that fitted the model."""
    for fit, engine in ((fit_lightgbm, "lightgbm"), (fit_xgboost, "xgboost")):
        folder = tmp_path / engine
        folder.mkdir()
        assert run_import(fit(folder).path, folder).code == 0
        artifact = next(path.name for path in (folder / "mine").glob("pipeline.*") if path.suffix != ".onnx")
        serving = {"engine": engine, "artifact": artifact, "positive": 1}
        edit_manifest(folder / "mine", methodcaller("update", serving=serving))
        done = subprocess.run([sys.executable, "-c", WITHOUT_PANDAS, str(folder / "mine")], check=False, cwd=ROOT)
        assert done.returncode == 0


WITHOUT_PANDAS = """
import sys
sys.modules.update(dict.fromkeys(["pandas", "sklearn", "joblib", "onnx", "skl2onnx"]))
from pathlib import Path
from telco_stream.model.artifact import load_scorer
assert load_scorer(Path(sys.argv[1])).engine in {"lightgbm", "xgboost"}
"""


def test_import_stores_exact_and_approximate_reasons_of_trees(tmp_path: Path) -> None:
    assert run_import(fit_lightgbm(tmp_path).path, tmp_path).code == 0
    files, customers = read_folder(tmp_path / "mine"), customers_of(ROWS)
    for approximate in (False, True):
        scorer = load_requested(files, "mine", "auto", ReasonRequest(1, approximate=approximate))
        assert scorer.explainer is not None
        assert scorer.explainer.is_approximate == approximate
        logits = scorer.explainer.base + scorer.explainer.contributions(customers).sum(axis=1)
        assert logits == pytest.approx(logit(np.array(scorer.score(customers))), abs=1e-9)


def test_import_refuses_converted_trees_with_categories(tmp_path: Path) -> None:
    """Nothing in the file says what the codes mean."""
    done = run_import(write_converted(tmp_path, CODEC), tmp_path)
    assert (done.code, "its inputs are input, not codes, numbers" in done.err) == (4, True), done.err


def test_import_warns_of_converted_trees_in_single_precision(tmp_path: Path) -> None:
    """Without categories the file can be used, but is itself the original that engines are compared with."""
    contract = write_contract(tmp_path, keep_numbers)
    codec = compile_contract(decode_contract(contract.read_bytes()))
    options = ("--contract", str(contract))
    done = run_import(write_converted(tmp_path, codec), tmp_path, *options)
    assert (done.code, "compares in single precision" in done.err) == (0, True), done.err


def keep_numbers(document: Any) -> None:
    features = [feature for feature in document["features"] if feature["kind"] != "category"]
    document.update(features=features, segments=[])


def write_converted(folder: Path, codec: Codec) -> Path:
    """Write the ONNX file of a LightGBM model as a public converter does."""
    text = converted_lightgbm.fit(Data(codec, customers_of(ROWS, codec), CHURNED))
    content = converted_lightgbm.convert(read_lightgbm(text, codec), len(codec.contract.features))
    (folder / "converted.onnx").write_bytes(content)
    return folder / "converted.onnx"
