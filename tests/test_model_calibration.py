"""Calibrations: their maps, how they are fitted, and the file of a model folder."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.isotonic import IsotonicRegression

from telco_stream.errors import ModelError, UsageError
from telco_stream.model.artifact import check_target, load_scorer
from telco_stream.model.calibration import (
    CalibratedScorer,
    Calibration,
    Isotonic,
    Platt,
    decode_calibration,
    encode_calibration,
)
from telco_stream.model.drift.baseline import BinCounter, make_baseline, map_score
from telco_stream.model.features import feature_table
from telco_stream.model.golden import golden_events, score_golden
from telco_stream.model.scorer import Scorer
from telco_stream.quality.recalibration import fit, fit_isotonic, fit_platt
from tests.support.model_folder import copy_model, replace_artifact
from tests.support.records import RuleScorer, good
from tests.support.telco import CODEC

#: The probability of a positive outcome, given that of a model.
Truth: TypeAlias = Callable[[NDArray[np.float64]], NDArray[np.float64]]
#: Probabilities at the edges of the scale, and what a model may return instead of one.
EDGES = [0.0, 5e-324, 1e-12, 0.5, 1 - 2**-24, 1.0]
INVALID = [math.nan, -0.1, 1.1, math.inf]
PLATT = Platt(0.5, -1.0)
ISOTONIC = Isotonic(((0.2, 0.1), (0.4, 0.2), (0.6, 0.9)))


def test_platt_maps_the_logit() -> None:
    assert apply(PLATT, [0.5, 0.9]) == pytest.approx(
        [1 / (1 + math.e), 1 / (1 + math.exp(1 - math.log(9) / 2))], abs=1e-12
    )


def test_isotonic_is_linear_between_its_points() -> None:
    assert apply(ISOTONIC, [0.0, 0.3, 0.5, 0.6, 1.0]) == pytest.approx([0.1, 0.15, 0.55, 0.9, 0.9])


@pytest.mark.parametrize("step", [PLATT, ISOTONIC, Platt(1e6, -1e6), Platt(1e-6, 1e6)])
def test_calibration_keeps_probabilities_and_what_is_none(step: Platt | Isotonic) -> None:
    """Otherwise a model's failure would become an answer."""
    scores = apply(step, [*EDGES, *INVALID])
    assert all(0 <= score <= 1 for score in scores[: len(EDGES)])
    assert scores[: len(EDGES)] == sorted(scores[: len(EDGES)])
    assert scores[len(EDGES) :] == pytest.approx(INVALID, nan_ok=True)


@pytest.mark.parametrize("step", [PLATT, Platt(1.7, 0.3), ISOTONIC])
def test_calibrated_score_has_the_same_bits_in_any_batch(step: Platt | Isotonic) -> None:
    probabilities = np.random.default_rng(3).random(5_000)
    together = Calibration((step,)).apply(probabilities)
    for size in (1, 2, 3, 7, 9, 500):
        parts = np.concatenate(
            [Calibration((step,)).apply(probabilities[first : first + size].copy()) for first in range(0, 5_000, size)]
        )
        assert parts.tobytes() == together.tobytes(), size


def test_calibrations_are_applied_in_their_order() -> None:
    both = Calibration((PLATT, ISOTONIC))
    assert both.apply(np.array([0.9])) == pytest.approx(ISOTONIC.apply(PLATT.apply(np.array([0.9]))))
    assert decode_calibration(encode_calibration(both), "m") == both


def test_calibrated_scorer_is_the_other_one_but_for_its_scores() -> None:
    scorer: Scorer = RuleScorer(lambda _event: 0.9)
    calibrated = CalibratedScorer(scorer, Calibration((PLATT,)))
    assert calibrated.score([CODEC.events.decode(good())]) == apply(PLATT, [0.9])
    assert calibrated.score([]) == []
    names = ("version", "threshold", "codec", "engine")
    assert [getattr(calibrated, name) for name in names] == [getattr(scorer, name) for name in names]


@pytest.mark.parametrize("engine", ["auto", "sklearn"])
def test_folder_with_a_calibration_loads_with_any_engine(tmp_path: Path, engine: str) -> None:
    folder = copy_model(tmp_path)
    calibration, scorer = Calibration((PLATT,)), load_scorer(folder)
    golden = score_golden((folder / "golden.json").read_bytes(), CalibratedScorer(scorer, calibration))
    replace_artifact(folder, "calibration.json", encode_calibration(calibration))
    with pytest.raises(ModelError, match="it gives other probabilities"):
        load_scorer(folder)
    replace_artifact(folder, "golden.json", golden)
    loaded = load_scorer(folder, engine)  # type: ignore[arg-type] # one of the engines
    events = golden_events(golden, CODEC.events)
    assert loaded.score(events) == pytest.approx(calibration.apply(np.array(scorer.score(events))), abs=1e-6)
    check_target(folder, replace_model=True)
    (folder / "other.json").touch()
    with pytest.raises(UsageError, match=r"other\.json"):
        check_target(folder, replace_model=True)


