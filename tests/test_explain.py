"""`explain`: predictions that are computed again from their records, and what is said when the result differs."""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from io import BytesIO
from math import log
from pathlib import Path
from random import Random
from typing import Any, get_args

import joblib
import pytest
from confluent_kafka import Producer

from telco_stream.errors import DataError, UsageError
from telco_stream.model.artifact import load_files, load_scorer, load_with_all_reasons, read_folder
from telco_stream.model.calibration import Calibration, Platt, encode_calibration
from telco_stream.model.conversion import convert
from telco_stream.model.labelled import LabelledEvents
from telco_stream.model.onnx_engine import OnnxScorer
from telco_stream.model.pipelines import boosted
from telco_stream.model.reasons.build import build_reasons, read_trees
from telco_stream.model.reasons.request import ReasonRequest
from telco_stream.model.scorer import Scorer
from telco_stream.model.sklearn_engine import SklearnScorer, frame
from telco_stream.report.explanation import Explanation, explain
from telco_stream.report.lookup import LookupOptions, Search
from telco_stream.runtime.choices import Baseline, Engine
from telco_stream.scoring import Limits, process
from tests.support.captured_screen import CapturedScreen
from tests.support.cli import ROOT
from tests.support.in_process import run_in_process
from tests.support.model_folder import COMMITTED, copy_model, edit_manifest, replace_artifact
from tests.support.model_variants import variant
from tests.support.records import FakeRecord, good
from tests.support.telco import CODEC, CONTRACT
from tests.support.topics import Topics, read_topic
from tests.support.training_data import customers_of, labelled_rows

CUSTOMER = "4141-VLMRE"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """Folders of three versions: the committed one, the same calibrated, and boosted trees."""
    calibrated, trees = (copy_model(tmp_path_factory.mktemp(name)) for name in ("calibrated", "trees"))
    replace_artifact(calibrated, "calibration.json", encode_calibration(Calibration((Platt(0.8, -0.3),))))
    rows = labelled_rows(300)
    events, positive = customers_of(rows), [row["Churn"] == "Yes" for row in rows]
    pipeline = boosted(CODEC).fit(frame(CODEC.events, events), positive)
    scorer, data = SklearnScorer("", 0.5, pipeline, CODEC), LabelledEvents(events, positive, "")
    built = build_reasons(partial(read_trees, pipeline, CODEC), scorer, None, data)
    pickled = BytesIO()
    joblib.dump(pipeline, pickled)
    files = {"pipeline.joblib": pickled.getvalue(), "pipeline.onnx": convert(pipeline, CODEC), **built.files}
    for name, content in files.items():
        replace_artifact(trees, name, content)
    edit_manifest(trees, lambda manifest: manifest["artifacts"].pop("reasons.onnx"))
    for name, folder in (("calibrated", calibrated), ("trees", trees)):
        edit_manifest(folder, lambda manifest: manifest["artifacts"].pop("golden.json"))
        edit_manifest(folder, partial(dict.update, model_version=name))
    return {"committed": COMMITTED, "calibrated": calibrated, "trees": trees}


@pytest.mark.parametrize("engine", ["onnx", "sklearn"])
@pytest.mark.parametrize("version", ["committed", "calibrated", "trees"])
def test_every_bit_is_reproduced(folders: Mapping[str, Path], version: str, engine: Engine) -> None:
    """From batches of any size, without reasons and with those of any kind, by the model loaded again."""
    random, files = Random(5), read_folder(folders[version])
    without = load_files(files, version, engine)
    answering, loaded = (load_with_all_reasons(files, version, engine, approximate=True) for _ in range(2))
    assert len(answering) == (4 if version == "trees" else 2)
    records, kinds = [record(number) for number in range(500 if engine == "onnx" else 100)], set()
    while records:
        batch = [records.pop() for _ in range(min(len(records), random.randrange(1, 60)))]
        scorer = random.choice([without, *answering])
        reasons = ReasonRequest(random.randrange(1, 20), random.choice([True, False]), random.choice([True, False]))
        kinds.add(id(scorer))
        for one, explanation in zip(batch, explanations(batch, scorer, reasons, models=loaded), strict=True):
            assert explanation.reproduced, explanation.differences
            assert explanation.key == json.loads(one.value() or b"")["customerID"]
    assert len(kinds) > 1


