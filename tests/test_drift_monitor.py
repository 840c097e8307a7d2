"""The observer that looks for drift in a run: windows, log, metrics, and models that change."""

import csv
import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, replace
from random import Random
from typing import Any, cast

import pytest
import yaml
from prometheus_client import CollectorRegistry, generate_latest

from telco_stream.model.artifact import load_scorer
from telco_stream.model.drift.baseline import encode_baseline, make_baseline
from telco_stream.model.drift.estimate import expected_quality
from telco_stream.model.features import feature_table
from telco_stream.model.serving import CanaryModel, Models, ServingModels
from telco_stream.monitoring.drift import DriftMonitor
from telco_stream.monitoring.drift_metrics import DriftMetrics
from telco_stream.monitoring.protocols import BatchTimings
from telco_stream.scoring import Limits, Outcome, process
from telco_stream.settings import DriftSettings
from tests.support.cli import ROOT
from tests.support.model_folder import COMMITTED
from tests.support.records import FakeRecord, RuleScorer
from tests.support.scraping import series
from tests.support.training_data import Row, customers_of, labelled_rows

SCORER = load_scorer(COMMITTED)
ROWS = labelled_rows(2_000)
CHANGED = [row | {"Contract": "One year"} for row in ROWS]
EVENTS = customers_of(ROWS)
CODEC = SCORER.codec.events
SMALL_BASELINE = encode_baseline(make_baseline(CODEC, feature_table(CODEC, EVENTS[:499]), [0.5] * 499))
BASELINE = encode_baseline(make_baseline(CODEC, feature_table(CODEC, EVENTS), SCORER.score(EVENTS)))


class Run:
    """Run of a monitor, whose clock the test sets."""

    def __init__(self, models: Models | None = None, **settings: float) -> None:
        self.now = 0.0
        self.models = models or Models(ServingModels(SCORER, baseline=BASELINE))
        self.models.current()
        self.monitor = DriftMonitor(self.models, DriftSettings(**settings), clock=lambda: self.now)  # type: ignore[arg-type]

    def send(self, rows: Sequence[Row], *, is_committed: bool = True) -> None:
        """Let the monitor observe a batch."""
        self.monitor.on_poll()
        outcome = answer(rows, self.models)
        self.monitor.on_delivering(outcome)
        if is_committed:
            self.monitor.on_committed(replace(outcome, events=()), BatchTimings(0.0, 0.0))

    def drifted(self) -> list[str]:
        return [feature.feature for feature in self.monitor.newest if feature.drifted]


def answer(rows: Sequence[Row], models: Models) -> Outcome:
    now = {"event_ts": "2026-01-01T00:00:00Z"}
    records = [FakeRecord(json.dumps(row | now).encode(), offset) for offset, row in enumerate(rows)]
    current = models.current()
    return process(records, current.scorer, processed_at="x", limits=Limits(), canary=current.canary)


def events_of(caplog: pytest.LogCaptureFixture) -> list[tuple[str, dict[str, Any]]]:
    return [(record.__dict__["event"], record.__dict__["facts"]) for record in caplog.records]


def test_monitor_logs_drift_once_and_its_end(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "telco_stream")
    run = Run()
    for now, rows in enumerate([ROWS, ROWS, CHANGED, CHANGED, CHANGED, ROWS, ROWS]):
        run.now = float(now)
        run.send(rows)
    (drift, facts), (ended, ended_facts) = events_of(caplog)
    assert (drift, facts["since"], facts["records"]) == ("drift", "1970-01-01T00:00:02.000Z", 2_000)
    assert facts["features"].split(", ")[0] == "Contract"
    assert (ended, ended_facts["features"].split(", ")[0]) == ("drift_ended", "Contract")
    run.send(ROWS[:1_000])
    assert run.monitor.windows == 7, "the last window is still open"
    run.monitor.finish()
    assert run.monitor.windows == 8


def test_monitor_exports_the_newest_window() -> None:
    run, registry = Run(), CollectorRegistry()
    DriftMetrics(registry, run.monitor)
    assert series(generate_latest(registry).decode()) == {"telco_stream_drift_windows_total": 0}
    run.send(CHANGED[:10], is_committed=False)
    before = series(generate_latest(registry).decode())
    assert before['telco_stream_feature_drift_windows{feature="Contract"}'] == 0, "an alert needs the series"
    assert 'telco_stream_feature_psi{feature="Contract"}' not in before
    for _ in range(2):
        run.send(CHANGED)
    exported = series(generate_latest(registry).decode())
    assert exported["telco_stream_drift_windows_total"] == 2
    assert exported['telco_stream_feature_drift_windows{feature="Contract"}'] == 2
    assert exported['telco_stream_feature_drift_windows{feature="gender"}'] == 0
    psi, limit = (
        exported[f'telco_stream_{name}{{feature="Contract"}}'] for name in ("feature_psi", "feature_psi_limit")
    )
    assert psi > limit > 0
    no_bill = sum(float(row["TotalCharges"].strip() or 0) == 0 for row in ROWS) / len(ROWS)
    assert exported['telco_stream_feature_null_ratio{feature="TotalCharges"}'] == pytest.approx(no_bill)
    assert exported['telco_stream_feature_unknown_ratio{feature="score"}'] == 0
    expected = asdict(expected_quality(SCORER.score(customers_of(CHANGED)), SCORER.threshold))
    of_window = {name: exported[f'telco_stream_expected_quality{{measure="{name}"}}'] for name in expected}
    assert of_window == pytest.approx(expected, abs=1e-9)


