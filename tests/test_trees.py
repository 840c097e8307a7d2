"""Trees of other libraries: how they are read and exported, and which are refused."""

import json
import re
from collections.abc import Callable
from math import nan
from random import Random
from typing import Any

import msgspec
import numpy as np
import pytest
from lightgbm import Booster, LGBMClassifier
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, PolynomialFeatures, StandardScaler
from sklearn.tree import DecisionTreeClassifier
from xgboost import XGBClassifier

from telco_stream.contract.events import Event
from telco_stream.contract.schema import Category, Number
from telco_stream.messages.codec import compile_contract
from telco_stream.model.artifact import ONNX
from telco_stream.model.compilation import Compiled, compare
from telco_stream.model.engines import Candidate, EngineFile, Original, judge
from telco_stream.model.features import input_table
from telco_stream.model.library_engines import load_library
from telco_stream.model.onnx_engine import OnnxScorer, load_onnx
from telco_stream.model.probes import edge_events, split_events
from telco_stream.model.sklearn_engine import frame
from telco_stream.model.trees.columns import NumberColumn, in_single_precision, model_table, on_features
from telco_stream.model.trees.ensemble import Ensemble, Leaf, Split, UnreadableModelError, split_values
from telco_stream.model.trees.from_lightgbm import lightgbm_columns, read_lightgbm
from telco_stream.model.trees.from_xgboost import read_xgboost, xgboost_document
from telco_stream.model.trees.to_onnx import write_onnx
from tests.support import converted_lightgbm
from tests.support.telco import CODEC, CONTRACT, value_of
from tests.support.training_data import customers_of, labelled_rows
from tests.support.tree_models import (
    MODELS,
    ONE_HOT,
    ORDINAL,
    Data,
    FunctionScorer,
    TreeModel,
    of_sklearn,
    pipeline,
    tree_models,
    typed_frame,
)

ROWS = labelled_rows(400)
DATA = Data(CODEC, customers_of(ROWS), np.array([row["Churn"] == "Yes" for row in ROWS]))
FRAME = frame(CODEC.events, DATA.events)
EDGES = edge_events(CODEC, DATA.events, seed=0)[:2_000]


def export(ensemble: Ensemble) -> OnnxScorer:
    return load_onnx(write_onnx(ensemble, CONTRACT), CODEC, version="", threshold=0.5)


def compared(model: TreeModel, ensemble: Ensemble, events: list[Event]) -> Compiled:
    return compare(FunctionScorer(model.predict, CODEC), export(ensemble), events, len(DATA.events))


def probes(ensemble: Ensemble) -> list[Event]:
    return split_events(CODEC, DATA.events, split_values(ensemble, CONTRACT), seed=0)


@pytest.mark.parametrize(
    ("name", "tolerance"),
    [("boosted, own categories", 1e-12), ("forest, ordinal", 1e-12), ("lightgbm", 1e-12), ("xgboost", 1e-6)],
)
def test_exported_trees_are_equal_and_keep_their_bits(name: str, tolerance: float) -> None:
    """Also in batches of any size. `tests/training` compares more models on more rows."""
    model = MODELS[name](DATA)
    ensemble = model.read()
    result = compared(model, ensemble, [*DATA.events, *EDGES, *probes(ensemble)])
    assert (result.max_difference or 0) < tolerance
    scorer = export(ensemble)
    for size in (1, 2, 50):
        parts = [scorer.score(DATA.events[start : start + size]) for start in range(0, len(DATA.events), size)]
        assert [score for part in parts for score in part] == scorer.score(DATA.events)


def test_exported_trees_are_equal_when_they_are_many() -> None:
    """Several nodes of the graph sum them up."""
    model = tree_models(300)["forest, ordinal"](DATA)
    ensemble = model.read()
    assert write_onnx(ensemble, CONTRACT).count(b"sums_1") > 0
    assert (compared(model, ensemble, [*DATA.events, *EDGES]).max_difference or 0) < 1e-12
    scorer = export(ensemble)
    assert [scorer.score([event])[0] for event in DATA.events] == scorer.score(DATA.events)