def test_model_is_loaded_once_for_the_reasons_of_all_baselines() -> None:
    scorers = load_with_all_reasons(read_folder(COMMITTED), "committed", "auto")
    assert len({id(scorer.session) for scorer in scorers if isinstance(scorer, OnnxScorer)}) == 1
    bases = [scorer.explainer.base for scorer in scorers if scorer.explainer]
    alone = [load_scorer(COMMITTED, reasons=baseline).explainer for baseline in get_args(Baseline)]
    assert bases == [explainer.base for explainer in alone if explainer]
    assert len(set(bases)) == 2


def test_model_without_reasons_is_loaded_without_any() -> None:
    (scorer,) = load_with_all_reasons(variant("b"), "b", "auto")
    assert scorer.explainer is None


def test_another_version_is_identified() -> None:
    scorer, other = load_scorer(COMMITTED), load_files(variant("b", "shifted"), "b")
    (explanation,) = explanations([record(1)], scorer, models=[other])
    assert f"model_version: recorded {scorer.version}, now b" in explanation.differences
    assert any(text.startswith("churn_probability: recorded") for text in explanation.differences)


def test_another_engine_is_identified() -> None:
    found = [
        text
        for number in range(20)
        for text in explanations([record(number)], load_scorer(COMMITTED), models=[load_scorer(COMMITTED, "sklearn")])[
            0
        ].differences
    ]
    assert any("comes from another engine (--engine) or processor" in text for text in found)


def test_changed_record_is_identified() -> None:
    (explanation,) = explanations([record(1)], load_scorer(COMMITTED), changed=FakeRecord(good(tenure=70)))
    assert any(text.startswith("churn_probability: recorded") for text in explanation.differences)


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ({"churn_probability": 0.5}, "churn_probability: recorded 0.5, now "),
        ({"prediction": "No"}, "prediction: recorded No, now Yes"),
        ({"customerID": "other"}, "customerID: recorded other, now 7"),
        ({"Contract": "One year"}, "Contract: recorded One year, now Month-to-month"),
        ({"control": False}, "control: recorded False"),
        ({"base": 1.0}, "base: recorded 1.0, now "),
        ({"base": None}, "base: recorded nothing, now "),
        ({"reasons": None}, "reasons: recorded nothing that can be read, but base"),
        ({"reasons": []}, "reasons: recorded nothing that can be read, but base, reasons"),
        ({"base": None, "reasons": 5}, "reasons: recorded nothing that can be read, but reasons"),
        ({"reasons": [{"feature": "tenure", "contribution": 1.0}]}, "reasons: recorded tenure +1, now "),
        ({"reasons_approximate": False}, "reasons_approximate: recorded False"),
        ({"reasons_approximate": True}, "reasons: recorded tenure +"),
    ],
)
def test_changed_prediction_is_identified(change: Mapping[str, Any], difference: str) -> None:
    scorer = load_scorer(COMMITTED, reasons="all")
    (explanation,) = explanations([FakeRecord(good(customerID="7", tenure=1))], scorer, ReasonRequest(1), edit=change)
    assert not explanation.reproduced
    assert len(explanation.differences) == 1
    assert explanation.differences[0].startswith(difference)


def test_control_cannot_be_computed_again() -> None:
    """It depends on an option of the run that wrote the prediction."""
    (explanation,) = explanations([record(1)], load_scorer(COMMITTED), edit={"control": True})
    assert explanation.reproduced


@pytest.mark.parametrize(
    ("edit", "difference"),
    [
        ({}, None),
        ({"base": 1.0}, "base: recorded 1.0, now "),
        ({"reasons": [{"feature": "tenure", "contribution": 1.0}]}, "reasons: recorded tenure +1, now "),
        ({"reasons_approximate": None}, "reasons: recorded "),
    ],
)
def test_approximate_reasons_are_compared(
    folders: Mapping[str, Path], edit: Mapping[str, Any], difference: str | None
) -> None:
    """The exact ones are shown; the base of both is the same."""
    scorers = load_with_all_reasons(read_folder(folders["trees"]), "trees", "onnx", approximate=True)
    (explanation,) = explanations([record(1)], scorers[2], ReasonRequest(3), models=scorers, edit=edit)
    assert [text.partition(difference or "")[:2] for text in explanation.differences] == (
        [("", difference)] if difference else []
    )
    shown = [(reason.feature, reason.contribution) for reason in explanation.reasons[:3]]
    assert shown != [tuple(reason.values()) for reason in explanation.recorded["reasons"]]
    captured = CapturedScreen()
    captured.screen.show_explanation(explanation, {})
    assert ("approximate; these are exact" in captured.stdout) == ("reasons_approximate" not in edit)


