"""`model recalibrate` on a real Kafka: from predictions and outcomes to a published model."""

import json
import random
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from telco_stream.model.artifact import load_scorer, read_folder, read_manifest
from telco_stream.model.calibration import Platt, decode_calibration
from telco_stream.model.drift.baseline import decode_baseline, map_score
from telco_stream.registry.archive import pack, unpack
from tests.support.cli import ROOT
from tests.support.in_process import run_in_process
from tests.support.model_folder import COMMITTED
from tests.support.telco import CODEC
from tests.support.topics import Topics, read_topic, send

SAMPLE = ROOT / "data/sample_customers.csv"
VERSION = read_manifest(COMMITTED).model_version
#: What becomes of the customers: the model is too sure.
TRUTH = Platt(0.6, -0.1)


@pytest.fixture
def env(kafka: str, topics: Topics) -> dict[str, str]:
    """Return the environment of topics with predictions of the whole sample."""
    env = topics.env(kafka)
    for command in (
        ("topics", "init", "--outcomes", "--models"),
        ("produce", "--mode", "batch", "--data-path", str(SAMPLE)),
        ("consume", "--mode", "batch", "--top-k", "0"),
    ):
        done = run_in_process(*command, env=env)
        assert done.code == 0, done.err
    return env


def test_recalibrated_model_is_calibrated_published_and_serves(
    env: dict[str, str], kafka: str, topics: Topics, tmp_path: Path
) -> None:
    outcomes, out = write_outcomes(tmp_path, kafka, topics), tmp_path / "calibrated"
    sent_other_version(kafka, topics)
    result = recalibrate(env, outcomes, out)
    assert (result["of_version"], result["outcomes"]) == (VERSION, 1_000)
    assert result["method"] == "platt"
    losses = {trial["method"]: trial["log_loss"] for trial in result["trials"]}
    briers = {trial["method"]: trial["brier"] for trial in result["trials"]}
    assert losses["platt"] < losses["none"]
    assert losses["platt"] < losses["isotonic"]
    assert briers["platt"] < briers["none"]
    assert [trial["kept"] for trial in result["trials"]] == [False, True, False]
    check_folder(out, result)
    run("model", "publish", str(COMMITTED), env=env)
    run("model", "promote", VERSION, env=env)
    run("model", "publish", str(out), env=env)
    run("model", "promote", result["version"], env=env)
    serving = env | {"TELCO_STREAM_MODEL__PATH": f"kafka:{topics.models}", "TELCO_STREAM_CONSUMER__GROUP_ID": "second"}
    done = run_in_process("consume", "--mode", "batch", "--restart", env=serving)
    assert done.code == 0, done.err
    check_answers(kafka, topics, result["version"], out)


def check_folder(out: Path, result: Mapping[str, Any]) -> None:
    """Check the manifest and the files; loading scores the golden rows."""
    manifest = read_manifest(out)
    assert manifest.model_version == result["version"] != VERSION
    assert load_scorer(out).threshold == manifest.threshold == result["threshold"]
    assert manifest.calibration is not None
    assert (manifest.calibration.of_version, manifest.calibration.outcomes) == (VERSION, 1_000)
    assert manifest.metrics.log_loss == pytest.approx(min(trial["log_loss"] for trial in result["trials"]))
    files = read_folder(out)
    assert files["pipeline.onnx"] == read_folder(COMMITTED)["pipeline.onnx"]
    assert files["golden.json"] != read_folder(COMMITTED)["golden.json"]
    assert manifest.artifacts.keys() == read_manifest(COMMITTED).artifacts.keys() | {"calibration.json"}
    assert files["reasons.json"] == read_folder(COMMITTED)["reasons.json"]
    before, after = (
        decode_baseline(content["baseline.json"], CODEC.events) for content in (read_folder(COMMITTED), files)
    )
    calibration = decode_calibration(files["calibration.json"], "out")
    assert after == map_score(before, calibration.apply) != before
    assert unpack(pack(files))["calibration.json"] == files["calibration.json"]
    for engine in ("onnx", "sklearn"):
        assert load_scorer(out, engine).engine == engine


def check_answers(kafka: str, topics: Topics, version: str, out: Path) -> None:
    """Check that each new answer is the calibrated probability of the old one, to the bit."""
    calibration = decode_calibration((out / "calibration.json").read_bytes(), "out")
    old, new = (probabilities(kafka, topics, of) for of in (VERSION, version))
    assert len(old) == len(new) == 1_000
    for key, before in old.items():
        assert calibration.apply(np.array([before])).tolist() == [new[key]]


