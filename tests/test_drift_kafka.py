"""`drift` on a real Kafka: what it finds, which records it compares, and which models it refuses."""

import csv
import json
from pathlib import Path
from random import Random
from typing import Any

import pytest

from telco_stream.runtime.clock import rfc3339
from telco_stream.runtime.humanize import to_datetime
from tests.support.cli import ROOT
from tests.support.in_process import run_in_process
from tests.support.model_folder import copy_model, edit_manifest, replace_artifact
from tests.support.telco import CATEGORIES, FEATURES
from tests.support.topics import Topics, read_topic, send

#: A customer of whom copies are sent.
CUSTOMER = {name: values[0] for name, values in CATEGORIES.items()} | {
    "SeniorCitizen": 1,
    "tenure": 5,
    "MonthlyCharges": 50.0,
    "TotalCharges": 250.0,
    "event_ts": "2026-01-01T00:00:00Z",
}


def records(number: int) -> list[tuple[bytes, bytes, list[Any]]]:
    """Return customers who are much alike: every feature has changed."""
    return [(f"c{i}".encode(), json.dumps(CUSTOMER | {"customerID": f"c{i}"}).encode(), []) for i in range(number)]


def send_windows(kafka: str, topics: Topics, windows: str) -> list[str]:
    """Send 700 customers for each letter, `c` for changed ones, and return the time of the first of each."""
    for letter in windows:
        send(kafka, topics.raw, records(700) if letter == "c" else unchanged(700), partition=0)
    stored = sorted(read_topic(kafka, topics.raw), key=lambda record: record.offset)
    return [rfc3339(to_datetime(record.timestamp / 1_000)) for record in stored[::700]]


def unchanged(number: int) -> list[tuple[bytes, bytes, list[Any]]]:
    """Return customers of the sample of the training data."""
    customers = list(csv.DictReader((ROOT / "data/sample_customers.csv").read_text().splitlines()))
    time = {"event_ts": CUSTOMER["event_ts"]}
    chosen = Random(number).choices(customers, k=number)
    return [(row["customerID"].encode(), json.dumps(row | time).encode(), []) for row in chosen]


def sample(env: dict[str, str], tmp_path: Path, rows: int, seed: int) -> None:
    path = tmp_path / f"{seed}.csv"
    assert run_in_process("sample", "--rows", str(rows), "--seed", str(seed), "--out", str(path), env={}).code == 0
    done = run_in_process("produce", "--mode", "batch", "--data-path", str(path), "--run-id", str(seed), env=env)
    assert done.code == 0, done.err


def drift(env: dict[str, str], *options: str, code: int = 0) -> Any:
    done = run_in_process("drift", "--output", "json", *options, env=env)
    assert done.code == code, done.err
    return json.loads(done.out) if code in {0, 5} else done.err


@pytest.fixture
def env(kafka: str, topics: Topics) -> dict[str, str]:
    return topics.env(kafka)


def test_drift_exits_with_5_and_names_what_has_changed(
    env: dict[str, str], kafka: str, topics: Topics, tmp_path: Path
) -> None:
    """The last two of three windows have other customers; bad records are counted and not compared."""
    sample(env, tmp_path, 1_500, seed=1)
    send(kafka, topics.raw, [*records(3_000), (b"bad", b"{", [])])
    result = drift(env, "--window", "1500", code=5)
    assert (result["records"], result["rejected"], result["windows"]) == (4_500, 1, 3)
    assert (result["window_records"], result["baseline_records"]) == (1_500, 7_043)
    found = {feature["feature"]: feature for feature in result["features"]}
    assert set(result["drifted"]) == set(found) == {*FEATURES, "score"}
    contract = found["Contract"]
    assert (contract["change"], contract["share_now"], contract["windows"]) == ("less Two year", 0.0, 2)
    assert contract["since"] > result["first"]
    assert result["quality_in_training"]["auc"] == pytest.approx(0.8494, abs=1e-4)
    assert 0.5 < result["quality"]["auc"] < 0.85, "most records have the same score"
    done = run_in_process("drift", "--window", "1500", env=env)
    assert done.code == 5
    text = " ".join(done.out.split())
    assert "4,500 records since" in text
    assert "1 record skipped" in text
    assert "measured in training 0.849 0.551 0.758 0.133" in text
    assert "Drift is a change, not damage" in text
    assert "less Two year" in text
    assert f"Drifted since {contract['since'][:19].replace('T', ' ')} UTC: " in text