@pytest.mark.parametrize("content", [
    "", "{}", "[]", '{"steps":[]}', '{"steps":[{"method":"magic"}]}', '{"steps":[{"method":"platt","slope":1}]}',
    '{"steps":[{"method":"platt","slope":0,"intercept":0}]}', '{"steps":[{"method":"platt","slope":-1,"intercept":0}]}',
    '{"steps":[{"method":"platt","slope":1e999,"intercept":0}]}', '{"steps":[{"method":"isotonic","points":[]}]}',
    '{"steps":[{"method":"isotonic","points":[[0.5,0.5],[0.5,0.6]]}]}',
    '{"steps":[{"method":"isotonic","points":[[0.4,0.6],[0.5,0.5]]}]}',
    '{"steps":[{"method":"isotonic","points":[[0.4,0.5],[0.5,0.5]]}]}',
    '{"steps":[{"method":"isotonic","points":[[0.4,1.5]]}]}', '{"steps":[{"method":"isotonic","points":[[NaN,1]]}]}',
    f'{{"steps":[{",".join(["{}"] * 17)}]}}', "[" * 100_000,
])  # fmt: skip
def test_damaged_calibration_is_refused(tmp_path: Path, content: str) -> None:
    folder = copy_model(tmp_path)
    replace_artifact(folder, "calibration.json", content.encode())
    with pytest.raises(ModelError, match="has a calibration that can't be used"):
        load_scorer(folder)


def test_platt_finds_the_planted_slope_and_intercept() -> None:
    probability, positive = draw(11, 100_000, lambda given: Platt(0.6, -0.4).apply(given))
    fitted = fit_platt(probability, positive)
    assert fitted.slope == pytest.approx(0.6, abs=0.03)
    assert fitted.intercept == pytest.approx(-0.4, abs=0.04)


def test_isotonic_is_that_of_scikit_learn() -> None:
    probability, positive = draw(12, 5_000, lambda given: given**2)
    reference = IsotonicRegression(y_min=1 / 5_002, y_max=1 - 1 / 5_002, out_of_bounds="clip")
    expected = reference.fit(probability, positive).predict(np.linspace(0, 1, 1_001))
    fitted = fit_isotonic(probability, positive).apply(np.linspace(0, 1, 1_001))
    assert fitted == pytest.approx(expected, abs=1e-6)
    assert (np.diff(fitted) > 0).all(), "customers keep their order"


@pytest.mark.parametrize(("method", "truth"), [
    ("platt", lambda given: Platt(0.5, 0.5).apply(given)),
    ("isotonic", lambda given: np.where(given < 0.5, 0.1, 0.8)),
])  # fmt: skip
def test_fit_keeps_what_cross_validates_better(method: str, truth: Truth) -> None:
    fitted = fit(*draw(13, 5_000, truth), seed=0)
    assert fitted.method == method
    assert fitted.is_better
    losses = {trial.method: trial.log_loss for trial in fitted.trials}
    assert min(losses, key=lambda name: losses[name]) == method
    assert [trial.method for trial in fitted.trials] == ["none", "platt", "isotonic"]


@pytest.mark.parametrize("method", ["platt", "isotonic"])
def test_baseline_of_the_score_follows_the_calibration(method: str) -> None:
    """Each training row is in the bin that it was in, so that a calibration is not taken for drift."""
    probability, positive = draw(15, 3_000, lambda given: given**2)
    step = fit_platt(probability, positive) if method == "platt" else fit_isotonic(probability, positive)
    table = feature_table(CODEC.events, [CODEC.events.decode(good())] * 3_000)
    baseline = make_baseline(CODEC.events, table, probability)
    mapped = map_score(baseline, Calibration((step,)).apply)
    counted = BinCounter(mapped, CODEC.events).count([table], Calibration((step,)).apply(probability))
    assert counted.tolist()[-len(mapped.score.counts) :] == mapped.score.counts
    assert sum(mapped.score.counts) == 3_000
    assert min(mapped.score.counts[1:-2]) >= 299, "about as many rows in each bin as before"
    assert mapped.features == baseline.features


def test_baseline_merges_bins_that_become_equal() -> None:
    probability = np.linspace(0.1, 0.9, 100)
    table = feature_table(CODEC.events, [CODEC.events.decode(good())] * 100)
    baseline = make_baseline(CODEC.events, table, probability)
    mapped = map_score(baseline, np.round)
    assert mapped.score.edges == [0.0, 1.0, math.nextafter(1.0, 2.0)]
    assert sum(mapped.score.counts) == 100
    assert map_score(baseline, lambda scores: scores) == baseline


def test_fit_says_if_neither_is_better() -> None:
    """Calibrated probabilities can't become better by more than chance."""
    is_better = [fit(*draw(seed, 400, lambda given: given), seed=0).is_better for seed in range(6)]
    assert is_better.count(False) >= 3


def test_fit_follows_no_model_that_orders_the_wrong_way() -> None:
    fitted = fit(*draw(14, 2_000, lambda given: 1 - given), seed=0)
    scores = fitted.step.apply(np.linspace(0, 1, 11))
    assert np.ptp(scores) < 0.05, "about the same probability for all"


def draw(seed: int, count: int, truth: Truth) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return probabilities of a model, and outcomes that have the probabilities of `truth`."""
    random = np.random.default_rng(seed)
    probability = random.beta(1.2, 2.5, count)
    return probability, random.random(count) < truth(probability)


def apply(step: Platt | Isotonic, probabilities: list[float]) -> list[float]:
    scores: list[float] = Calibration((step,)).apply(np.array(probabilities)).tolist()
    return scores
