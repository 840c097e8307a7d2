"""Boosted trees: their exact conversion, and the numbers at which models of trees split."""

from dataclasses import replace
from math import nan
from typing import Any

import numpy as np
import pytest
from lightgbm import LGBMClassifier
from skl2onnx.common import _container
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    VotingClassifier,
)
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OrdinalEncoder, StandardScaler

from telco_stream.contract.events import Event
from telco_stream.messages.codec import Codec, compile_contract
from telco_stream.model.compilation import compile_if_equal
from telco_stream.model.conversion import convert, convert_with_skl2onnx
from telco_stream.model.labelled import read_labelled_events
from telco_stream.model.onnx_engine import load_onnx
from telco_stream.model.pipelines import boosted, linear, one_hot
from telco_stream.model.probes import SPLIT_EVENTS, split_events
from telco_stream.model.sklearn_engine import frame
from telco_stream.model.trees.from_sklearn import sklearn_splits
from tests.support.contracts import small
from tests.support.foreign_data import TELCO
from tests.support.scoring import score_in_batches
from tests.support.telco import CATEGORIES, CODEC, FORMAT, NUMBERS, value_of
from tests.support.training_data import customers_of, labelled_rows

ORDINAL = OrdinalEncoder(categories=[list(values) for values in CATEGORIES.values()])
ROWS = labelled_rows(400)
CUSTOMERS = customers_of(ROWS)
CHURNED = [row["Churn"] == "Yes" for row in ROWS]


def fit(pipeline: Pipeline, codec: Codec = CODEC, events: list[Event] = CUSTOMERS) -> Pipeline:
    return pipeline.fit(frame(codec.events, events), CHURNED[: len(events)])


def on_columns(classifier: Any, numbers: Any = "passthrough", categories: Any = None) -> Pipeline:
    columns = ColumnTransformer(
        [("numbers", numbers, list(NUMBERS)), ("categories", categories or one_hot(CODEC), list(CATEGORIES))]
    )
    return Pipeline([("columns", columns), ("classifier", classifier)])


def test_boosted_model_is_equal_at_its_splits() -> None:
    compiled = compile_if_equal(fit(boosted(CODEC)), CODEC, CUSTOMERS, seed=0)
    assert compiled.refused is None
    assert len(compiled.expected) == len(CUSTOMERS) + 10_000 + SPLIT_EVENTS
    assert (compiled.max_difference or 0.0) < 1e-12


def test_boosted_model_has_the_same_bits_in_batches_of_any_size() -> None:
    """A replayed batch of another size gives the same bits; here of the public data, or of sample rows."""
    events = CUSTOMERS
    if TELCO.exists():
        events = read_labelled_events(TELCO, replace(FORMAT, requires_label=True), CODEC).events
    scorer = load_onnx(convert(fit(boosted(CODEC)), CODEC), CODEC, version="", threshold=0.5)
    alone, fifty, five_thousand = (score_in_batches(scorer, events, size) for size in (1, 50, 5_000))
    assert alone == fifty == five_thousand


def _values(number: int) -> dict[str, Any]:
    nulls = {"data_gb": nan, "roaming": None, "device": None} if number % 3 == 0 else {}
    plan, device = ("prepaid", "basic", "premium")[number % 3], ("phone", "tablet", "rest")[number % 7 % 3]
    fees = {"monthly_fee": number * 0.37, "data_gb": number * 1.01, "complaints": number % 5}
    return fees | {"plan": plan, "device": device, "roaming": number % 2 == 0} | nulls


#: A contract of all kinds of columns, and events in which most of them are null in every third one.
WITH_NULLS = compile_contract(small(lambda contract: contract["features"][2].pop("fill")))
NULLABLE = [WITH_NULLS.events.make(_values(number)) for number in range(300)]


def test_boosted_model_is_equal_when_columns_are_null() -> None:
    compiled = compile_if_equal(fit(boosted(WITH_NULLS), WITH_NULLS, NULLABLE), WITH_NULLS, NULLABLE, seed=0)
    assert compiled.refused is None


