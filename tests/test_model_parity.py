import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest

from telco_stream.contract.events import Event
from telco_stream.contract.schema import Category, Feature, Integer, Number
from telco_stream.messages.codec import Codec
from telco_stream.model.artifact import load_scorer
from telco_stream.model.compilation import Compiled, compare, compile_if_equal
from telco_stream.model.pipelines import linear
from telco_stream.model.probes import EDGE_EVENTS, edge_events
from telco_stream.model.sklearn_engine import frame
from tests.support.model_folder import COMMITTED
from tests.support.telco import CODEC, CONTRACT, value_of
from tests.support.training_data import customers_of, labelled_rows

ROWS = labelled_rows(300)
CUSTOMERS = customers_of(ROWS)


@pytest.fixture(scope="module")
def edges() -> list[Event]:
    return edge_events(CODEC, CUSTOMERS, seed=0)


@dataclass
class FixedScorer:
    """Scorer that returns fixed probabilities."""

    probabilities: list[float]
    threshold: float = 0.5
    version: str = "fixed"
    engine: str = "fixed"
    codec: Codec = CODEC
    explainer: None = None

    def score(self, events: Sequence[Event]) -> list[float]:
        return self.probabilities[: len(events)]


class LongTenureScorer(FixedScorer):
    """Scorer whose scores are 3e-6 too high for a tenure above a limit."""

    def __init__(self, above: int) -> None:
        super().__init__([])
        self.above = above

    def score(self, events: Sequence[Event]) -> list[float]:
        return [0.5 + 3e-6 * (tenure(event) > self.above) for event in events]


def tenure(event: Event) -> float:
    value: float = value_of(event, "tenure")
    return value


def compare_scores(expected: list[float], actual: list[float]) -> Compiled:
    """Compare fixed scores; the last event is not of the training data."""
    return compare(FixedScorer(expected), FixedScorer(actual), CUSTOMERS[: len(expected)], len(expected))


def test_compare_accepts_when_scores_are_equal() -> None:
    parity = compare_scores([0.2, 0.7], [0.2, 0.7 + 5e-7]).parity(0.5)
    assert (parity.rows, parity.decisions_differing, parity.refused) == (2, 0, None)
    assert parity.max_difference == pytest.approx(5e-7)


@pytest.mark.parametrize(
    ("above", "values"), [(72, "values of `tenure` far from those in the data"), (30, "some values of `tenure`")]
)
def test_compare_names_the_column_when_scores_differ(edges: list[Event], above: int, values: str) -> None:
    """One of the scorers is wrong for customers with a tenure above a limit; that of the data is up to 72."""
    events = [*sorted(CUSTOMERS, key=tenure), *edges]
    compiled = compare(FixedScorer([0.5] * len(events)), LongTenureScorer(above), events, len(CUSTOMERS))
    assert compiled.refused == f"it differs from the original by up to 3.0e-06 for {values}; 1e-06 is allowed"


def test_compare_refuses_when_a_score_is_nan() -> None:
    compiled = compare_scores([0.2, 0.7], [0.2, math.nan])
    assert compiled.refused == "some of its answers are not numbers"
    assert compiled.max_difference is None  # JSON has no NaN


def test_compare_accepts_other_decisions_near_the_threshold() -> None:
    parity = compare_scores([0.5 - 2e-7], [0.5 + 2e-7]).parity(0.5)
    assert (parity.decisions_differing, parity.refused) == (1, None)


@pytest.mark.parametrize("feature", CONTRACT.features, ids=[feature.name for feature in CONTRACT.features])
def test_edge_events_cover_categories_and_number_limits(edges: list[Event], feature: Feature) -> None:
    """Numbers reach the limits of the contract and of the training data, and exceed those of the contract."""
    values = CODEC.events.values(feature.name, edges)
    if isinstance(feature, Category):
        assert set(values) == set(feature.values)
        return
    assert isinstance(feature, Number | Integer)
    trained = CODEC.events.values(feature.name, CUSTOMERS)
    assert {feature.minimum, feature.maximum, min(trained), max(trained)} <= set(values)
    assert min(values) < feature.minimum
    assert max(values) > feature.maximum


def test_edge_events_are_10_000(edges: list[Event]) -> None:
    assert len(edges) == EDGE_EVENTS == 10_000


def test_edge_events_are_equal_when_seed_is_equal(edges: list[Event]) -> None:
    assert repr(edge_events(CODEC, CUSTOMERS, seed=0)) == repr(edges)
    assert repr(edge_events(CODEC, CUSTOMERS, seed=1)) != repr(edges)


def test_committed_engines_agree_on_edge_events(edges: list[Event]) -> None:
    """Compare the loaded files, not the objects from training."""
    original, compiled = load_scorer(COMMITTED, "sklearn"), load_scorer(COMMITTED, "onnx")
    assert compare(original, compiled, [*CUSTOMERS, *edges], len(CUSTOMERS)).refused is None


def raise_long_error(*_: object) -> bytes:
    raise ValueError("no node for this tree\n" + "[0, 0, 0]\n" * 1_000)


def raise_no_converter(*_: object) -> bytes:
    raise RuntimeError("no converter for this step")


@pytest.mark.parametrize(
    ("convert", "reason"),
    [
        (raise_no_converter, "it can't be compiled: no converter for this step"),
        (raise_long_error, r"it can't be compiled: no node for this tree\Z"),
        (lambda *_: b"no graph", "it can't be compiled: onnxruntime .* can't load"),
        (lambda *_: (COMMITTED / "pipeline.onnx").read_bytes(), "it differs from the original by up to"),
    ],
    ids=["no converter", "long message", "unloadable", "another model's"],
)
def test_compile_if_equal_gives_the_reason_when_refused(convert: Callable[..., bytes], reason: str) -> None:
    features, churned = frame(CODEC.events, CUSTOMERS), [row["Churn"] == "Yes" for row in ROWS]
    compiled = compile_if_equal(linear(CODEC).fit(features, churned), CODEC, CUSTOMERS, seed=0, convert=convert)
    assert re.match(reason, compiled.refused or "")
