"""Figures of `quality` and their intervals, and the join of predictions and outcomes."""

import math
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, log_loss, precision_score, recall_score, roc_auc_score

from telco_stream.model.artifact import load_scorer
from telco_stream.model.labelled import read_labelled_events
from telco_stream.quality.joining import Join, Joined
from telco_stream.quality.measures import measure, proportion
from tests.support.model_folder import COMMITTED
from tests.support.telco import CODEC, FORMAT

DAY = 86_400.0


def draw(seed: int, count: int, *, decimals: int = 2) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return calibrated probabilities, many of them equal, and outcomes."""
    random = np.random.default_rng(seed)
    probability = random.beta(1.5, 3, count).round(decimals)
    return probability, random.random(count) < probability


@pytest.mark.parametrize("count", [30, 5_000])
def test_measure_matches_scikit_learn(count: int) -> None:
    probability, positive = draw(1, count)
    flagged = probability >= 0.4
    measures = measure(probability, positive, flagged, 0.1)
    expected = {
        "auc": roc_auc_score(positive, probability),
        "brier": brier_score_loss(positive, probability),
        "log_loss": log_loss(positive, probability),
        "precision": precision_score(positive, flagged),
        "recall": recall_score(positive, flagged),
    }
    for name, value in expected.items():
        estimate = getattr(measures, name)
        assert estimate.value == pytest.approx(value, abs=1e-12), name
        assert estimate.low <= estimate.value <= estimate.high
    assert (measures.predictions, measures.positive, measures.flagged) == (count, positive.sum(), flagged.sum())
    highest = np.argsort(-probability, kind="stable")[: measures.contacts_at_capacity]
    assert measures.contacts_at_capacity == math.ceil(count / 10)
    assert measures.precision_at_capacity is not None
    assert measures.precision_at_capacity.value == pytest.approx(positive[highest].mean())


def test_quality_of_the_public_data_matches_scikit_learn(real_data: Path) -> None:
    """Of the bundled model and all 7,043 customers, joined by key."""
    data = read_labelled_events(real_data, replace(FORMAT, requires_label=True), CODEC)
    scorer = load_scorer(COMMITTED)
    probability, positive = np.array(scorer.score(data.events)), np.array(data.positive)
    flagged = probability >= scorer.threshold
    join = Join()
    for row, score in enumerate(probability.tolist()):
        join.add_prediction(f"customer {row}", 0.0, score, "v1", flagged=bool(flagged[row]))
    for row in np.random.default_rng(0).permutation(len(positive)).tolist():
        join.add_outcome(f"customer {row}", DAY, positive=bool(positive[row]))
    joined = join.result(30 * DAY)
    measures = measure(joined.probability, joined.positive, joined.flagged, 0.1)
    assert (measures.predictions, measures.positive) == (7_043, 1_869)
    actual = [measures.auc, measures.brier, measures.log_loss, measures.precision, measures.recall]
    assert [estimate and estimate.value for estimate in actual] == pytest.approx(
        [
            roc_auc_score(positive, probability),
            brier_score_loss(positive, probability),
            log_loss(positive, probability),
            precision_score(positive, flagged),
            recall_score(positive, flagged),
        ],
        abs=1e-12,
    )
    observed, mean = calibration_curve(positive, probability, n_bins=10, strategy="quantile")
    of_tenth = [(step.mean_probability, step.observed.value) for step in measures.calibration]
    # The limits of scikit-learn's tenths differ by one row.
    assert np.array(of_tenth) == pytest.approx(np.transpose([mean, observed]), abs=2 / 704)


@pytest.mark.parametrize("name", ["auc", "brier", "log_loss", "precision", "recall"])
def test_intervals_hold_the_true_value_in_95_of_100_samples(name: str) -> None:
    """With 400 samples, 95 % have a standard error of 1.1 %."""
    everything, outcomes = draw(7, 400_000, decimals=4)
    truth = getattr(measure(everything, outcomes, everything >= 0.4, 0.1), name).value
    inside = 0
    for seed in range(400):
        probability, positive = draw(1_000 + seed, 300, decimals=4)
        estimate = getattr(measure(probability, positive, probability >= 0.4, 0.1), name)
        inside += estimate.low <= truth <= estimate.high
    assert 0.91 <= inside / 400 <= 0.985


@pytest.mark.parametrize("positive", [[True, True], [False, False]])
def test_measure_has_no_auc_when_all_outcomes_are_the_same(positive: list[bool]) -> None:
    measures = measure(np.array([0.2, 0.7]), np.array(positive), np.array([False, False]), 0.5)
    assert measures.auc is None
    assert measures.precision is None, "nobody is flagged"
    assert (measures.recall is None) == (not any(positive))


def test_measure_has_no_interval_when_one_prediction_is_known() -> None:
    measures = measure(np.array([1.0]), np.array([False]), np.array([True]), 0.0)
    assert (measures.auc, measures.brier, measures.log_loss) == (None, None, None)
    assert (measures.contacts_at_capacity, measures.precision_at_capacity) == (0, None)


def test_auc_has_the_widest_interval_when_every_pair_is_in_order() -> None:
    auc = measure(np.array([0.1, 0.2, 0.8, 0.9]), np.array([0, 0, 1, 1]) > 0, np.zeros(4, bool), 0.5).auc
    assert auc is not None
    assert (auc.value, auc.low, auc.high) == (1.0, 0.0, 1.0)


def test_proportion_is_wilsons_interval() -> None:
    """Figures of Newcombe, Statistics in Medicine 17 (1998), table I: 81 of 263 and 0 of 20."""
    assert [round(value, 4) for value in (proportion(81, 263).low, proportion(81, 263).high)] == [0.2553, 0.3662]
    assert [round(value, 4) for value in (proportion(0, 20).low, proportion(0, 20).high)] == [0.0, 0.1611]


def test_calibration_has_fewer_steps_when_there_are_fewer_than_ten_predictions() -> None:
    measures = measure(np.array([0.9, 0.1, 0.5]), np.array([True, False, True]), np.zeros(3, bool), 0.1)
    assert [(step.predictions, step.mean_probability, step.observed.value) for step in measures.calibration] == [
        (1, 0.1, 0.0),
        (1, 0.5, 1.0),
        (1, 0.9, 1.0),
    ]


def joined(predictions: Iterable[tuple[str, float]], outcomes: Iterable[tuple[str, float, bool]]) -> Joined:
    """Join predictions, whose probabilities tell them apart, and outcomes, with times in days."""
    join = Join()
    for number, (key, day) in enumerate(predictions):
        join.add_prediction(key, day * DAY, number / 100, "v1", flagged=False)
    for key, day, positive in outcomes:
        join.add_outcome(key, day * DAY, positive=positive)
    return join.result(30 * DAY)


def pairs(result: Joined) -> dict[float, bool]:
    return dict(zip(result.probability.tolist(), result.positive.tolist(), strict=True))


def test_join_takes_the_newest_earlier_prediction() -> None:
    result = joined([("a", 1), ("a", 5), ("a", 9), ("b", 2)], [("a", 7, True), ("b", 3, False)])
    assert pairs(result) == {0.01: True, 0.03: False}


def test_join_ignores_an_outcome_at_the_time_of_the_prediction() -> None:
    result = joined([("a", 1), ("a", 5)], [("a", 5, True), ("a", 1, True)])
    assert pairs(result) == {0.0: True}
    assert (result.coverage.before_prediction, result.coverage.after_horizon) == (1, 0)


def test_join_ignores_outcomes_beyond_the_horizon_and_unknown_keys() -> None:
    result = joined([("a", 1), ("b", 1)], [("a", 31, True), ("b", 31.001, True), ("c", 2, True)])
    assert pairs(result) == {0.0: True}
    assert (result.coverage.after_horizon, result.coverage.unknown_key, result.coverage.outcomes) == (1, 1, 3)


def test_join_takes_the_newer_outcome_of_a_prediction() -> None:
    """In any order of arrival: a late outcome corrects what was known."""
    for outcomes in ([("a", 3, False), ("a", 8, True)], [("a", 8, True), ("a", 3, False)]):
        result = joined([("a", 1)], outcomes)
        assert pairs(result) == {0.0: True}
        assert result.coverage.replaced == 1


def test_join_counts_predictions_that_can_still_get_an_outcome() -> None:
    result = joined([("a", 1), ("b", 15), ("c", 2), ("d", 60)], [("a", 40, True), ("d", 61, False)])
    assert result.coverage.pending == 0, "b and c had no outcome within 30 days"
    assert joined([("a", 1), ("b", 15), ("c", 2)], [("a", 40, True)]).coverage.pending == 1


@pytest.mark.parametrize(("predictions", "outcomes"), [([], [("a", 1, True)]), ([("a", 1)], []), ([], [])])
def test_join_is_empty_when_one_side_is(
    predictions: list[tuple[str, float]], outcomes: list[tuple[str, float, bool]]
) -> None:
    assert pairs(joined(predictions, outcomes)) == {}


def test_join_matches_a_search_through_all_pairs() -> None:
    random = np.random.default_rng(3)
    predictions = [(f"k{random.integers(20)}", float(day)) for day in random.integers(0, 60, 300)]
    outcomes = [(f"k{random.integers(25)}", float(day), bool(random.random() < 0.5)) for day in range(90)]
    expected: dict[float, bool] = {}
    for key, day, positive in outcomes:  # in the order of time
        earlier = [(when, number) for number, (name, when) in enumerate(predictions) if name == key and when < day]
        if earlier and day - max(earlier)[0] <= 30:
            expected[max(earlier)[1] / 100] = positive
    assert pairs(joined(predictions, outcomes)) == expected
