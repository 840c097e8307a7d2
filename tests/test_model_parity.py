import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest

from telco_stream.contract.customer import CATEGORIES, Customer
from telco_stream.model.artifact import load_scorer
from telco_stream.model.compilation import EDGE_CUSTOMERS, compare, compile_if_equal, edge_customers
from telco_stream.model.manifest import SCHEMA, Feature
from telco_stream.model.sklearn_engine import frame
from telco_stream.model.training import build_pipeline
from tests.support.model_folder import COMMITTED
from tests.support.training_data import customers_of, labelled_rows

ROWS = labelled_rows(300)
CUSTOMERS = customers_of(ROWS)
EDGES = edge_customers(CUSTOMERS, seed=0)


@dataclass
class FixedScorer:
    """Scorer that returns fixed probabilities."""

    probabilities: list[float]
    threshold: float = 0.5
    version: str = "fixed"
    engine: str = "fixed"

    def score(self, customers: Sequence[Customer]) -> list[float]:
        return self.probabilities[: len(customers)]


def test_compare_accepts_when_scores_are_equal() -> None:
    parity = compare(FixedScorer([0.2, 0.7]), FixedScorer([0.2, 0.7 + 5e-7]), CUSTOMERS[:2])
    assert (parity.rows, parity.decisions_differing, parity.refused) == (2, 0, None)
    assert parity.max_difference == pytest.approx(5e-7)


def test_compare_refuses_when_a_score_differs_by_over_1e_6() -> None:
    parity = compare(FixedScorer([0.2, 0.7]), FixedScorer([0.2, 0.7 + 3e-6]), CUSTOMERS[:2])
    assert parity.refused == "it differs from the original by up to 3.0e-06, 1e-06 is allowed"


def test_compare_refuses_when_a_score_is_nan() -> None:
    parity = compare(FixedScorer([0.2, 0.7]), FixedScorer([0.2, math.nan]), CUSTOMERS[:2])
    assert parity.refused == "some of its answers are not numbers"
    assert parity.max_difference is None  # JSON has no NaN


def test_compare_accepts_other_decisions_near_the_threshold() -> None:
    parity = compare(FixedScorer([0.5 - 2e-7]), FixedScorer([0.5 + 2e-7]), CUSTOMERS[:1])
    assert (parity.decisions_differing, parity.refused) == (1, None)


@pytest.mark.parametrize("feature", SCHEMA, ids=[feature.name for feature in SCHEMA])
def test_edge_customers_cover_categories_and_number_limits(feature: Feature) -> None:
    """Numbers reach the limits of the contract and of the training data, and exceed those of the contract."""
    values = [getattr(customer, feature.name) for customer in EDGES]
    if feature.name in CATEGORIES:
        assert set(values) == set(CATEGORIES[feature.name])
        return
    assert feature.minimum is not None
    assert feature.maximum is not None
    trained = [value for customer in CUSTOMERS if not math.isnan(value := getattr(customer, feature.name))]
    assert {feature.minimum, feature.maximum, min(trained), max(trained)} <= set(values)
    assert min(values) < feature.minimum
    assert max(value for value in values if not math.isnan(value)) > feature.maximum


def test_edge_customers_are_10_000_and_include_blank_totals() -> None:
    assert len(EDGES) == EDGE_CUSTOMERS == 10_000
    assert "nan" in {str(customer.TotalCharges) for customer in EDGES}


def test_edge_customers_are_equal_when_seed_is_equal() -> None:
    assert repr(edge_customers(CUSTOMERS, seed=0)) == repr(EDGES)
    assert repr(edge_customers(CUSTOMERS, seed=1)) != repr(EDGES)


def test_committed_engines_agree_on_edge_customers() -> None:
    """Compare the loaded files, not the objects from training."""
    original, compiled = load_scorer(COMMITTED, "sklearn"), load_scorer(COMMITTED, "onnx")
    assert compare(original, compiled, [*CUSTOMERS, *EDGES]).refused is None


def raise_long_error(_: object) -> bytes:
    raise ValueError("no node for this tree\n" + "[0, 0, 0]\n" * 1_000)


def raise_no_converter(_: object) -> bytes:
    raise RuntimeError("no converter for this step")


@pytest.mark.parametrize(
    ("convert", "reason"),
    [
        (raise_no_converter, "it can't be compiled: no converter for this step"),
        (raise_long_error, r"it can't be compiled: no node for this tree\Z"),
        (lambda _: b"no graph", "it can't be compiled: onnxruntime .* can't load"),
        (lambda _: (COMMITTED / "pipeline.onnx").read_bytes(), "it differs from the original by up to"),
    ],
    ids=["no converter", "long message", "unloadable", "another model's"],
)
def test_compile_if_equal_keeps_the_reason_when_refused(convert: Callable[[object], bytes], reason: str) -> None:
    features, churned = frame(CUSTOMERS), [row["Churn"] == "Yes" for row in ROWS]
    files, parity = compile_if_equal(build_pipeline().fit(features, churned), 0.5, CUSTOMERS, seed=0, convert=convert)
    assert files == {}
    assert re.match(reason, parity.refused or "")