def test_calibrated_model_can_be_calibrated_again(
    env: dict[str, str], kafka: str, topics: Topics, tmp_path: Path
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    version = recalibrate(env, write_outcomes(tmp_path, kafka, topics), first)["version"]
    again = env | {"TELCO_STREAM_MODEL__PATH": str(first), "TELCO_STREAM_CONSUMER__GROUP_ID": "again"}
    assert run_in_process("consume", "--mode", "batch", "--restart", env=again).code == 0
    outcomes = write_outcomes(tmp_path, kafka, topics, version=version, truth=Platt(1.5, -0.5))
    result = recalibrate(env, outcomes, second, folder=first)
    assert (result["of_version"], result["outcomes"]) == (version, 1_000)
    assert len(decode_calibration((second / "calibration.json").read_bytes(), "second").steps) == 2
    assert load_scorer(second).version == result["version"]


def test_recalibrate_exits_with_5_when_there_are_too_few_outcomes(
    env: dict[str, str], kafka: str, topics: Topics, tmp_path: Path
) -> None:
    outcomes, out = write_outcomes(tmp_path, kafka, topics, count=60), tmp_path / "out"
    command = ("model", "recalibrate", str(COMMITTED), "--outcomes", str(outcomes), "--out", str(out))
    done = run_in_process(*command, env=env)
    assert done.code == 5
    assert f"60 of 1,000 predictions of model {VERSION} have an outcome" in done.err
    assert "at least 50 of Yes and 50 of No are needed" in done.err
    assert not out.exists()
    done = run_in_process(*command, "--until", "2020-01-01", env=env)
    assert (done.code, "0 of 0 predictions" in done.err) == (5, True)


def test_recalibrate_exits_with_2_when_the_folder_holds_a_model(tmp_path: Path) -> None:
    target = tmp_path / "model"
    target.mkdir()
    (target / "notes.txt").touch()
    done = run_in_process("model", "recalibrate", str(COMMITTED), "--out", str(target), env={})
    assert (done.code, "notes.txt" in done.err) == (2, True)
    done = run_in_process("model", "recalibrate", str(COMMITTED), "--out", str(COMMITTED), env={})
    assert (done.code, "already holds model" in done.err) == (2, True)
    done = run_in_process("model", "recalibrate", str(tmp_path / "none"), "--out", str(tmp_path / "new"), env={})
    assert (done.code, "No model at" in done.err) == (4, True)


def write_outcomes(
    folder: Path, kafka: str, topics: Topics, *, version: str = VERSION, truth: Platt = TRUTH, count: int = 1_000
) -> Path:
    """Write outcomes, a week after, that have the probabilities of `truth` given the answers of a version."""
    draw = random.Random(5)
    time = (datetime.now(UTC) + timedelta(days=7)).isoformat(timespec="seconds")
    answers = probabilities(kafka, topics, version)
    shares = dict(zip(answers, truth.apply(np.array([*answers.values()])).tolist(), strict=True))
    lines = [f"{key},{'Yes' if draw.random() < share else 'No'},{time}" for key, share in sorted(shares.items())]
    path = folder / f"outcomes-{version}.csv"
    path.write_text("\n".join(["customer,outcome,time", *lines[:count]]) + "\n")
    return path


def probabilities(kafka: str, topics: Topics, version: str) -> dict[str, float]:
    messages = [record.json() for record in read_topic(kafka, topics.predictions)]
    return {
        message["customerID"]: message["churn_probability"]
        for message in messages
        if message["model_version"] == version
    }


def sent_other_version(kafka: str, topics: Topics) -> None:
    """Send a newer answer of another version for each customer, which would take the outcomes if it were used."""
    others = [
        record.json() | {"model_version": "other", "churn_probability": 0.5}
        for record in read_topic(kafka, topics.predictions)
    ]
    send(
        kafka, topics.predictions, [(other["customerID"].encode(), json.dumps(other).encode(), []) for other in others]
    )


def recalibrate(env: Mapping[str, str], outcomes: Path, out: Path, *, folder: Path = COMMITTED) -> Any:
    return json.loads(run("model", "recalibrate", str(folder), "--outcomes", str(outcomes), "--out", str(out), env=env))


def run(*command: str, env: Mapping[str, str]) -> str:
    done = run_in_process(*command, "--output", "json", env=env)
    assert done.code == 0, done.err
    return done.out
