"""Several models in one batch: canary, shadow, and the fallback of a version that fails too often."""

import zlib
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest

from telco_stream.contract.events import Event
from telco_stream.messages.dead_letter import decode_dead_letter
from telco_stream.model.scorer import ScoringError
from telco_stream.model.serving import CanaryModel, Models, ServingModels, Trial, VersionCounts
from telco_stream.scoring import Limits, compare_shadow, process
from tests.support.loop_harness import goods, harness_with
from tests.support.records import FakeRecord, RuleScorer, good

NOW = "2026-01-01T00:00:01Z"


def test_process_sends_each_key_to_its_side_in_order() -> None:
    records = [FakeRecord(good(customerID=f"c{number}"), number) for number in range(200)]
    outcome = process(records, RuleScorer(), processed_at=NOW, limits=Limits(), canary=canary(50))
    expected = ["canary-1" if is_canary(f"c{number}", 50) else "rule-1" for number in range(200)]
    assert [prediction.model_version for prediction in outcome.predictions] == expected
    assert [prediction.key for prediction in outcome.predictions] == [f"c{number}" for number in range(200)]
    assert 60 < expected.count("canary-1") < 140
    counts = {version: VersionCounts(expected.count(version), 0) for version in ("rule-1", "canary-1")}
    assert outcome.by_version == counts


def test_process_names_the_canary_in_its_dead_letters() -> None:
    records = [FakeRecord(good(customerID=f"c{number}"), number) for number in range(20)]
    outcome = process(records, RuleScorer(), processed_at=NOW, limits=Limits(), canary=canary(50, fail))
    expected = [f"c{number}" for number in range(20) if is_canary(f"c{number}", 50)]
    versions = [dict(headers)["telco.dlq.model.version"] for _, _, headers in outcome.dead_letter_messages]
    assert versions == [b"canary-1"] * len(expected)
    assert [decode_dead_letter(body).error_type for _, body, _ in outcome.dead_letter_messages][:1] == ["scoring"]
    assert outcome.by_version["canary-1"] == VersionCounts(0, len(expected))
    assert outcome.by_version["rule-1"] == VersionCounts(20 - len(expected), 0)


def test_compare_shadow_counts_changes_failures_and_differences() -> None:
    records = [FakeRecord(value, number) for number, value in enumerate([*goods(4), b"bad"])]
    outcome = process(records, RuleScorer(), processed_at=NOW, limits=Limits())
    rules = {"c0": 0.25, "c1": 0.75, "c2": float("nan"), "c3": 0.3}
    shadow = RuleScorer(lambda event: rules[event.key], version="shadow-1")
    comparison = compare_shadow(shadow, outcome)
    assert (comparison.version, comparison.compared, comparison.failed) == ("shadow-1", 3, 1)
    assert comparison.changed_decisions == 1
    assert [round(difference, 3) for difference in comparison.differences] == [0, 0.5, 0.05]


def test_loop_swaps_models_between_two_batches() -> None:
    models = Models(ServingModels(RuleScorer(version="a")))
    harness = harness_with(*goods(9), models=models)

    class Swapping(RuleScorer):
        def score(self, events: Any) -> list[float]:
            models.serving = ServingModels(RuleScorer(version="b"))
            return super().score(events)

    models.serving = ServingModels(Swapping(version="a"))
    harness.run()
    versions = [[answer.model_version for answer in outcome.predictions] for outcome in harness.delivery.outcomes]
    assert versions == [["a"] * 3, ["b"] * 3, ["b"] * 3]


def test_loop_answers_with_the_fallback_when_a_version_fails() -> None:
    rolled_back: list[tuple[str, str]] = []
    models = Models(serving_on_trial(fail), Trial(max_failures=0.01))
    models.on_rollback = lambda version, reason: rolled_back.append((version, reason))
    harness = harness_with(*goods(30), models=models)
    harness.run()
    versions = [answer.model_version for outcome in harness.delivery.outcomes for answer in outcome.predictions]
    assert versions == ["old"] * 27, "the trial ends with its fifth failure, in the second batch of three"
    assert rolled_back == [("new", "it failed on 6 of its first 6 records")]
    assert models.rolled_back == 1


