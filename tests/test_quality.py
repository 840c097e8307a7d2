"""`quality` on a real Kafka: from the topic and from a file, with records that are no outcomes."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from telco_stream.messages.prediction import Prediction, encode_prediction
from telco_stream.quality.measures import measure
from telco_stream.runtime.period import parse_length
from tests.support.cli import ROOT
from tests.support.in_process import run_in_process
from tests.support.report_data import prediction
from tests.support.topics import Topics, send

SAMPLE = ROOT / "data/sample_customers.csv"
COUNT = 60


@pytest.fixture
def env(kafka: str, topics: Topics) -> dict[str, str]:
    """Return the environment of topics with 60 predictions, and no outcomes."""
    env = topics.env(kafka)
    for command in (
        ("topics", "init", "--outcomes"),
        ("produce", "--mode", "batch", "--data-path", str(SAMPLE), "--limit", str(COUNT)),
        ("consume", "--mode", "batch", "--top-k", "0"),
    ):
        done = run_in_process(*command, env=env)
        assert done.code == 0, done.err
    return env


def outcomes(folder: Path, *, days: float = 7, flip: bool = False) -> Path:
    """Write the outcomes of the first customers of the sample, as known after some days."""
    time = (datetime.now(UTC) + timedelta(days=days)).isoformat(timespec="seconds")
    rows = [line.split(",") for line in SAMPLE.read_text().splitlines()[1 : COUNT + 1]]
    lines = [f"{row[0]},{row[-1] if not flip else ('No' if row[-1] == 'Yes' else 'Yes')},{time}" for row in rows]
    path = folder / f"outcomes-{days:g}-{flip}.csv"
    path.write_text("\n".join(["customer,outcome,time", *lines]) + "\n")
    return path


def quality(env: dict[str, str], *options: str, code: int = 0) -> Any:
    done = run_in_process("quality", "--output", "json", *options, env=env)
    assert done.code == code, done.err
    return json.loads(done.out) if code == 0 else done.err


def test_quality_is_the_same_from_the_topic_and_from_a_file(
    env: dict[str, str], topics: Topics, kafka: str, tmp_path: Path
) -> None:
    """Records of the topic that are no outcomes are counted, and so are customers without a prediction."""
    path = outcomes(tmp_path)
    assert run_in_process("outcomes", "send", str(path), env=env).code == 0
    send(
        kafka, topics.outcomes, [(b"x", b"{}", []), (b"y", b'{"customerID":"a","Churn":"Maybe","event_ts":"2026"}', [])]
    )
    path.write_text(path.read_text() + "unknown,Yes,2026-11-01T00:00:00Z\n")
    of_topic, of_file = quality(env), quality(env, "--outcomes", str(path))
    assert of_topic["coverage"].pop("unreadable_outcomes") == 2
    assert of_file["coverage"].pop("unreadable_outcomes") == 0
    assert (of_topic["coverage"].pop("unknown_key"), of_file["coverage"].pop("unknown_key")) == (0, 1)
    assert (of_topic["coverage"].pop("outcomes"), of_file["coverage"].pop("outcomes")) == (COUNT, COUNT + 1)
    assert of_topic == of_file
    assert of_topic["coverage"]["with_outcome"] == of_topic["total"]["predictions"] == COUNT
    assert 0.6 < of_topic["total"]["auc"]["value"] < 1
    assert [step["predictions"] for step in of_topic["total"]["calibration"]] == [6] * 10
    (version,) = of_topic["by_version"]
    assert version["measures"] == of_topic["total"]
    assert sum(week["measures"]["predictions"] for week in of_topic["by_week"]) == COUNT


def test_newer_outcomes_count_in_whatever_order_they_arrive(env: dict[str, str], tmp_path: Path) -> None:
    first, late = outcomes(tmp_path), outcomes(tmp_path, days=9, flip=True)
    for number, path in enumerate((late, first)):
        assert run_in_process("outcomes", "send", str(path), "--run-id", f"run-{number}", env=env).code == 0
    result = quality(env)
    assert result["coverage"]["replaced"] == COUNT
    assert result["total"]["auc"]["value"] < 0.4, "the newer outcomes say the opposite"


def test_late_outcomes_change_past_weeks(kafka: str, topics: Topics, tmp_path: Path) -> None:
    """They correct 30 predictions of the first of two weeks, and are the first for 10; the second week stays."""
    env = topics.env(kafka)
    assert run_in_process("topics", "init", "--outcomes", env=env).code == 0
    first, second = (
        [prediction(f"{day}-{number}", number / 40, processed_ts=f"{day}T12:00:00.000Z") for number in range(40)]
        for day in ("2026-01-05", "2026-01-18")
    )
    send(kafka, topics.predictions, [(each.key.encode(), encode_prediction(each), []) for each in [*first, *second]])

    known = write(tmp_path / "known.csv", [*first[:30], *second], "2026-01-20", lambda each: each.probability >= 0.5)
    assert run_in_process("outcomes", "send", str(known), "--run-id", "known", env=env).code == 0
    before = quality(env)
    late = write(tmp_path / "late.csv", first, "2026-01-28", lambda each: each.probability < 0.25)
    assert run_in_process("outcomes", "send", str(late), "--run-id", "late", env=env).code == 0
    after = quality(env)
    assert [week["week"] for week in after["by_week"]] == ["2026-01-05", "2026-01-12"]
    assert after["by_week"][1] == before["by_week"][1]
    (was, now), names = (run["by_week"][0]["measures"] for run in (before, after)), ("predictions", "positive")
    assert [[measures[name] for name in names] for measures in (was, now)] == [[30, 10], [40, 10]]
    assert (was["auc"]["value"], now["auc"]["value"]) == (1.0, 0.0)
    assert was["brier"]["value"] < 0.2 < now["brier"]["value"]
    assert (before["coverage"]["with_outcome"], before["coverage"]["pending"]) == (70, 10)
    assert (after["coverage"]["with_outcome"], after["coverage"]["replaced"]) == (80, 30)
    printed = " ".join(run_in_process("quality", env=env).out.split())
    assert "Outcomes that arrive later change past weeks." in printed


def test_each_version_and_week_has_the_measures_of_its_predictions(kafka: str, topics: Topics, tmp_path: Path) -> None:
    """All of them, with intervals and calibration."""
    random = Random(4)
    rows = [
        prediction(f"{number}", random.random(), model_version=version, processed_ts=f"{day}T12:00:00.000Z")
        for number, (version, day) in enumerate([("v1", "2026-01-05"), ("v2", "2026-01-06"), ("v2", "2026-01-12")] * 60)
    ]
    send(kafka, topics.predictions, [(each.key.encode(), encode_prediction(each), []) for each in rows])
    left = {each.key: random.random() < each.probability for each in rows}
    path = write(tmp_path / "outcomes.csv", rows, "2026-01-20", lambda each: left[each.key])
    result = quality(topics.env(kafka), "--outcomes", str(path), "--capacity", "20")
    groups = [(row["model_version"], row["week"], row["measures"]) for row in result["by_version"] + result["by_week"]]
    weeks = [("v1", "2026-01-05"), ("v2", "2026-01-05"), ("v2", "2026-01-12")]
    assert [group[:2] for group in groups] == [("v1", None), ("v2", None), *weeks]
    for version, week, measures in groups:
        days = {week, "2026-01-06" if week == "2026-01-05" else week}
        of_group = [row for row in rows if row.model_version == version and (not week or row.processed_ts[:10] in days)]
        expected = measured(of_group, left)
        assert list(numbers(measures)) == pytest.approx(list(numbers(expected))), (version, week)
        assert measures.keys() == expected.keys() == result["total"].keys()
        assert len(measures["calibration"]) == 10
        estimates = [value for value in measures.values() if isinstance(value, dict)]
        assert len(estimates) == 7
        assert all(estimate["low"] <= estimate["value"] <= estimate["high"] for estimate in estimates)


def measured(rows: list[Prediction], left: Mapping[str, bool]) -> Any:
    """Return the measures of the predictions with the keys of JSON."""
    probability = np.array([each.probability for each in rows])
    flagged = np.array([each.prediction == "Yes" for each in rows])
    positive = np.array([left[each.key] for each in rows])
    return asdict(measure(probability, positive, flagged, 0.2))


def numbers(value: Any) -> Iterator[float]:
    """Yield all numbers in a JSON value."""
    if isinstance(value, (dict, list)):
        for each in value.values() if isinstance(value, dict) else value:
            yield from numbers(each)
    else:
        yield value


def write(path: Path, rows: list[Prediction], day: str, positive: Callable[[Prediction], bool]) -> Path:
    """Write the outcomes of the predictions, all known at the beginning of that day."""
    lines = [f"{each.key},{'Yes' if positive(each) else 'No'},{day}T00:00:00Z" for each in rows]
    path.write_text("\n".join(["customer,outcome,time", *lines]) + "\n")
    return path


def test_quality_exits_with_5_when_no_prediction_has_an_outcome(env: dict[str, str], tmp_path: Path) -> None:
    late = str(outcomes(tmp_path, days=31))
    assert "60 came after the horizon" in quality(env, "--outcomes", late, code=5)
    assert quality(env, "--outcomes", late, "--horizon", "5w")["horizon_days"] == 35
    none = "has no predictions of this period and model version: answer"
    assert none in quality(env, "--outcomes", late, "--model-version", "other", code=5)
    assert none in quality(env, "--outcomes", late, "--until", "2020-01-01", code=5)
    assert run_in_process("topics", "init", "--outcomes", env=env).code == 0
    assert f"Topic {env['TELCO_STREAM_TOPICS__OUTCOMES']} has no outcomes" in quality(env, code=5)
    (tmp_path / "none.csv").write_text("customer,outcome,time\n")
    assert "none.csv has no outcomes" in quality(env, "--outcomes", str(tmp_path / "none.csv"), code=5)


def test_report_page_shows_quality_by_the_topic_or_a_file(env: dict[str, str], tmp_path: Path) -> None:
    path, page = outcomes(tmp_path), tmp_path / "report.html"
    known = f"{COUNT} of {COUNT} predictions have an outcome within 30 days"
    done = run_in_process("report", "--html", str(page), "--outcomes", str(path), env=env)
    assert (done.code, known in page.read_text()) == (0, True), done.err
    done = run_in_process("report", "--html", str(page), "--quality", env=env)
    assert (done.code, "No prediction has an outcome" in done.err) == (0, True)
    assert 'id="quality"' not in page.read_text()
    assert run_in_process("outcomes", "send", str(path), env=env).code == 0
    done = run_in_process("report", "--html", str(page), "--quality", "--horizon", "10d", env=env)
    assert done.code == 0, done.err
    assert known.replace("30", "10") in page.read_text()


@pytest.mark.parametrize("options", [["--quality"], ["--outcomes", "x.csv"]])
def test_report_exits_with_2_when_there_is_no_page_for_quality(options: list[str]) -> None:
    done = run_in_process("report", *options, env={})
    assert (done.code, "they require --html FILE" in done.err) == (2, True)


@pytest.mark.parametrize(("text", "problem"), [
    ("customer,outcome\na,Yes\n", "has no column time"),
    ("", "a header line with the columns customer, outcome, time is expected"),
    ("id,left,when\na,Yes,2026-11-01T00:00:00Z\n", "missing column customer, outcome; give it the columns customer, "),
    ("Customer,outcome,time\n", "missing column customer; the file has `Customer`: did you mean `customer`?"),
    ("customer,outcome,time\na,Yes,1 May\n", "line 2: time is not a time as in RFC 3339"),
    ("customer,outcome,time\na,Perhaps,2026-11-01T00:00:00Z\n", "line 2: outcome is not Yes or No"),
    ("customerID,Churn,time\na,Perhaps,2026-11-01T00:00:00Z\n", "line 2: Churn is not Yes or No"),
    ("customer,time\na,2026-11-01T00:00:00Z\n", "missing column outcome"),
])  # fmt: skip
def test_quality_exits_with_5_when_the_file_is_malformed(
    env: dict[str, str], tmp_path: Path, text: str, problem: str
) -> None:
    path = tmp_path / "outcomes.csv"
    path.write_text(text)
    assert problem in quality(env, "--outcomes", str(path), code=5)


@pytest.mark.parametrize("text", ["", "30", "0d", "-1d", "a month", "1000000000d"])
def test_horizon_is_refused_when_it_is_no_length_of_time(text: str) -> None:
    done = run_in_process("quality", "--horizon", text, env={})
    assert done.code == 2
    assert "--horizon" in done.err
    assert parse_length("12h", "--horizon") == 43_200
