"""Quality of the committed model, and that `train` reproduces it."""

from dataclasses import replace
from pathlib import Path

import pytest

from telco_stream.model.artifact import load_scorer, read_manifest
from telco_stream.model.drift.baseline import decode_baseline
from telco_stream.model.labelled import read_labelled_events
from telco_stream.model.training import train
from telco_stream.runtime.files import bundled
from tests.support.model_folder import COMMITTED
from tests.support.telco import CODEC, FORMAT

#: Of the public data set, as IBM publishes it.
PUBLIC_SHA256 = "16320c9c1ec72448db59aa0a26a0b95401046bef5d02fd3aeb906448e3055e91"


def test_committed_model_meets_quality_on_the_public_data() -> None:
    manifest = read_manifest(COMMITTED)
    assert (manifest.training_data.sha256, manifest.training_data.rows) == (PUBLIC_SHA256, 7_043)
    assert manifest.metrics.roc_auc >= 0.848
    assert manifest.metrics.brier <= 0.134
    assert manifest.onnx.refused is None


def test_committed_model_is_calibrated_in_every_tenth() -> None:
    for decile in read_manifest(COMMITTED).metrics.calibration:
        assert decile.churn_rate == pytest.approx(decile.mean_probability, abs=0.02)


def test_committed_model_has_a_lift_table() -> None:
    """It belongs to the calibration: both count the same leavers."""
    metrics = read_manifest(COMMITTED).metrics
    leavers = [tenth.predictions * tenth.churn_rate for tenth in reversed(metrics.calibration)]
    assert [step.share for step in metrics.lift] == [number / 10 for number in range(1, 11)]
    for number, step in enumerate(metrics.lift, 1):
        assert step.reached == pytest.approx(sum(leavers[:number]) / sum(leavers), abs=1e-4)


def test_committed_model_is_smaller_than_1_mb() -> None:
    assert sum(path.stat().st_size for path in COMMITTED.iterdir()) < 1_000_000


def test_train_reproduces_the_committed_model(real_data: Path, tmp_path: Path) -> None:
    """Metrics and probabilities are equal up to the last digits, which depend on versions of the libraries."""
    committed = read_manifest(COMMITTED)
    again = train(real_data, tmp_path / "model", created_at="2026-01-02T03:04:05Z", seed=committed.training_data.seed)
    assert again.threshold == committed.threshold
    assert again.metrics.roc_auc == pytest.approx(committed.metrics.roc_auc, abs=1e-6)
    assert again.metrics.brier == pytest.approx(committed.metrics.brier, abs=1e-6)
    assert again.metrics.lift == committed.metrics.lift
    assert again.seconds < 60
    customers = read_labelled_events(real_data, replace(FORMAT, requires_label=True), CODEC).events
    first, second = (load_scorer(folder, "sklearn").score(customers) for folder in (COMMITTED, again.path))
    assert first == pytest.approx(second, abs=1e-6)
    baselines = [
        decode_baseline((folder / "baseline.json").read_bytes(), CODEC.events) for folder in (COMMITTED, again.path)
    ]
    assert baselines[0].features == baselines[1].features


def test_model_card_states_version_and_metrics() -> None:
    card, manifest = (COMMITTED.parent / "README.md").read_text(), read_manifest(COMMITTED)
    metrics = manifest.metrics
    shown = [metrics.roc_auc, metrics.brier, metrics.log_loss, metrics.precision, metrics.recall]
    for fact in (manifest.model_version, PUBLIC_SHA256, f"{manifest.threshold}", *(f"{value:.4f}" for value in shown)):
        assert fact in card


def test_bundled_model_is_the_committed_one() -> None:
    assert load_scorer(bundled("models/churn")).version == read_manifest(COMMITTED).model_version
