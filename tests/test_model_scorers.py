"""Tests of the `Scorer` protocol, for both engines."""

from dataclasses import replace
from pathlib import Path

import joblib
import pandas as pd
import pytest

from telco_stream.model.artifact import load_scorer, read_manifest
from telco_stream.model.features import feature_table
from telco_stream.model.labelled import read_labelled_events
from telco_stream.model.scorer import Scorer, ScoringError
from telco_stream.model.sklearn_engine import SklearnScorer
from tests.support.model_folder import COMMITTED
from tests.support.scoring import score_in_batches
from tests.support.telco import CATEGORIES, CODEC, FEATURES, FORMAT, NUMBERS
from tests.support.training_data import Row, customers_of, labelled_rows

#: Largest difference per engine: rounding for the original, single precision for the compiled pipeline.
TOLERANCES = {"sklearn": 1e-9, "onnx": 1e-6}


@pytest.fixture(params=["sklearn", "onnx"], scope="module")
def scorer(request: pytest.FixtureRequest) -> Scorer:
    return load_scorer(COMMITTED, request.param)


@pytest.fixture
def tolerance(scorer: Scorer) -> float:
    return TOLERANCES[scorer.engine]


def expected(rows: list[Row]) -> list[float]:
    """Return the probabilities of the pickled pipeline for a data frame built without the package."""
    frame = pd.DataFrame(rows)[list(FEATURES)].replace({"TotalCharges": " "}, 0.0)
    probabilities = joblib.load(COMMITTED / "pipeline.joblib").predict_proba(
        frame.astype(dict.fromkeys(NUMBERS, float))
    )
    return [float(yes) for _, yes in probabilities]


def test_score_equals_predict_proba(scorer: Scorer, tolerance: float) -> None:
    rows = labelled_rows(2_000)
    assert any(row["TotalCharges"] == " " for row in rows)
    assert scorer.score(customers_of(rows)) == pytest.approx(expected(rows), rel=0, abs=tolerance)


@pytest.mark.parametrize("size", [1, 2, 7, 50])
def test_score_has_the_same_bits_in_batches_of_any_size(scorer: Scorer, size: int) -> None:
    customers = customers_of(labelled_rows(200, seed=1))
    assert score_in_batches(scorer, customers, size) == scorer.score(customers)


def test_score_has_the_same_bits_for_all_rows_of_the_public_data(real_data: Path) -> None:
    scorer = load_scorer(COMMITTED, "onnx")
    customers = read_labelled_events(real_data, replace(FORMAT, requires_label=True), CODEC).events
    alone, fifty, five_thousand = (score_in_batches(scorer, customers, size) for size in (1, 50, 5_000))
    assert len(customers) == 7_043
    assert alone == fifty == five_thousand


def test_score_returns_plain_floats(scorer: Scorer) -> None:
    assert {type(probability) for probability in scorer.score(customers_of(labelled_rows(3)))} == {float}


def test_scorer_has_version_and_threshold_of_the_manifest(scorer: Scorer) -> None:
    manifest = read_manifest(COMMITTED)
    assert (scorer.version, scorer.threshold) == (manifest.model_version, manifest.threshold)


def test_score_counts_a_blank_total_as_0(scorer: Scorer) -> None:
    (row,) = labelled_rows(1)
    blank, zero = scorer.score(customers_of([row | {"TotalCharges": " "}, row | {"TotalCharges": "0"}]))
    assert blank == zero


@pytest.mark.parametrize(
    ("column", "value"), [(name, value) for name, values in CATEGORIES.items() for value in values]
)
def test_score_depends_on_every_category(scorer: Scorer, tolerance: float, column: str, value: str) -> None:
    rows = [row | {column: value} for row in labelled_rows(20, seed=2)]
    assert scorer.score(customers_of(rows)) == pytest.approx(expected(rows), rel=0, abs=tolerance)


def test_score_is_constant_beyond_the_training_range(scorer: Scorer) -> None:
    """Numbers are clipped to the range of the training data, because a cubic grows without bound."""
    (row,) = labelled_rows(1)
    ends = [
        row | {"tenure": tenure, "MonthlyCharges": charges, "TotalCharges": total}
        for tenure, charges, total in [("72", "118.75", "8684.8"), ("1000", "10000", "10000000")]
    ]
    at_limit, beyond = scorer.score(customers_of(ends))
    assert beyond == pytest.approx(at_limit, abs=1e-6)


@pytest.mark.parametrize("error", [KeyError("x"), ZeroDivisionError("by zero"), RuntimeError(), MemoryError("a\nb")])
def test_score_raises_a_scoring_error_when_a_pipeline_fails(error: Exception) -> None:
    """The code of an own pipeline may raise anything; the record becomes a dead letter."""

    class Failing:
        def predict_proba(self, _: object) -> object:
            raise error

    with pytest.raises(ScoringError) as caught:
        SklearnScorer("v1", 0.5, Failing(), CODEC).score(customers_of(labelled_rows(1)))
    first_line = str(error).partition("\n")[0]
    assert caught.value.reason == f"{type(error).__name__}: {first_line}".removesuffix(": ")


def test_feature_table_holds_numbers_and_category_positions() -> None:
    rows = labelled_rows(200, seed=3)
    for row, features in zip(rows, feature_table(CODEC.events, customers_of(rows)).tolist(), strict=True):
        assert features == [
            CATEGORIES[name].index(row[name]) if name in CATEGORIES else float(row[name].strip() or 0)
            for name in FEATURES
        ]


def test_pipeline_includes_all_preprocessing(tmp_path: Path) -> None:
    """The pipeline takes a data frame as pandas reads it, with texts, and with 0 for blank totals."""
    rows = labelled_rows(100)
    path = tmp_path / "rows.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    pipeline = joblib.load(COMMITTED / "pipeline.joblib")
    probabilities = pipeline.predict_proba(pd.read_csv(path, na_values=" ").fillna(0.0))[:, 1]
    assert probabilities == pytest.approx(expected(rows), abs=1e-12)