def test_judge_rejects_a_converted_lightgbm_model() -> None:
    """Its thresholds are in single precision: only events at the splits show that it is wrong."""
    text = converted_lightgbm.fit(DATA)
    ensemble = read_lightgbm(text, CODEC)
    content = converted_lightgbm.convert(ensemble, len(CONTRACT.features))
    converted = converted_lightgbm.converted_scorer(content, text, CODEC)
    library = load_library("lightgbm", text.encode(), CODEC, version="", threshold=0.5)
    assert compare(library, converted, [*DATA.events, *EDGES], len(DATA.events)).refused is None
    original = Original("lightgbm", EngineFile(library, "pipeline.txt", text.encode()))
    candidate = Candidate("converted", lambda: EngineFile(converted, ONNX, content))
    events = [*DATA.events, *EDGES, *probes(ensemble)]
    judgement = judge(original, [candidate], events, rows=len(DATA.events), threshold=0.5, progress=lambda _: None)
    rejected, serving = judgement.reports
    assert (serving.name, serving.serves, rejected.serves) == ("lightgbm", True, False)
    assert (rejected.max_difference or 0) > 0.1
    assert str(rejected.rejected).startswith("it differs from the original by up to")


def test_on_features_inverts_the_rounding_of_a_library() -> None:
    """A double passes the inverted threshold if its single precision passes the library's."""
    threshold = float(np.float32(62.2))
    (tree,) = on_features([(Split(0, threshold, False, 1, 2), Leaf(1.0), Leaf(0.0))], [single_number()])
    (inverted,) = [node.test for node in tree if isinstance(node, Split)]
    assert isinstance(inverted, float)
    assert threshold < inverted
    assert np.float32(inverted) <= threshold < np.float32(np.nextafter(inverted, 99))


def single_number() -> NumberColumn:
    column = in_single_precision(NumberColumn(0))
    assert isinstance(column, NumberColumn)
    return column


