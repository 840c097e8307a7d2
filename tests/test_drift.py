"""Baselines, limits, windows and the run of windows above a limit, without Kafka."""

import json
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import brier_score_loss, precision_score, recall_score, roc_auc_score

from telco_stream.errors import ModelError
from telco_stream.messages.codec import compile_contract
from telco_stream.model.drift import chi_square
from telco_stream.model.drift.baseline import (
    BinCounter,
    Counts,
    Floats,
    decode_baseline,
    encode_baseline,
    make_baseline,
    name_bins,
)
from telco_stream.model.drift.comparison import ALPHA, MIN_PSI, Comparison, compare, psi
from telco_stream.model.drift.estimate import expected_quality
from telco_stream.model.drift.results import ExpectedQuality
from telco_stream.model.drift.tracking import DriftTracker
from telco_stream.model.drift.windows import Block, OpenWindow, windows
from telco_stream.model.features import feature_table
from tests.support.contracts import small
from tests.support.model_folder import COMMITTED
from tests.support.telco import CODEC, FEATURES

SMALL_CODEC = compile_contract(small()).events
CONTENT = (COMMITTED / "baseline.json").read_bytes()
#: AUC, precision and recall that nannyml 0.13.1 (numpy 2.4.6, scikit-learn 1.9.1) estimates for `draw_window(seed, …)`:
#: `CBPE(…, calibrator=NoopCalibrator(), chunk_size=size)`, fitted to any probabilities and outcomes. It has no Brier
#: score. The library is not a dependency of the tests, because it installs 2.2 GB.
NANNYML = [
    ((0, 0.6, 1.4, 5_000, 15), 0.31, [0.8479551116410615, 0.5692185643131928, 0.7705798042123811]),
    ((1, 0.6, 1.4, 5_000, 2), 0.31, [0.849325439324887, 0.5685853184248906, 0.7840689692159176]),
    ((2, 2.0, 2.0, 500, 15), 0.5, [0.7648516622995878, 0.6918394458862426, 0.7225884575886936]),
    ((3, 0.2, 3.0, 7_043, 15), 0.1, [0.9081039753472162, 0.25417022183138144, 0.799687910869585]),
    ((4, 5.0, 1.0, 2_000, 3), 0.9, [0.7725311720156682, 0.9534988425925925, 0.4889549014312719]),
]


def events(number: int, **values: Any) -> list[Any]:
    """Return events in which the numbers differ and everything else has the values given."""
    defaults = {"plan": "basic", "monthly_fee": 1.0, "complaints": 0}
    return [SMALL_CODEC.make(defaults | {"data_gb": float(index)} | values) for index in range(number)]


def counter_of(rows: list[Any]) -> tuple[BinCounter, Any]:
    baseline = make_baseline(SMALL_CODEC, feature_table(SMALL_CODEC, rows), np.linspace(0, 1, len(rows)))
    return BinCounter(baseline, SMALL_CODEC), baseline


def compared(baseline: Sequence[Counts], window: Sequence[Counts]) -> Comparison:
    """Compare the counts of each feature."""
    starts = np.cumsum([0, *map(len, baseline[:-1])])
    return compare(np.concatenate(baseline), np.concatenate(window), starts)


@pytest.mark.parametrize("degrees", [1, 2, 3, 9, 10, 99, 1_000])
def test_chi_square_equals_scipy(degrees: int) -> None:
    for probability in (0.5, 1e-3, 5e-5, 1e-9):
        value = chi_square.quantile(probability, degrees)
        assert value == pytest.approx(stats.chi2.isf(probability, degrees), rel=1e-9)
        assert chi_square.tail(value, degrees) == pytest.approx(probability, rel=1e-9)
    assert chi_square.tail(0.0, degrees) == 1.0
    assert chi_square.tail(1e9, degrees) == 0.0


def test_committed_baseline_counts_every_training_row() -> None:
    baseline = decode_baseline(CONTENT, CODEC.events)
    assert [bins.name for bins in baseline.features] == list(FEATURES)
    assert {sum(bins.counts) for bins in [*baseline.features, baseline.score]} == {baseline.rows} == {7_043}
    assert encode_baseline(baseline) == CONTENT


