import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest

from telco_stream.contract.events import Event
from telco_stream.contract.schema import Category, Feature, Integer, Number
from telco_stream.messages.codec import Codec
from telco_stream.model.artifact import load_scorer
from telco_stream.model.compilation import EDGE_EVENTS, compare, compile_if_equal, edge_events
from telco_stream.model.pipelines import linear
from telco_stream.model.sklearn_engine import frame
from tests.support.model_folder import COMMITTED
from tests.support.telco import CODEC, CONTRACT
from tests.support.training_data import customers_of, labelled_rows

ROWS = labelled_rows(300)
CUSTOMERS = customers_of(ROWS)
EDGES = edge_events(CODEC, CUSTOMERS, seed=0)


@dataclass
class FixedScorer:
    """Scorer that returns fixed probabilities."""

    probabilities: list[float]
    threshold: float = 0.5
    version: str = "fixed"
    engine: str = "fixed"
    codec: Codec = CODEC

    def score(self, events: Sequence[Event]) -> list[float]:
        return self.probabilities[: len(events)]


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


@pytest.mark.parametrize("feature", CONTRACT.features, ids=[feature.name for feature in CONTRACT.features])
def test_edge_events_cover_categories_and_number_limits(feature: Feature) -> None:
    """Numbers reach the limits of the contract and of the training data, and exceed those of the contract."""
    values = CODEC.events.values(feature.name, EDGES)
    if isinstance(feature, Category):
        assert set(values) == set(feature.values)
        return
    assert isinstance(feature, Number | Integer)
    trained = CODEC.events.values(feature.name, CUSTOMERS)
    assert {feature.minimum, feature.maximum, min(trained), max(trained)} <= set(values)
    assert min(values) < feature.minimum
    assert max(values) > feature.maximum


def test_edge_events_are_10_000() -> None:
    assert len(EDGES) == EDGE_EVENTS == 10_000


def test_edge_events_are_equal_when_seed_is_equal() -> None:
    assert repr(edge_events(CODEC, CUSTOMERS, seed=0)) == repr(EDGES)
    assert repr(edge_events(CODEC, CUSTOMERS, seed=1)) != repr(EDGES)


def test_committed_engines_agree_on_edge_events() -> None:
    """Compare the loaded files, not the objects from training."""
    original, compiled = load_scorer(COMMITTED, "sklearn"), load_scorer(COMMITTED, "onnx")
    assert compare(original, compiled, [*CUSTOMERS, *EDGES]).refused is None


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
def test_compile_if_equal_keeps_the_reason_when_refused(convert: Callable[..., bytes], reason: str) -> None:
    features, churned = frame(CODEC.events, CUSTOMERS), [row["Churn"] == "Yes" for row in ROWS]
    files, parity = compile_if_equal(
        linear(CODEC).fit(features, churned), CODEC, 0.5, CUSTOMERS, seed=0, convert=convert
    )
    assert files == {}
    assert re.match(reason, parity.refused or "")