def random_data(values: int, rows: int) -> Data:
    """Return rows in which nine of ten values of a category occur; the category and a number are often null."""
    random, texts = Random(0), [f"value {number}" for number in range(values)]
    size = Number("size", minimum=-9, maximum=9, nullable=True)
    features = (Category("kind of", values=tuple(texts), nullable=True), size)
    codec = compile_contract(msgspec.structs.replace(CONTRACT, features=features, segments=(), charge=None, carry=()))
    kinds = [random.choice([*texts[values // 10 :], None]) for _ in range(rows)]
    sizes = [random.choice([random.uniform(-9, 9), None]) for _ in kinds]
    events = [codec.events.make({"kind of": kind, "size": size}) for kind, size in zip(kinds, sizes, strict=True)]
    return Data(
        codec, events, np.array([random.random() < (0.8 if str(kind)[-1] in "02468" else 0.2) for kind in kinds])
    )


def check_random(model: TreeModel, data: Data, tolerance: float) -> None:
    """Compare on all rows, and on values that no row had in training, with and without null."""
    codec, contract = data.codec, data.codec.contract
    exported = load_onnx(write_onnx(model.read(), contract), codec, version="", threshold=0.5)
    texts = contract.categories[0].values
    others = [codec.events.make({"kind of": text, "size": size}) for text in (*texts, None) for size in (1.0, nan)]
    result = compare(FunctionScorer(model.predict, codec), exported, [*data.events, *others], len(data.events))
    assert (result.max_difference or 0) < tolerance
    assert len({round(score, 3) for score in result.expected}) > 20


@pytest.mark.parametrize(("name", "tolerance"), [("lightgbm", 1e-12), ("xgboost", 1e-6)])
def test_exported_trees_are_equal_with_a_thousand_categories(name: str, tolerance: float) -> None:
    data = random_data(1_000, 3_000)
    check_random(MODELS[name](data), data, tolerance)


@pytest.mark.parametrize(
    ("name", "tolerance"),
    [("lightgbm", 1e-12), ("xgboost", 1e-6), ("forest, numbers", 1e-12), ("boosted, own categories", 1e-12)],
)
def test_exported_trees_are_equal_when_nulls_are_new(name: str, tolerance: float) -> None:
    """Each library has a rule for numbers that were never missing in training."""
    data = random_data(10, 1_000)
    is_known = [size is not None for size in data.codec.events.values("size", data.events)]
    check_random(MODELS[name](data.where(is_known)), data, tolerance)


@pytest.mark.parametrize("threshold", ["0", "1.0000000180025095e-35", "-1.0000000180025095e-35", "-1e-36", "-0.5"])
def test_read_lightgbm_takes_tiny_numbers_for_zero(threshold: str) -> None:
    data = random_data(10, 1_000)
    table = np.array(data.codec.events.values("size", data.events), np.float64).reshape(-1, 1)
    model = LGBMClassifier(n_estimators=1, num_leaves=2, verbose=-1).fit(table, table[:, 0] > 2, feature_name=["size"])
    text = re.sub(r"\nthreshold=.*", f"\nthreshold={threshold}", model.booster_.model_to_string())
    tiny = float(np.float32(1e-35))
    numbers = [0.0, *(side * np.nextafter(tiny, toward) for side in (-1, 1) for toward in (0, tiny, 1)), -0.5, 0.5]
    events = [data.codec.events.make({"size": number}) for number in numbers]
    exported = load_onnx(
        write_onnx(read_lightgbm(text, data.codec), data.codec.contract), data.codec, version="", threshold=0
    )
    expected = Booster(model_str=text).predict(np.array(numbers).reshape(-1, 1))
    assert exported.score(events) == pytest.approx(np.asarray(expected), abs=1e-12)
    assert len(set(expected)) == 2


def test_exported_trees_are_equal_when_a_number_is_a_category() -> None:
    """Also for whole numbers beside the contract's, which both forms take for unknown ones."""
    numbers = [number.name for number in CONTRACT.numbers]
    columns = ColumnTransformer([("flag", ONE_HOT, numbers[:1]), ("numbers", "passthrough", numbers[1:])])
    model = Pipeline([("columns", columns), ("forest", RandomForestClassifier(20, random_state=0))])
    fitted = of_sklearn(model.fit(FRAME, DATA.positive), DATA)
    result = compared(fitted, fitted.read(), [*DATA.events, *EDGES])
    assert {0, 1, 2, -1} <= {value_of(event, numbers[0]) for event in EDGES}
    assert (result.max_difference or 0) < 1e-12


def test_opposite_gives_the_probability_of_the_other_label() -> None:
    for name in ("lightgbm", "forest, numbers"):
        ensemble = MODELS[name](DATA).read()
        positive, negative = (export(either).score(DATA.events) for either in (ensemble, ensemble.opposite()))
        assert np.add(positive, negative) == pytest.approx(1, abs=1e-15)


def test_model_table_gives_a_library_its_own_codes() -> None:
    """The values of categories are sorted in the model, and in another order in the contract."""
    text = fitted_lightgbm().booster_.model_to_string()
    table = model_table(lightgbm_columns(text, CODEC), input_table(CODEC.events, DATA.events))
    known = json.loads(text.rpartition("pandas_categorical:")[2])
    names = text.partition("feature_names=")[2].partition("\n")[0].split(" ")
    position, values = names.index("Contract"), known[[name for name in names if is_category(name)].index("Contract")]
    assert [values[int(code)] for code in table[:, position]] == [row["Contract"] for row in ROWS]
    assert any(list(category.values) != sorted(category.values) for category in CONTRACT.categories)


def is_category(name: str) -> bool:
    return name in {category.name for category in CONTRACT.categories}


@pytest.mark.parametrize(
    ("fit", "reason"),
    [
        (
            pipeline(LogisticRegression(C=0.1), StandardScaler(), categories=ORDINAL),
            "a LogisticRegression does not consist of trees",
        ),
        (pipeline(DecisionTreeClassifier(), PolynomialFeatures(2)), "a PolynomialFeatures computes its columns"),
        (
            pipeline(CalibratedClassifierCV(RandomForestClassifier(3))),
            "a CalibratedClassifierCV does not consist of trees",
        ),
        (
            pipeline(GradientBoostingClassifier(n_estimators=3, init=LogisticRegression())),
            "it begins with the answers of a LogisticRegression",
        ),
        (
            pipeline(DecisionTreeClassifier(), categories=OneHotEncoder()),
            "a OneHotEncoder refuses values of the contract",
        ),
    ],
)
def test_read_sklearn_refuses_other_models(fit: Callable[[Data], TreeModel], reason: str) -> None:
    monthly = [row["Contract"] == "Month-to-month" for row in ROWS]
    with pytest.raises(UnreadableModelError, match=reason):
        fit(DATA.where(monthly)).read()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"zero_as_missing": True}, "it was fitted with zero_as_missing"),
        ({"linear_tree": True}, "it has linear trees"),
        ({"boosting_type": "rf", "subsample": 0.5, "subsample_freq": 1}, "it is a random forest of LightGBM"),
        ({"objective": "cross_entropy"}, "its objective is cross_entropy, not binary"),
    ],
)
def test_read_lightgbm_refuses_other_models(options: dict[str, Any], reason: str) -> None:
    text = fitted_lightgbm(**options).booster_.model_to_string()
    with pytest.raises(UnreadableModelError, match=reason):
        read_lightgbm(text, CODEC)