@pytest.mark.parametrize(
    ("classifier", "numbers"),
    [
        (RandomForestClassifier(5, random_state=0), SimpleImputer()),
        (GradientBoostingClassifier(n_estimators=5, random_state=0), make_pipeline(SimpleImputer(), StandardScaler())),
        (HistGradientBoostingClassifier(max_iter=5), "passthrough"),
        (LGBMClassifier(n_estimators=5, verbose=-1), "passthrough"),
        (VotingClassifier([("forest", RandomForestClassifier(5))]), make_pipeline(SimpleImputer(), StandardScaler())),
    ],
    ids=["forest", "scaled numbers", "boosted", "lightgbm", "voting"],
)
def test_split_values_are_in_the_units_of_the_data(classifier: Any, numbers: Any) -> None:
    splits = sklearn_splits(fit(on_columns(classifier, numbers)), CODEC)
    for name in ("tenure", "MonthlyCharges", "TotalCharges"):
        seen = [value_of(customer, name) for customer in CUSTOMERS]
        assert min(seen) < splits[name].min() <= splits[name].max() < max(seen)
    doubled = 2 * splits["tenure"]
    assert doubled == pytest.approx(doubled.round(), abs=1e-5), "trees split halfway between whole numbers"


def test_split_values_are_empty_when_there_are_no_trees() -> None:
    assert sklearn_splits(fit(linear(CODEC)), CODEC) == {}
    assert split_events(CODEC, CUSTOMERS, {}, seed=0) == []


def test_split_events_hold_each_split_and_its_neighbours() -> None:
    split = 62.20000000000001
    events = split_events(CODEC, CUSTOMERS, {"MonthlyCharges": np.array([split]), "tenure": np.array([11.5])}, seed=0)
    charges = {value_of(event, "MonthlyCharges") for event in events}
    single = np.float32(split)
    neighbours = {
        split,
        62.2,
        float(single),
        float(np.nextafter(split, 0)),
        float(np.nextafter(single, np.float32(99))),
    }
    assert neighbours <= charges
    assert {value_of(event, "tenure") for event in events} >= {11, 12}


@pytest.fixture
def mended_skl2onnx(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pass numbers for booleans in attributes, which onnx refuses; skl2onnx 1.20 passes them for boosted trees."""
    plain = _container.make_node

    def make_node(*arguments: Any, **attributes: Any) -> Any:
        return plain(*arguments, **{name: without_booleans(value) for name, value in attributes.items()})

    monkeypatch.setattr(_container, "make_node", make_node)


def without_booleans(value: Any) -> Any:
    return (
        [int(item) if isinstance(item, bool | np.bool_) else item for item in value] if type(value) is list else value
    )


@pytest.mark.usefixtures("mended_skl2onnx")
@pytest.mark.parametrize(
    ("classifier", "numbers", "categories"),
    [
        (HistGradientBoostingClassifier(max_iter=60, random_state=0), "passthrough", None),
        (HistGradientBoostingClassifier(max_iter=60, random_state=0), StandardScaler(), ORDINAL),
        (HistGradientBoostingClassifier(max_iter=60, categorical_features=range(4, 19)), "passthrough", ORDINAL),
    ],
    ids=["splits", "scaled splits", "categories"],
)
def test_compile_if_equal_refuses_where_skl2onnx_errs(classifier: Any, numbers: Any, categories: Any) -> None:
    """It compares numbers and splits in single precision, and takes a set of categories for a number."""
    check_only_own_trees_are_equal(fit(on_columns(classifier, numbers, categories)), CODEC, CUSTOMERS)


def test_compile_if_equal_refuses_when_skl2onnx_ignores_nulls() -> None:
    """It sends missing numbers to the right at every split of a forest."""
    columns = boosted(WITH_NULLS).steps[0]
    forest = Pipeline([columns, ("classifier", RandomForestClassifier(60, random_state=0))])
    check_only_own_trees_are_equal(fit(forest, WITH_NULLS, NULLABLE), WITH_NULLS, NULLABLE)


def check_only_own_trees_are_equal(pipeline: Pipeline, codec: Codec, events: list[Event]) -> None:
    wrong = compile_if_equal(pipeline, codec, events, seed=0, convert=convert_with_skl2onnx)
    assert str(wrong.refused).startswith("it differs from the original by up to")
    assert (wrong.max_difference or 0) > 1e-3
    equal = compile_if_equal(pipeline, codec, events, seed=0)
    assert equal.refused is None
    assert (equal.max_difference or 0) < 1e-12