@pytest.mark.parametrize(("windows", "since", "until"), [
    ("uccu", 1, 3), ("ccucu", 0, 2), ("ccuuccc", 4, None), ("uccucc", 4, None),
])  # fmt: skip
def test_drift_finds_what_began_and_ended_in_the_period(
    kafka: str, topics: Topics, windows: str, since: int, until: int | None
) -> None:
    """Each letter is a window of 700 unchanged or changed customers."""
    env, times = topics.env(kafka), send_windows(kafka, topics, windows)
    result = drift(env, "--window", "700", code=5)
    assert (result["windows"], result["window_records"]) == (len(windows), 700)
    contract = next(feature for feature in result["features"] if feature["feature"] == "Contract")
    count = (until or len(windows)) - since
    begin, end = times[since], None if until is None else times[until]
    assert [contract[name] for name in ("drifted", "windows", "since", "until")] == [True, count, begin, end]
    assert contract["change"] == "less Two year"
    assert "Contract" in result["drifted"]
    text = " ".join(run_in_process("drift", "--window", "700", env=env).out.split())
    first, last = (time[:19].replace("T", " ") for time in (begin, end or ""))
    assert (f"Drifted from {first} to {last} UTC: " if end else f"Drifted since {first} UTC: ") in text
    assert ("or the last one of a drift that has ended" in text) == bool(end)
    assert "lower (" in text, "the range of a number"


def test_drift_exits_with_0_when_no_two_windows_in_a_row_exceed_the_limit(kafka: str, topics: Topics) -> None:
    send_windows(kafka, topics, "ucucu")
    result = drift(topics.env(kafka), "--window", "700")
    assert (result["windows"], result["drifted"]) == (5, [])
    assert {feature["until"] for feature in result["features"]} == {None}


def test_drift_compares_only_the_period(env: dict[str, str], kafka: str, topics: Topics) -> None:
    send(kafka, topics.raw, records(1_500))
    assert drift(env, code=5)["records"] == 1_500
    after = drift(env, "--since", "2100-01-01")
    assert (after["records"], after["windows"], after["features"]) == (0, 0, [])
    assert "Too few records" in run_in_process("drift", "--until", "2020-01-01", env=env).out
    assert drift(env, "--since", "1h", "--until", "2100-01-01", code=5)["records"] == 1_500
    assert "--since" in drift(env, "--since", "yesterday", code=2)


def test_report_has_a_section_about_drift(env: dict[str, str], kafka: str, topics: Topics, tmp_path: Path) -> None:
    """Of the same period; without the option the report does not read the raw topic."""
    assert run_in_process("topics", "init", env=env).code == 0
    send(kafka, topics.raw, records(1_500))
    page = tmp_path / "report.html"
    done = run_in_process("report", "--drift", "--output", "json", "--html", str(page), env=env)
    assert done.code == 0, done.err
    summary = json.loads(done.out)
    assert summary["drift"] == drift(env, code=5)
    assert 'data-feature="Contract"' in page.read_text()
    assert "Drifted since" in run_in_process("report", "--drift", env=env).out
    later = json.loads(run_in_process("report", "--drift", "--since", "2100-01-01", "-o", "json", env=env).out)
    assert later["drift"]["records"] == 0
    assert "drift" not in json.loads(run_in_process("report", "--output", "json", env=env).out)


def test_consume_logs_drift_of_all_records(env: dict[str, str], kafka: str, topics: Topics) -> None:
    """Two windows of 1,500 records: the first one is no drift yet."""
    send(kafka, topics.raw, records(3_000))
    assert run_in_process("topics", "init", env=env).code == 0
    windows = {"TELCO_STREAM_DRIFT__WINDOW_RECORDS": "1500"}
    done = run_in_process("consume", "--mode", "batch", "--log-format", "json", env=env | windows)
    assert done.code == 0, done.err
    lines = [json.loads(line) for line in done.err.splitlines()]
    (drifted,) = [line for line in lines if line["event"] == "drift"]
    assert (drifted["level"], drifted["records"]) == ("warning", 1_500)
    assert set(drifted["features"].split(", ")) == {*FEATURES, "score"}
    assert not [line for line in lines if line["event"] == "drift_unmonitored"]


@pytest.mark.parametrize(("number", "windows"), [(499, 0), (500, 1)])
def test_drift_needs_500_records_and_two_windows(
    env: dict[str, str], kafka: str, topics: Topics, number: int, windows: int
) -> None:
    send(kafka, topics.raw, records(number))
    result = drift(env)
    assert (result["windows"], result["drifted"], bool(result["features"])) == (windows, [], windows > 0)


def test_drift_refuses_a_model_without_a_usable_baseline(env: dict[str, str], tmp_path: Path) -> None:
    folder = copy_model(tmp_path)
    replace_artifact(folder, "baseline.json", b"{}")
    assert "baseline of the model can't be read" in drift(env, "--model", str(folder), code=4)
    (folder / "baseline.json").write_bytes(b"other")
    assert "not the file that the manifest describes" in drift(env, "--model", str(folder), code=4)
    edit_manifest(folder, lambda manifest: manifest["artifacts"].pop("baseline.json"))
    assert "has no baseline.json" in drift(env, "--model", str(folder), code=4)