def test_read_lightgbm_needs_the_values_of_categories() -> None:
    text = re.sub(r"(?<=pandas_categorical:).*", "null", fitted_lightgbm().booster_.model_to_string())
    with pytest.raises(UnreadableModelError, match="its file has the values of 0 categories, but it reads 15"):
        read_lightgbm(text, CODEC)
    assert split_values(read_lightgbm(text, CODEC, contract_codes=True), CONTRACT)


@pytest.mark.parametrize("options", [{"boosting_type": "dart", "n_estimators": 30}, {"sigmoid": 3.0}])
def test_read_lightgbm_reads_other_settings(options: dict[str, Any]) -> None:
    model = fitted_lightgbm(**options)
    text = model.booster_.model_to_string()
    table = model_table(lightgbm_columns(text, CODEC), input_table(CODEC.events, DATA.events))
    assert export(read_lightgbm(text, CODEC)).score(DATA.events) == pytest.approx(
        model.booster_.predict(table), abs=1e-12
    )


@pytest.mark.parametrize("text", ["", "no model", "tree\nversion=v4\n"])
def test_read_lightgbm_refuses_other_files(text: str) -> None:
    with pytest.raises(UnreadableModelError, match="it is not a LightGBM model file"):
        read_lightgbm(text, CODEC)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"booster": "dart"}, "its booster is dart, not gbtree"),
        ({"booster": "gblinear"}, "its booster is gblinear, not gbtree"),
        ({"objective": "binary:logitraw"}, "its objective is binary:logitraw, not binary:logistic"),
    ],
)
def test_read_xgboost_refuses_other_models(options: dict[str, Any], reason: str) -> None:
    document = xgboost_document(bytes(fitted_xgboost(**options).get_booster().save_raw("json")))
    with pytest.raises(UnreadableModelError, match=reason):
        read_xgboost(document, CODEC)


def test_read_xgboost_needs_the_values_of_categories() -> None:
    document = xgboost_document(bytes(fitted_xgboost().get_booster().save_raw("json")))
    document["learner"]["gradient_booster"]["model"]["cats"]["enc"] = []
    with pytest.raises(UnreadableModelError, match="its file does not have the values of gender in the order"):
        read_xgboost(document, CODEC)
    assert split_values(read_xgboost(document, CODEC, contract_codes=True), CONTRACT)


def test_read_xgboost_stops_at_the_best_iteration() -> None:
    model = fitted_xgboost(n_estimators=60, early_stopping_rounds=2)
    ensemble = read_xgboost(xgboost_document(bytes(model.get_booster().save_raw("ubj"))), CODEC)
    assert len(ensemble.trees) == model.best_iteration + 1 < 50
    expected = model.predict_proba(typed_frame(CODEC, FRAME, DATA.events))[:, 1]
    assert export(ensemble).score(DATA.events) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("content", [b"no model", b"[]", b"{}"])
def test_xgboost_document_refuses_other_files(content: bytes) -> None:
    with pytest.raises(UnreadableModelError, match="it is not an XGBoost model file"):
        xgboost_document(content)


def fitted_lightgbm(**options: Any) -> LGBMClassifier:
    model = LGBMClassifier(**{"n_estimators": 5, "verbose": -1, "n_jobs": 1} | options)
    return model.fit(typed_frame(CODEC, FRAME, DATA.events), DATA.positive.astype(int))


def fitted_xgboost(**options: Any) -> XGBClassifier:
    model = XGBClassifier(**{"n_estimators": 5, "enable_categorical": True, "n_jobs": 1} | options)
    table, labels = typed_frame(CODEC, FRAME, DATA.events), DATA.positive.astype(int)
    if options.get("booster") == "gblinear":
        table = table[[number.name for number in CONTRACT.numbers]]
    return model.fit(table, labels, eval_set=[(table[::3], 1 - labels[::3])], verbose=False)
