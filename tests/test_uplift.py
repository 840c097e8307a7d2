"""`quality --uplift`: what contacts achieved, by a control group that wasn't contacted."""

from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from telco_stream.messages.prediction import Holdout
from telco_stream.model.quality import Estimate, Uplift, UpliftGroup
from telco_stream.quality.joining import Join
from telco_stream.quality.measures import measure_uplift
from tests.support.captured_screen import CapturedScreen
from tests.support.in_process import run_in_process
from tests.support.topics import Topics, read_topic
from tests.test_display_quality import RESULT
from tests.test_holdout import SAMPLE, run

CUSTOMERS = 20_000
PERCENT = 20
#: Seeds of the samples.
SEEDS = range(100)


@cache
def control_group(percent: float) -> NDArray[np.bool_]:
    return np.array([Holdout(percent).takes(f"c{number}") for number in range(CUSTOMERS)])


def sample(seed: int, effect: float, percent: float = PERCENT) -> Uplift:
    """Flag 20,000 customers, and let contacts lower the probability by `effect`; the model is calibrated."""
    random, control = np.random.default_rng(seed), control_group(percent)
    probability = random.uniform(0.3, 0.9, CUSTOMERS)
    left = random.random(CUSTOMERS) < probability - effect * ~control
    result = measure_uplift(probability, left, control, "2026-11-01T00:00:00.000Z")
    assert result is not None
    return result


def test_planted_uplift_of_4_points_is_found_with_20_000_customers() -> None:
    results = {seed: sample(seed, 0.04) for seed in SEEDS}
    missed = [seed for seed, result in results.items() if not result.found]
    assert len(missed) <= 3, f"missed with seeds {missed}"
    assert np.mean([result.uplift.value for result in results.values()]) == pytest.approx(0.04, abs=0.003)
    covered = [result.uplift.low <= 0.04 <= result.uplift.high for result in results.values()]
    assert sum(covered) >= 90
    assert results[0].detectable == pytest.approx(0.024, abs=0.001)


@pytest.mark.parametrize(("percent", "share"), [(5, 0.69), (8, 0.87), (12, 0.96)])
def test_uplift_of_4_points_is_found_as_often_as_documented(percent: float, share: float) -> None:
    """With 1,000 seeds, these shares have a standard error of 0.6 to 1.5 points."""
    found = [sample(seed, 0.04, percent).found for seed in range(1_000)]
    assert np.mean(found) == pytest.approx(share, abs=0.03)


def test_no_uplift_is_reported_without_one_in_95_of_100_seeds() -> None:
    reported = [seed for seed in SEEDS if sample(seed, 0.0).found]
    assert len(reported) <= 5, f"reported with seeds {reported}"
    many = [seed for seed in range(1_000, 3_000) if sample(seed, 0.0).found]
    assert len(many) / 2_000 == pytest.approx(0.05, abs=0.015)


def test_harm_is_found_too() -> None:
    result = sample(7, -0.05)
    assert result.found
    assert result.uplift.high < 0


@pytest.mark.parametrize("positive", [True, False])
def test_detectable_uplift_is_not_0_when_all_outcomes_are_the_same(positive: bool) -> None:
    result = measure_uplift(np.full(220, 0.5), np.full(220, positive), np.arange(220) < 20, "")
    assert result is not None
    assert 0.05 < result.detectable < 0.2


@pytest.mark.parametrize(("hits", "bounds"), [
    ((56, 70, 48, 80), (0.0524, 0.3339)), ((9, 10, 3, 10), (0.1705, 0.8090)), ((10, 10, 0, 10), (0.6075, 1.0)),
])  # fmt: skip
def test_interval_is_that_of_newcombe(hits: tuple[int, int, int, int], bounds: tuple[float, float]) -> None:
    """The cases and bounds are from the tables of the publication (1998), method 10."""
    first, first_count, second, second_count = hits
    positive = outcomes(first, first_count) + outcomes(second, second_count)
    control = np.arange(len(positive)) < first_count
    result = measure_uplift(np.full(len(positive), 0.5), np.array(positive), control, "")
    assert result is not None
    assert (round(result.uplift.low, 4), round(result.uplift.high, 4)) == bounds
    assert result.uplift.value == pytest.approx(first / first_count - second / second_count)


def outcomes(positive: int, count: int) -> list[bool]:
    return [True] * positive + [False] * (count - positive)