def test_stream_of_compose_does_not_drift_in_its_windows() -> None:
    """The stream draws from 1,000 customers; larger windows show that they are not those of the training."""
    setting = yaml.safe_load((ROOT / "compose/compose.yaml").read_text())["services"]["consumer"]["environment"]
    models = Models(ServingModels(SCORER, baseline=(COMMITTED / "baseline.json").read_bytes()))
    run = Run(models, window_records=int(setting["TELCO_STREAM_DRIFT__WINDOW_RECORDS"]))
    customers = list(csv.DictReader((ROOT / "data/sample_customers.csv").read_text().splitlines()))
    random = Random(0)
    for _ in range(60):
        run.send(random.choices(customers, k=250))
        assert run.drifted() == []
    assert run.monitor.windows == 30


def test_monitor_does_not_count_a_batch_whose_commit_failed() -> None:
    run = Run()
    for _ in range(5):
        run.send(CHANGED, is_committed=False)
    run.send([])
    run.monitor.finish()
    assert run.monitor.windows == 0, "a batch without events was committed after them"
    run.send(ROWS)
    assert (run.monitor.windows, run.drifted()) == (1, [])
    assert all(feature.psi == 0 for feature in run.monitor.newest), "the window has the rows of the baseline"


def test_window_ends_by_time_with_500_records() -> None:
    run = Run(window_seconds=60)
    run.send(ROWS[:499])
    run.now = 61.0
    run.send(ROWS[499:501])
    assert run.monitor.windows == 0, "499 are too few"
    run.monitor.on_poll()
    assert run.monitor.windows == 1
    run.monitor.on_poll()
    assert run.monitor.windows == 1


@pytest.mark.parametrize(("setting", "windows"), [(20_000, 3), (2_000, 3), (700, 8), (1, 12)])
def test_windows_have_the_records_of_setting_or_baseline(setting: int, windows: int) -> None:
    """The baseline has 2,000 rows, 500 are the least, and windows end within batches."""
    run = Run(window_records=setting)
    for _ in range(4):
        run.send(ROWS[:1_500])
    assert run.monitor.windows == windows


def test_monitor_begins_again_with_another_model() -> None:
    run = Run()
    for _ in range(3):
        run.send(CHANGED)
    assert "Contract" in run.drifted()
    events = customers_of(CHANGED)
    baseline = encode_baseline(make_baseline(CODEC, feature_table(CODEC, events), SCORER.score(events)))
    other = replace(cast("Any", SCORER), version="other")
    run.models.serving = ServingModels(other, baseline=baseline)
    for _ in range(3):
        run.send(CHANGED)
    assert run.monitor.windows == 6
    assert all(feature.psi == 0 for feature in run.monitor.newest)


def test_monitor_compares_scores_of_the_serving_model_only() -> None:
    canary = CanaryModel(RuleScorer(lambda _event: 0.99, version="canary"), lambda key: key < b"0500")
    run = Run(Models(ServingModels(SCORER, baseline=BASELINE, canary=canary)))
    for _ in range(4):
        run.send(ROWS)
    assert run.drifted() == []


@pytest.mark.parametrize(("baseline", "reason"), [
    (None, "has no baseline.json"),
    (b"{", "can't be read"),
    (SMALL_BASELINE, "499 rows: 500 are needed"),
])  # fmt: skip
def test_monitor_logs_once_why_a_model_has_no_drift(
    baseline: bytes | None, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "telco_stream")
    run = Run(Models(ServingModels(SCORER, baseline=baseline)))
    for _ in range(3):
        run.send(CHANGED)
    ((event, facts),) = events_of(caplog)
    assert (event, facts["version"], run.monitor.windows) == ("drift_unmonitored", SCORER.version, 0)
    assert reason in facts["reason"]


def test_monitor_does_nothing_when_disabled(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "telco_stream")
    run = Run(Models(ServingModels(SCORER)), window_records=0)
    run.send(CHANGED)
    run.monitor.finish()
    assert (run.monitor.windows, caplog.records) == (0, [])