def test_bins_count_nulls_unknown_texts_and_fill_separately() -> None:
    counter, baseline = counter_of(events(100))
    odd = [
        *events(3, device=None, roaming=True),
        *events(2, device="watch", data_gb=None),
        *events(1, device="tablet", data_gb=1e9, roaming=False),
    ]
    counts = counter.split(counter.count([feature_table(SMALL_CODEC, odd)], [0.1] * 5 + [math.nan]))
    named = {
        bins.name: dict(zip(name_bins(SMALL_CODEC, bins).labels, part.tolist(), strict=True))
        for bins, part in zip([*baseline.features, baseline.score], counts, strict=True)
    }
    assert named["device"] == {"phone": 0, "tablet": 1, "rest": 2, "null": 3}
    assert named["roaming"] == {"false": 1, "true": 3, "null": 2}
    assert named["data_gb"]["null or 0"] == 3, "two nulls, and a zero"
    assert named["data_gb"]["above 99"] == 1
    assert sum(named["score"].values()) == 5, "a score that is not a number is not counted"
    for name in SMALL_CODEC.contract.features:
        assert sum(named[name.name].values()) == 6


def test_category_of_many_values_is_counted_as_one_of_few() -> None:
    plans = [f"plan {number}" for number in range(40)]
    codec = compile_contract(small(lambda contract: contract["features"][0].update(values=plans))).events
    make = [codec.make({"plan": plans[index % 37], "monthly_fee": 1, "complaints": index}) for index in range(185)]
    baseline = make_baseline(codec, feature_table(codec, make), [0.5] * 185)
    assert baseline.features[0].counts == [5] * 37 + [0] * 3


@pytest.mark.parametrize("damage", [
    lambda baseline: baseline["features"].pop(),
    lambda baseline: baseline["features"].reverse(),
    lambda baseline: baseline["features"][0].update(counts=[1, 2, 3]),
    lambda baseline: baseline["features"][4].update(edges=None),
    lambda baseline: baseline["features"][4]["edges"].reverse(),
    lambda baseline: baseline["features"][4]["edges"].append(1e9),
    lambda baseline: baseline["features"][4].update(counts=[0] * 13),
    lambda baseline: baseline["score"].update(edges=None),
    lambda baseline: baseline["score"].update(counts=[-1] * 13),
    lambda baseline: baseline["score"].update(counts=[10**30] * 13),
    lambda baseline: baseline.update(rows=0),
    lambda baseline: baseline.pop("score"),
])  # fmt: skip
def test_decode_baseline_fails_when_it_is_not_of_the_contract(damage: Callable[[Any], object]) -> None:
    document = json.loads(CONTENT)
    damage(document)
    with pytest.raises(ModelError, match="baseline"):
        decode_baseline(json.dumps(document).encode(), CODEC.events)


def test_psi_equals_its_definition() -> None:
    before, now = np.array([60.0, 40.0]), np.array([20.0, 80.0])
    assert psi(before, now) == pytest.approx(0.4 * math.log(0.6 / 0.2) + 0.4 * math.log(0.8 / 0.4))


def test_limit_is_the_quantile_for_window_baseline_bins_and_features() -> None:
    baseline = [np.array([500, 500]), np.array([300, 300, 400])]
    window = [np.array([260, 240]), np.array([150, 150, 200])]
    comparison = compared(baseline, window)
    expected = stats.chi2.isf(ALPHA / 2, [1, 2]) * (1 / 500 + 1 / 1_000)
    assert comparison.limit == pytest.approx(np.maximum(MIN_PSI, expected), rel=1e-9)
    assert not comparison.exceeds.any()


def test_limit_of_the_rest_is_larger_than_alpha_alone_after_holm_rejects_one() -> None:
    baseline = [np.array([500, 500])] * 2
    comparison = compared(baseline, [np.array([100, 400]), np.array([250, 250])])
    scale = 1 / 500 + 1 / 1_000
    assert comparison.exceeds.tolist() == [True, False]
    assert comparison.limit == pytest.approx(stats.chi2.isf([ALPHA / 2, ALPHA], 1) * scale)