def test_exact_reasons_called_approximate_are_identified(folders: Mapping[str, Path]) -> None:
    scorers = load_with_all_reasons(read_folder(folders["trees"]), "trees", "onnx", approximate=True)
    edit = {"reasons_approximate": True}
    (explanation,) = explanations([record(1)], scorers[0], ReasonRequest(3), models=scorers, edit=edit)
    assert [text[:17] for text in explanation.differences] == ["reasons: recorded"]


def test_reasons_that_the_model_does_not_have_are_identified() -> None:
    scorer = load_scorer(COMMITTED, reasons="all")
    (explanation,) = explanations([record(1)], scorer, ReasonRequest(3), models=[load_scorer(COMMITTED)])
    (difference,) = explanation.differences
    assert difference.endswith("but the model has no exact reasons")


def test_what_if_changes_only_what_is_asked() -> None:
    scorer = load_scorer(COMMITTED, reasons="all")
    (explanation,) = explanations(
        [FakeRecord(good(tenure=1))], scorer, changes={"tenure": "24", "Contract": "Two year"}
    )
    what_if = explanation.what_if
    assert what_if is not None
    assert what_if.changes == {"tenure": 24, "Contract": "Two year"}
    assert [what_if.probability] == scorer.score([CODEC.events.decode(good(tenure=24, Contract="Two year"))])
    assert what_if.probability < explanation.probability
    assert explanation.record["tenure"] == 1