def test_loop_keeps_the_version_when_its_fallback_fails_too() -> None:
    models = Models(serving_on_trial(fail, old=fail))
    harness = harness_with(*goods(30), models=models)
    harness.run()
    assert models.rolled_back == 0
    assert {letter for outcome in harness.delivery.outcomes for letter in letter_versions(outcome)} == {b"new"}


def test_on_scored_ignores_failures_after_the_trial() -> None:
    models = Models(serving_on_trial(fail), Trial(records=100))
    models.current()
    assert models.on_scored({"new": VersionCounts(100, 0)}) is None
    assert models.on_scored({"new": VersionCounts(0, 5_000)}) is None


def test_on_scored_ignores_a_handful_of_failures() -> None:
    models = Models(serving_on_trial(fail))
    models.current()
    assert models.on_scored({"new": VersionCounts(0, 4)}) is None
    assert models.on_scored({"new": VersionCounts(0, 1)}) == "new"


@pytest.mark.parametrize("size", [500, 1_000, 5_000])
def test_on_scored_ends_a_trial_at_the_limit_in_two_batches(size: int) -> None:
    """At exactly one failure in 100 records, and in 95 of 100 trials if chance decides which records fail."""
    assert batches_of_trial([0.01 * size] * 2, size) is not None
    generator = np.random.default_rng(16)
    trials = generator.binomial(size, 0.01, (1_000, 2))
    assert sum(batches_of_trial(failures, size) is not None for failures in trials) >= 950


@pytest.mark.parametrize(("rate", "size", "false_alarms"), [(0.001, 500, 10), (0.002, 5_000, 1), (0.005, 5_000, 100)])
def test_on_scored_keeps_a_version_below_the_limit(rate: float, size: int, false_alarms: int) -> None:
    """The whole trial of 100,000 records, of 1,000 versions."""
    trials = np.random.default_rng(16).binomial(size, rate, (1_000, 100_000 // size))
    assert sum(batches_of_trial(failures, size) is not None for failures in trials) <= false_alarms


def test_models_keep_the_newest_events_when_followed() -> None:
    models = Models(ServingModels(RuleScorer()), recent=5)
    harness_with(*goods(9), models=models).run()
    assert [event.key for event in models.recent] == ["c4", "c5", "c6", "c7", "c8"]
    fixed = Models(ServingModels(RuleScorer()))
    harness_with(*goods(9), models=fixed).run()
    assert fixed.recent == []


def test_loop_reports_the_shadow_with_the_committed_batch() -> None:
    shadow = RuleScorer(lambda _: 0.75, version="shadow-1")
    harness = harness_with(*goods(3), models=Models(ServingModels(RuleScorer(), shadow=shadow)))
    harness.run()
    (outcome,) = harness.observer.outcomes
    assert outcome.shadow is not None
    assert outcome.shadow.changed_decisions == 3
    assert (outcome.events, shadow.calls) == ((), [3])
    assert {answer.model_version for answer in outcome.predictions} == {"rule-1"}
    assert harness.source.log == ["poll", "send", "commit"]


def serving_on_trial(rule: Any, old: Any = lambda _: 0.25) -> ServingModels:
    before = ServingModels(RuleScorer(old, version="old"))
    return ServingModels(RuleScorer(rule, version="new"), fallbacks={"new": before})


def batches_of_trial(failures: Iterable[float], size: int) -> int | None:
    """Return the number of batches after which a version is rolled back, None if it is not."""
    models = Models(serving_on_trial(fail))
    models.current()
    for number, failed in enumerate(failures, 1):
        if models.on_scored({"new": VersionCounts(size - int(failed), int(failed))}) is not None:
            return number
    return None


def canary(percent: float, rule: Any = lambda _: 0.25) -> CanaryModel:
    return CanaryModel(RuleScorer(rule, version="canary-1"), lambda key: is_canary(key.decode(), percent))


def is_canary(key: str, percent: float) -> bool:
    return zlib.crc32(key.encode()) % 100 < percent


def letter_versions(outcome: Any) -> list[bytes]:
    return [dict(headers)["telco.dlq.model.version"] for _, _, headers in outcome.dead_letter_messages]


def fail(_event: Event) -> float:
    raise ScoringError("no")