def test_psi_of_all_features_is_that_of_each() -> None:
    """With bins that both lack, and that one lacks."""
    random = np.random.default_rng(0)
    baseline = [random.integers(0, 400, size) for size in (2, 5, 12)]
    window = [random.integers(0, 400, size) for size in (2, 5, 12)]
    baseline[1][2] = window[1][2] = window[2][3] = 0
    together = compared(baseline, window)
    alone = [compared([before], [now]).psi[0] for before, now in zip(baseline, window, strict=True)]
    assert together.psi == pytest.approx(alone)
    kept = [[0, 1], [0, 1, 3, 4], [*range(12)]]
    expected = [
        psi(*(counts[part][bins].astype(float) for counts in (baseline, window))) for part, bins in enumerate(kept)
    ]
    assert together.psi == pytest.approx(expected)


def test_rare_bins_are_merged_before_they_are_compared() -> None:
    """Three records of two rare values are one bin, with the smallest of the others."""
    merged = compared([np.array([500, 496, 3, 1])], [np.array([500, 498, 0, 2])])
    assert merged.psi[0] == pytest.approx(psi(np.array([500.0, 500.0]), np.array([500.0, 500.0])))


def test_compare_finds_a_value_that_the_baseline_lacks_but_no_single_record() -> None:
    baseline = [np.array([5_000, 0])]
    assert compared(baseline, [np.array([4_900, 100])]).exceeds.any()
    assert not compared(baseline, [np.array([4_999, 1])]).exceeds.any()
    assert not compared(baseline, [np.array([5_000, 0])]).exceeds.any()
    assert compared([np.array([0, 0])], [np.array([0, 0])]).psi[0] == 0.0


@pytest.mark.parametrize("decimals", [1, 15])
def test_expected_quality_is_the_mean_over_drawn_outcomes(decimals: int) -> None:
    """With equal probabilities, and without; outcomes are drawn 200 times and measured by scikit-learn."""
    random = np.random.default_rng(3)
    probabilities = random.beta(0.6, 1.4, 3_000).round(decimals)
    expected = expected_quality(probabilities, 0.4)
    drawn = random.random((200, 3_000)) < probabilities
    flagged = probabilities >= 0.4
    measured = [
        [
            roc_auc_score(positive, probabilities),
            precision_score(positive, flagged),
            recall_score(positive, flagged),
            brier_score_loss(positive, probabilities),
        ]
        for positive in drawn
    ]
    actual = [expected.auc, expected.precision, expected.recall, expected.brier]
    assert actual == pytest.approx(np.mean(measured, axis=0).tolist(), abs=0.003)


def draw_window(seed: int, alpha: float, beta: float, size: int, decimals: int) -> Floats:
    return np.random.default_rng(seed).beta(alpha, beta, size).round(decimals)


@pytest.mark.parametrize(("window", "threshold", "estimated"), NANNYML)
def test_expected_quality_equals_nannyml(
    window: tuple[int, float, float, int, int], threshold: float, estimated: list[float]
) -> None:
    """It rounds the cumulated true and false positives of its ROC curve to 5 decimals, which can move the AUC."""
    probabilities = draw_window(*window)
    expected = expected_quality(probabilities, threshold)
    rounding = 0.5e-5 / probabilities.sum() + 0.5e-5 / (1 - probabilities).sum()
    assert expected.auc == pytest.approx(estimated[0], abs=rounding)
    assert [expected.precision, expected.recall] == pytest.approx(estimated[1:], abs=1e-12)


def test_expected_quality_is_null_where_it_is_not_defined() -> None:
    assert expected_quality([0.0, 0.0], 0.5) == ExpectedQuality(None, None, None, 0.0)
    assert expected_quality([1.0], 0.5) == ExpectedQuality(None, 1.0, 1.0, 0.0)
    assert expected_quality([0.25, 0.25], 0.5) == ExpectedQuality(0.5, None, 0.0, 0.1875)