@pytest.mark.parametrize(
    ("changes", "reason"),
    [({"gone": "1"}, "no such feature"), ({"tenure": "-1"}, "tenure"), ({"Contract": "weekly"}, "Contract")],
)
def test_change_must_follow_the_contract(changes: Mapping[str, str], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        explanations([record(1)], load_scorer(COMMITTED), changes=changes)


def test_record_of_another_contract_is_an_error() -> None:
    with pytest.raises(DataError, match="The record is not valid for the contract of the model"):
        explanations([record(1)], load_scorer(COMMITTED), changed=FakeRecord(b"{}"))


def test_explain_on_kafka(kafka: str, topics: Topics, tmp_path: Path) -> None:
    """By customer and by source; a model that changed, a prediction that was written by hand, and none at all."""
    env = topics.env(kafka)
    sample = str(ROOT / "data/sample_customers.csv")
    assert run_in_process("produce", "--mode", "batch", "--data-path", sample, "--limit", "20", env=env).code == 0
    assert run_in_process("consume", "--mode", "batch", "--reasons", "2", env=env).code == 0
    answer = next(answer for answer in read_topic(kafka, topics.predictions) if answer.key == CUSTOMER.encode())
    source = dict(answer.headers or [])["source"].decode()

    shown = run_in_process("explain", "--customer", CUSTOMER, "--change", "tenure=24", env=env)
    assert shown.code == 0, shown.err
    assert "the same, to the last bit" in shown.out
    assert "What if" in shown.out
    by_source = run_in_process("explain", "--source", source, "--output", "json", env=env)
    explanation = json.loads(by_source.out)
    assert (explanation["key"], explanation["reproduced"], len(explanation["reasons"])) == (CUSTOMER, True, 19)
    recorded = json.loads(answer.value or b"")["reasons"]
    assert [{name: reason[name] for name in recorded[0]} for reason in explanation["reasons"][:2]] == recorded

    folder = copy_model(tmp_path)
    edit_manifest(folder, lambda manifest: manifest.update(threshold=0.9, model_version="other"))
    changed = run_in_process("explain", "--customer", CUSTOMER, "--model", str(folder), env=env)
    assert changed.code == 5
    assert "prediction: recorded Yes, now No" in changed.err
    assert "now other" in changed.err

    forged = (answer.value or b"").replace(b'"Yes"', b'"No"')
    producer = Producer({"bootstrap.servers": kafka})
    producer.produce(topics.predictions, forged, answer.key, headers={"source": source})
    assert producer.flush(10) == 0
    assert "recorded No, now Yes" in run_in_process("explain", "--customer", CUSTOMER, env=env).err
    missing = run_in_process("explain", "--customer", "nobody", env=env)
    assert (missing.code, "No prediction of customer nobody" in missing.err) == (5, True)
    gone = run_in_process("explain", "--source", f"{topics.raw}/0/9999", env=env)
    assert (gone.code, "There is no record at" in gone.err) == (5, True)


def test_reasons_of_trees_are_the_same_in_stream_and_commands(
    folders: Mapping[str, Path], kafka: str, topics: Topics
) -> None:
    """Each process loads the model itself; the contributions of all features make up the logit."""
    env = topics.env(kafka) | {"TELCO_STREAM_MODEL__PATH": str(folders["trees"])}
    for command in (
        ("produce", "--mode", "batch", "--data-path", str(ROOT / "data/sample_customers.csv"), "--limit", "60"),
        ("consume", "--mode", "batch", "--reasons", "3", "--reasons-for", "flagged"),
    ):
        done = run_in_process(*command, env=env)
        assert done.code == 0, done.err
    answers = [answer.json() for answer in read_topic(kafka, topics.predictions)]
    numbers = {(answer["prediction"], len(answer.get("reasons", []))) for answer in answers}
    assert numbers == {("Yes", 3), ("No", 0)}
    for answer in [answer for answer in answers if "reasons" in answer][:5]:
        assert answer["model_version"] == "trees"
        done = run_in_process("explain", "--customer", answer["customerID"], "--output", "json", env=env)
        explanation = json.loads(done.out)
        assert (explanation["reproduced"], explanation["base"]) == (True, answer["base"]), done.err
        assert [without_value(reason) for reason in explanation["reasons"][:3]] == answer["reasons"]
        total = explanation["base"] + sum(reason["contribution"] for reason in explanation["reasons"])
        odds = answer["churn_probability"] / (1 - answer["churn_probability"])
        assert total == pytest.approx(log(odds), rel=0, abs=1e-9)
        shown = run_in_process("predictions", "show", answer["customerID"], "--output", "json", env=env)
        assert json.loads(shown.out)["reasons"] == answer["reasons"]


def without_value(reason: Mapping[str, Any]) -> dict[str, Any]:
    return {name: reason[name] for name in ("feature", "contribution")}


@pytest.mark.parametrize(
    "arguments",
    [[], ["--customer", "a", "--source", "a/0/1"], ["--customer", "a", "--change", "tenure"], ["--source", "a"]],
)
def test_explain_refuses_unclear_options(arguments: Sequence[str]) -> None:
    assert run_in_process("explain", *arguments, env={}).code == 2


def record(number: int) -> FakeRecord:
    random = Random(number)
    value = good(
        customerID=f"c{number}",
        tenure=random.randrange(73),
        MonthlyCharges=round(random.uniform(18, 119), 2),
        Contract=random.choice(["Month-to-month", "One year", "Two year"]),
    )
    return FakeRecord(value, number)


def explanations(
    records: Sequence[FakeRecord],
    scorer: Scorer,
    reasons: ReasonRequest | None = None,
    *,
    models: Sequence[Scorer] = (),
    changed: FakeRecord | None = None,
    edit: Mapping[str, Any] | None = None,
    changes: Mapping[str, str] | None = None,
) -> list[Explanation]:
    """Answer the records in one batch, and explain each prediction, by other scorers, or from a changed record."""
    outcome = process(records, scorer, processed_at="2026-01-01T00:00:01Z", limits=Limits(), reasons=reasons)
    results = []
    for one, (key, value, headers) in zip(records, outcome.prediction_messages, strict=True):
        content = json.dumps(json.loads(value) | edit).encode() if edit else value
        name = str(key)
        written = FakeRecord(content, 0, key_=name.encode(), headers_=headers)
        search = Search(LookupOptions(name, contract=CONTRACT), {0: 0}, {0: 1})
        search.add([written])
        (found,) = search.result().predictions
        results.append(explain(found, changed or one, models or [scorer], changes))
    return results