@pytest.mark.parametrize("group", [[True, True], [False, False], []])
def test_uplift_needs_both_groups(group: list[bool]) -> None:
    empty: NDArray[Any] = np.zeros(len(group))
    assert measure_uplift(empty, empty > 0, np.array(group, dtype=bool), "") is None


def test_join_keeps_the_mark_of_each_prediction() -> None:
    join = Join()
    for key, control in (("a", True), ("b", False), ("c", True)):
        join.add_prediction(key, 1.0, 0.5, "v1", flagged=True, control=control)
    join.add_prediction("a", 2.0, 0.5, "v1", flagged=True)
    for key, time in (("a", 3.0), ("b", 3.0), ("c", 0.5)):
        join.add_outcome(key, time, positive=True)
    assert join.result(10).control.tolist() == [False, False], "a's newest prediction has no mark, c has no outcome"


def test_quality_measures_the_uplift_since_the_control_group_exists(kafka: str, topics: Topics, tmp_path: Path) -> None:
    """All customers of the control group leave, and none of the others; earlier predictions don't count."""
    env = topics.env(kafka)
    run("produce", "--mode", "batch", "--data-path", str(SAMPLE), "--limit", "300", env=env)
    run("consume", "--mode", "batch", "--limit", "150", env=env)
    path = write_outcomes(tmp_path, kafka, topics)
    done = run_in_process("quality", "--outcomes", str(path), "--uplift", env=env)
    assert done.code == 5
    assert "0 are of the control group; consume --holdout-percent marks it" in done.err
    run("consume", "--mode", "batch", "--holdout-percent", "30", env=env)
    result = run("quality", "--outcomes", str(write_outcomes(tmp_path, kafka, topics)), "--uplift", env=env)
    messages = [record.json() for record in read_topic(kafka, topics.predictions)]
    since = min(message["processed_ts"] for message in messages if message.get("control"))
    flagged = [message for message in messages if message["prediction"] == "Yes" and message["processed_ts"] >= since]
    control = [message for message in flagged if message.get("control")]
    uplift = result["uplift"]
    assert uplift["since"] == since
    assert (uplift["control"]["predictions"], uplift["control"]["positive"]) == (len(control), len(control))
    assert (uplift["contacted"]["predictions"], uplift["contacted"]["positive"]) == (len(flagged) - len(control), 0)
    assert uplift["contacted"]["mean_probability"] == pytest.approx(
        np.mean([message["churn_probability"] for message in flagged if not message.get("control")])
    )
    assert (uplift["uplift"]["value"], uplift["found"]) == (1.0, True)
    assert run("quality", "--outcomes", str(path), env=env)["uplift"] is None


def write_outcomes(folder: Path, kafka: str, topics: Topics) -> Path:
    """Write that the customers with a mark left, a week after."""
    time = (datetime.now(UTC) + timedelta(days=7)).isoformat(timespec="seconds")
    messages = [record.json() for record in read_topic(kafka, topics.predictions)]
    lines = [f"{message['customerID']},{'Yes' if message.get('control') else 'No'},{time}" for message in messages]
    path = folder / "outcomes.csv"
    path.write_text("\n".join(["customer,outcome,time", *lines]) + "\n")
    return path


@pytest.mark.parametrize(("value", "low", "high", "expected"), [
    (0.041, 0.009, 0.073, ["4.1 of 100 fewer than in the control group", "(95 % interval +0.9 to +7.3)."]),
    (0.003, -0.022, 0.028, ["which can be chance", "the 95 % interval is -2.2 to +2.8", "from 3.6 of 100 on in 80 of"]),
    (-0.05, -0.09, -0.01, ["5.0 of 100 more than in the control group"]),
])  # fmt: skip
def test_table_says_what_contacts_achieved(value: float, low: float, high: float, expected: list[str]) -> None:
    group = UpliftGroup(100, 50, Estimate(0.5, 0.4, 0.6), 0.55)
    uplift = Uplift("", group, group, Estimate(value, low, high), not low <= 0 <= high, 0.036)
    captured = CapturedScreen(environ={"COLUMNS": "80"})
    captured.screen.show(
        type(RESULT)(**{name: getattr(RESULT, name) for name in RESULT.__slots__} | {"uplift": uplift})
    )
    printed = " ".join(captured.stdout.split())
    assert "Control 100 0.550 0.500 0.400 to 0.600" in printed
    assert [phrase for phrase in expected if phrase not in printed] == []
    assert max(map(len, captured.stdout.splitlines())) <= 80