def test_windows_are_in_the_order_of_time_and_of_equal_size() -> None:
    blocks = [Block(float(number), 100, np.array([number])) for number in range(90)]
    parts = list(windows([*blocks[1::2], *blocks[::2]], 4_000))
    assert [(part.started, part.records) for part in parts] == [(0, 3_000), (30, 3_000), (60, 3_000)]
    assert [part.counts.tolist() for part in parts] == [[sum(range(first, first + 30))] for first in (0, 30, 60)]


@pytest.mark.parametrize(("records", "expected"), [
    ([], []), ([30], [30]), ([100] * 11, [1_100]), ([100] * 12, [600, 600]), ([100] * 12 + [30], [600, 630]),
])  # fmt: skip
def test_windows_are_two_unless_one_would_be_too_small(records: list[int], expected: list[int]) -> None:
    blocks = [Block(float(number), count, np.array([1])) for number, count in enumerate(records)]
    assert [part.records for part in windows(blocks, 7_000)] == expected


def test_tracker_reports_drift_after_two_windows_in_a_row() -> None:
    baseline = decode_baseline(CONTENT, CODEC.events)
    tracker = DriftTracker(baseline, CODEC.events)
    clean = np.concatenate([np.array(bins.counts) for bins in [*baseline.features, baseline.score]])
    changed = clean.copy()
    contract = tracker.counter.split(changed)[FEATURES.index("Contract")]
    contract[:] = [contract[0] - 1_000, contract[1] + 1_000, contract[2]]
    states = []
    for started, counts in enumerate([changed, clean, changed, changed, changed, clean]):
        feature = tracker.add(counts, float(started)).features[FEATURES.index("Contract")]
        states.append((feature.windows, feature.since and feature.since[17:19], feature.drifted))
    assert states == [
        (1, "00", False), (0, None, False), (1, "02", False), (2, "02", True), (3, "02", True), (0, None, False)
    ]  # fmt: skip


def test_tracker_names_what_has_changed() -> None:
    baseline = decode_baseline(CONTENT, CODEC.events)
    tracker = DriftTracker(baseline, CODEC.events)
    counts = np.concatenate([np.array(bins.counts) for bins in [*baseline.features, baseline.score]])
    parts = dict(zip([*FEATURES, "score"], tracker.counter.split(counts), strict=True))
    parts["PaymentMethod"][:] = [1_544, 1_522, 3_365, 612]
    parts["tenure"][1:3] -= 300
    parts["tenure"][7:9] += 300
    parts["score"][9:11] -= 300
    parts["score"][1] += 600
    found = {feature.feature: feature for feature in tracker.add(counts, 0.0).features}
    assert {name for name, feature in found.items() if feature.windows} == {"PaymentMethod", "tenure", "score"}
    payment = found["PaymentMethod"]
    assert (payment.change, payment.bin) == ("less Mailed check", "Mailed check")
    assert (payment.share_before, payment.share_now) == (round(1_612 / 7_043, 6), round(612 / 7_043, 6))
    assert (found["tenure"].change, found["score"].change) == ("higher", "lower")


@pytest.mark.parametrize(
    "sizes", [[1] * 700, [30_000, 499, 200], [300, 25_000, 4_700, 80]], ids=["1 each", "many", "mixed"]
)
def test_open_window_counts_its_rows_in_whatever_parts_they_come(sizes: list[int]) -> None:
    counter, _ = counter_of(events(100))
    rows = events(sum(sizes))
    table, scores = feature_table(SMALL_CODEC, rows), np.random.default_rng(3).random(len(rows))
    window = OpenWindow(counter, len(rows), math.inf)
    full: list[Block] = []
    for end, size in zip(np.cumsum(sizes).tolist(), sizes, strict=True):
        full += window.add(table[end - size : end], scores[end - size : end], float(end))
    (block,) = full
    assert (block.started, block.records, len(block.scores)) == (sizes[0], len(rows), len(rows))
    assert block.counts.tolist() == counter.count([table], scores).tolist()
    assert block.scores.tolist() == scores.tolist()
