"""Exact reasons: contributions against the definition of Shapley values, and the fields that predictions get."""

import dataclasses
import json
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache, partial
from itertools import combinations
from math import factorial
from pathlib import Path
from random import Random
from typing import Any, get_args

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import Pipeline

from telco_stream.consume.run import load_models
from telco_stream.contract.document import decode_contract
from telco_stream.contract.events import Event, EventBatch
from telco_stream.errors import ModelError, UsageError
from telco_stream.messages.codec import compile_contract
from telco_stream.messages.prediction import (
    REASONS,
    Prediction,
    PredictionCodec,
    Reason,
    encode_prediction,
    main_reason_label,
    reasons_of,
)
from telco_stream.model.artifact import load_requested, load_scorer, read_folder
from telco_stream.model.calibration import Calibration, Isotonic, Platt, encode_calibration, logit
from telco_stream.model.conversion import convert
from telco_stream.model.features import input_table
from telco_stream.model.labelled import LabelledEvents
from telco_stream.model.pipelines import boosted, linear
from telco_stream.model.probes import edge_events
from telco_stream.model.reasons.baselines import Rows
from telco_stream.model.reasons.build import BuiltReasons, build_reasons, read_trees
from telco_stream.model.reasons.explainer import Explainer
from telco_stream.model.reasons.files import load_reasons
from telco_stream.model.reasons.request import ReasonRequest
from telco_stream.model.reasons.sentences import default_sentences, read_sentences, write_sentences
from telco_stream.model.reasons.text import ReasonWriter
from telco_stream.model.scorer import ScoringError
from telco_stream.model.serving import CanaryModel
from telco_stream.model.sklearn_engine import SklearnScorer, frame
from telco_stream.model.trees.ensemble import Ensemble, Leaf, Split, Tree
from telco_stream.report.analytics import Summary
from telco_stream.report.customers import MainReason
from telco_stream.report.html import render
from telco_stream.report.predictions import ReportOptions, report
from telco_stream.runtime.choices import Baseline
from telco_stream.scoring import Limits, process
from tests.support.cli import ROOT
from tests.support.contracts import SMALL
from tests.support.in_process import run_in_process
from tests.support.model_folder import COMMITTED, copy_model, edit_manifest, replace_artifact
from tests.support.records import FakeRecord, RuleScorer, good
from tests.support.report_data import MANIFEST, prediction, report_data, with_reasons
from tests.support.telco import CODEC as TELCO
from tests.support.topics import Topics, read_topic
from tests.support.training_data import customers_of, labelled_rows

CODEC = compile_contract(decode_contract(json.dumps(SMALL).encode()))
FEATURES = ("monthly_fee", "data_gb", "complaints", "roaming", "plan", "device")
SUBSETS = [subset for size in range(len(FEATURES) + 1) for subset in combinations(FEATURES, size)]
CUSTOMERS = [TELCO.events.decode(good(tenure=number % 73, MonthlyCharges=20 + number % 90)) for number in range(500)]


def test_contributions_of_a_linear_model_are_shapley_values() -> None:
    assert_shapley_values(linear, decision, 2e-6)


def test_contributions_of_trees_are_shapley_values() -> None:
    """With null, unknown categories and sets of categories."""
    assert_shapley_values(boosted, decision, 1e-9)
    assert_shapley_values(
        lambda codec: Pipeline(
            [*linear(codec, degree=1).steps[:1], ("trees", GradientBoostingClassifier(n_estimators=20))]
        ),
        decision,
        1e-9,
    )


def test_approximate_contributions_are_the_moves_of_the_mean_at_the_splits() -> None:
    """They are computed from the trees by hand, for both baselines; base and contributions add up to the logit."""
    pipeline, data = fitted(boosted), rows()
    ensemble = read_trees(pipeline, CODEC)
    assert isinstance(ensemble, Ensemble)
    files = build(boosted).files
    tables = Rows(input_table(CODEC.events, data.events), np.array(data.positive)).by_baseline()
    for baseline, table in zip(get_args(Baseline), tables, strict=True):
        explainer = approximate_of(files, baseline)
        exact = load_reasons(files, CODEC, baseline)
        assert exact is not None
        assert explainer.base == exact.base
        assert not np.allclose(explainer.contributions(data.events), exact.contributions(data.events), atol=0.1)
        found = explainer.contributions(data.events)
        assert explainer.base + found.sum(axis=1) == pytest.approx(decision(pipeline, data.events), abs=1e-9)
        for event, row in zip(data.events[:3], tables[0], strict=False):
            expected = sum(moves(tree, row, table) for tree in ensemble.trees)
            assert explainer.contributions([event])[0] == pytest.approx(expected, abs=1e-9)


def moves(tree: Tree, row: NDArray[np.float64], table: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what a tree contributes to each feature of a row that belongs to the table or not."""
    position, total, reached = 0, np.zeros(len(FEATURES)), list(table)
    before = mean_below(tree, 0, reached)
    while isinstance(node := tree[position], Split):
        position = next_node(node, row)
        reached = [each for each in reached if next_node(node, each) == position]
        after = mean_below(tree, position, reached)
        total[node.feature] += after - before
        before = after
    return total


def next_node(node: Split, row: NDArray[np.float64]) -> int:
    value = row[node.feature]
    if np.isnan(value):
        return node.passed if node.missing else node.failed
    passes = value in node.test if isinstance(node.test, frozenset) else value <= node.test
    return node.passed if passes else node.failed


def mean_below(tree: Tree, position: int, reached: Sequence[NDArray[np.float64]]) -> float:
    """Return the mean of the leaves that rows reach from a node, or the mean of its children if none does."""
    node = tree[position]
    if isinstance(node, Leaf):
        return node.value
    if not reached:
        return (mean_below(tree, node.passed, []) + mean_below(tree, node.failed, [])) / 2
    parts = {child: [row for row in reached if next_node(node, row) == child] for child in (node.passed, node.failed)}
    return sum(len(part) * mean_below(tree, child, part) for child, part in parts.items() if part) / len(reached)


def test_approximate_contributions_do_not_depend_on_the_batch() -> None:
    explainer = approximate_of(build(boosted).files)
    events = rows().events[:100]
    alone = np.concatenate([explainer.contributions([event]) for event in events])
    assert (explainer.contributions(events) == alone).all()


def approximate_of(files: dict[str, bytes], baseline: Baseline = "all") -> Explainer:
    explainer = load_reasons(files, CODEC, baseline, approximate=True)
    assert explainer is not None
    assert explainer.is_approximate
    return explainer


@pytest.mark.parametrize(
    ("classifier", "reason"),
    [
        (RandomForestClassifier(5), "its trees add up to a probability"),
        (GaussianNB(), "does not consist of trees that can be read"),
    ],
)
def test_model_without_exact_reasons_is_refused(classifier: BaseEstimator, reason: str) -> None:
    built = build(lambda codec: Pipeline([*linear(codec, degree=1).steps[:1], ("classifier", classifier)]))
    assert not built.files
    assert reason in (built.refused or "")


def test_reasons_of_another_model_are_refused() -> None:
    """They are checked against the probabilities of the model that serves."""
    pipeline, other = fitted(linear), fitted(lambda codec: linear(codec, degree=1))
    scorer = SklearnScorer("", 0.5, other, CODEC)
    built = build_reasons(lambda: pipeline, scorer, convert(pipeline, CODEC), rows())
    assert "probabilities that differ" in (built.refused or "")


@pytest.mark.parametrize("build_pipeline", [linear, boosted])
def test_contributions_do_not_depend_on_the_batch(build_pipeline: Callable[[Any], Pipeline]) -> None:
    explainer = explainer_of(build_pipeline)
    events = rows().events[:100]
    together = explainer.contributions(events)
    alone = np.concatenate([explainer.contributions([event]) for event in events])
    assert (together == alone).all()


def test_reasons_are_the_largest_effects() -> None:
    contributions = np.array([[0.1, -0.5, 0.3, 0.0, 0.3, 0.0]])
    explainer = Explainer(CODEC, -1.0, lambda _: contributions)
    event = CODEC.events.make({"monthly_fee": 5.5, "data_gb": 0.0, "complaints": 0, "plan": "basic"})
    (reasons,) = explainer.reasons(EventBatch([event]), 3, with_values=True)
    found = [(reason.feature, reason.contribution, reason.value) for reason in reasons]
    assert found == [("data_gb", -0.5, 0.0), ("complaints", 0.3, 0), ("plan", 0.3, "basic")]
    (reasons,) = explainer.reasons(EventBatch([event]), 99, with_values=False)
    assert len(reasons) == len(FEATURES)
    assert sum(reason.contribution for reason in reasons) == pytest.approx(contributions.sum())


@pytest.mark.parametrize("digits", [7, 12])
@pytest.mark.parametrize("count", [1, 3, 99])
def test_reasons_to_send_are_those_of_reasons(digits: int, count: int) -> None:
    """Also numbers that rounding makes longer, and those that are too large for the writer of JSON."""
    draw = np.random.default_rng(0)
    drawn = draw.normal(size=(1_000, 6)) * 10.0 ** draw.integers(-9, 3, size=(1_000, 6))
    edges = np.array(
        [[0.0, -0.0, 1e-13, -1.0, 0.99999999999951, 9.999999951], [10.0, -10.5, 99.99999996, 999.9, 5e-8, 0]]
    )
    for contributions in (drawn, edges, drawn[:5] * 1e6):
        explainer = Explainer(CODEC, -1.0, lambda _, found=contributions: found, digits=digits)  # type: ignore[misc]
        events = EventBatch([CODEC.events.make({})] * len(contributions))
        sent = explainer.reasons_to_send(events, count, with_values=False)
        decoded = [msgspec.json.decode(msgspec.json.encode(each), type=tuple[Reason, ...]) for each in sent]
        assert decoded == explainer.reasons(events, count, with_values=False)


def test_reason_writer_escapes_names() -> None:
    names = ['a"b', "é\n", "\0"]
    (text,) = ReasonWriter(names, 2).write(np.array([[0, 1, 2]]), np.array([[0.25, -123.456, 7.0]])) or []
    found = [(reason["feature"], reason["contribution"]) for reason in json.loads(text)]
    assert found == list(zip(names, [0.25, -123.46, 7.0], strict=True))


def test_null_is_a_value_of_a_reason() -> None:
    explainer = Explainer(CODEC, -1.0, lambda _: np.array([[0.0, 0.0, 0.0, 1.0, 0.0, 0.0]]))
    ((reason,),) = explainer.reasons(EventBatch([CODEC.events.make({"roaming": None})]), 1, with_values=True)
    assert (reason.feature, reason.value) == ("roaming", None)


def test_reasons_as_sent_add_up_to_the_logit() -> None:
    """Of the pipeline in float64, for 20,000 records and at the edges, some of which the contract refuses."""
    lines, edges = labelled_rows(20_000), edge_events(TELCO, customers_of(labelled_rows(300)), seed=0)
    records = [FakeRecord(good(**row), number) for number, row in enumerate(lines)]
    scorer, pipeline = load_scorer(COMMITTED, "onnx", "all"), load_scorer(COMMITTED, "sklearn")
    assert scorer.explainer is not None
    assert isinstance(pipeline, SklearnScorer)
    outcome = process(records, scorer, processed_at="2026", limits=Limits(), reasons=ReasonRequest(100))
    messages = [json.loads(value) for _, value, _ in outcome.prediction_messages]
    sent = scorer.explainer.reasons_to_send(EventBatch(edges), 100, with_values=False)
    of_edges = [json.loads(msgspec.json.encode(reasons)) for reasons in sent]
    assert {message["base"] for message in messages} == {scorer.explainer.base}
    for events, found in (
        (customers_of(lines), [message["reasons"] for message in messages]),
        (edges, of_edges),
    ):
        sums = [scorer.explainer.base + sum(reason["contribution"] for reason in reasons) for reasons in found]
        expected = pipeline.pipeline.decision_function(frame(TELCO.events, events))
        assert len(sums) == len(events)
        assert np.abs(sums - expected).max() < 2e-6


@pytest.mark.parametrize("with_values", [False, True])
@pytest.mark.parametrize("flagged_only", [False, True])
def test_process_adds_reasons(flagged_only: bool, with_values: bool) -> None:
    request = ReasonRequest(3, flagged_only, with_values)
    scorer = load_scorer(COMMITTED, reasons="all")
    assert scorer.explainer is not None
    expected = scorer.explainer.reasons(EventBatch(CUSTOMERS), 3, with_values=with_values)
    messages = answers(scorer, request)
    flags = [message["prediction"] == "Yes" for message in messages]
    assert 10 < sum(flags) < 490
    for message, is_flagged, reasons in zip(messages, flags, expected, strict=True):
        if is_flagged or not flagged_only:
            assert message["base"] == scorer.explainer.base
            assert [tuple(reason.values()) for reason in message["reasons"]] == [
                (reason.feature, reason.contribution, *([reason.value] if with_values else [])) for reason in reasons
            ]
        else:
            assert not message.keys() & {"base", "reasons"}


@pytest.mark.parametrize("flagged_only", [False, True])
def test_process_adds_reasons_where_others_cannot_be_scored(flagged_only: bool) -> None:
    """The model fails on a batch that has a bad event, and so would its reasons."""

    def contribute(events: Sequence[Event]) -> NDArray[np.float64]:
        assert all(event.key != "bad" for event in events)
        return np.array([[float(event.key)] + [0.0] * 18 for event in events])

    def rule(event: Event) -> float:
        if event.key == "bad":
            raise ScoringError("no")
        return 0.6

    scorer = RuleScorer(rule, explainer=Explainer(TELCO, -1.0, contribute))
    records = [FakeRecord(good(customerID=key), number) for number, key in enumerate(["1", "bad", "3"])]
    outcome = process(records, scorer, processed_at="2026", limits=Limits(), reasons=ReasonRequest(1, flagged_only))
    values = [json.loads(value) for _, value, _ in outcome.prediction_messages]
    assert [value["reasons"][0]["contribution"] for value in values] == [1.0, 3.0]
    assert len(outcome.dead_letter_messages) == 1


def test_probabilities_keep_their_bits_with_reasons() -> None:
    plain, explained = load_scorer(COMMITTED), load_scorer(COMMITTED, reasons="all")
    for events in (CUSTOMERS, EventBatch(CUSTOMERS), CUSTOMERS[:1]):
        assert plain.score(events) == explained.score(events)


@pytest.mark.parametrize("flagged_only", [False, True])
def test_process_names_approximate_reasons(flagged_only: bool) -> None:
    explainer = Explainer(TELCO, -1.0, lambda events: np.zeros((len(events), 19)), is_approximate=True)
    scorer = dataclasses.replace(load_scorer(COMMITTED), explainer=explainer)  # type: ignore[type-var]
    for message in answers(scorer, ReasonRequest(2, flagged_only)):
        is_explained = message["prediction"] == "Yes" or not flagged_only
        assert (message.get("reasons_approximate"), "reasons" in message) == (is_explained or None, is_explained)
    assert not any(
        "reasons_approximate" in message for message in answers(load_scorer(COMMITTED, reasons="all"), ReasonRequest(2))
    )


def test_process_without_a_flagged_event_adds_no_reasons() -> None:
    scorer = load_scorer(COMMITTED, reasons="all")
    record = FakeRecord(good(tenure=72, Contract="Two year"))
    outcome = process([record], scorer, processed_at="2026", limits=Limits(), reasons=ReasonRequest(3, True))
    assert "reasons" not in json.loads(outcome.prediction_messages[0][1])


def test_process_adds_the_reasons_of_the_model_that_answers() -> None:
    """Canary and serving model have different ones."""
    bases = []
    for of_canary in (False, True):
        scorer, other = (
            RuleScorer(version=name, explainer=Explainer(TELCO, base, lambda events: np.zeros((len(events), 19))))
            for name, base in (("a", -1.0), ("b", -2.0))
        )
        canary = CanaryModel(other, bool if of_canary else not_any)
        outcome = process(
            [FakeRecord(good())], scorer, processed_at="2026", limits=Limits(), canary=canary, reasons=ReasonRequest(1)
        )
        bases.append(json.loads(outcome.prediction_messages[0][1])["base"])
    assert bases == [-1.0, -2.0]


def test_baselines_differ() -> None:
    everyone, stayers = (load_scorer(COMMITTED, reasons=baseline).explainer for baseline in ("all", "stayers"))
    assert everyone is not None
    assert stayers is not None
    assert stayers.base < everyone.base - 0.3, "customers who stayed have lower probabilities"
    sums = [each.base + each.contributions(CUSTOMERS).sum(axis=1) for each in (everyone, stayers)]
    assert np.abs(sums[0] - sums[1]).max() < 2e-6


def test_changed_reasons_are_not_loaded(tmp_path: Path) -> None:
    folder = copy_model(tmp_path)
    (folder / "reasons.onnx").write_bytes(b"x")
    with pytest.raises(ModelError, match=r"reasons\.onnx is not the file that the manifest describes"):
        load_scorer(folder, reasons="all")


@pytest.mark.parametrize("name", ["reasons.onnx", "reasons.npz", "reasons-approximate.npz"])
def test_damaged_reasons_are_not_loaded(tmp_path: Path, name: str) -> None:
    folder = copy_model(tmp_path)
    replace_artifact(folder, name, b"x")
    request = ReasonRequest(1, approximate="approximate" in name)
    with pytest.raises(ModelError, match="can't be loaded"):
        load_requested(read_folder(folder), "folder", "auto", request)


def test_folder_without_approximate_reasons_says_why(tmp_path: Path) -> None:
    folder, request = copy_model(tmp_path), ReasonRequest(1, approximate=True)
    with pytest.raises(UsageError, match="has no approximate reasons: only boosted trees do"):
        load_requested(read_folder(folder), "folder", "auto", request)
    edit_manifest(folder, lambda manifest: manifest["artifacts"].pop("reasons.onnx"))
    with pytest.raises(UsageError, match=r"has no approximate reasons: .*train or import the model again"):
        load_requested(read_folder(folder), "folder", "auto", request)
    edit_manifest(folder, lambda manifest: manifest.update(no_reasons="it is odd"))
    replace_artifact(folder, "reasons-approximate.npz", b"x")
    with pytest.raises(UsageError, match="no exact reasons: it is odd; --reasons-approximate adds approximate ones"):
        load_scorer(folder, reasons="all")


def test_calibration_scales_approximate_reasons() -> None:
    explainer = Explainer(TELCO, -1.0, lambda events: np.ones((len(events), 19)), is_approximate=True)
    scaled = explainer.scaled(0.5, 0.25)
    assert (scaled.base, scaled.is_approximate) == (-0.25, True)


def test_folder_without_reasons_says_how_to_get_them(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Without a request for reasons, it says so with `--verbose`."""
    caplog.set_level(logging.DEBUG, "telco_stream")
    folder = copy_model(tmp_path)
    edit_manifest(folder, lambda manifest: manifest["artifacts"].pop("reasons.onnx"))
    with pytest.raises(UsageError, match=r"has no exact reasons: .*train or import the model again"):
        load_scorer(folder, reasons="all")
    edit_manifest(folder, lambda manifest: manifest.update(no_reasons="it is odd"))
    with pytest.raises(UsageError, match="has no exact reasons: it is odd"):
        load_scorer(folder, reasons="all")
    caplog.clear()
    assert load_scorer(folder).explainer is None
    assert "it has no exact reasons: it is odd" in caplog.messages
    load_scorer(COMMITTED)
    assert str(caplog.messages).count("no exact reasons") == 1


def test_calibration_scales_the_reasons(tmp_path: Path) -> None:
    folder = copy_model(tmp_path)
    replace_artifact(folder, "calibration.json", encode_calibration(Calibration((Platt(0.5, -1.0), Platt(2.0, 0.25)))))
    edit_manifest(folder, lambda manifest: manifest["artifacts"].pop("golden.json"))
    scorer = load_scorer(folder, reasons="all")
    assert scorer.explainer is not None
    sums = scorer.explainer.base + scorer.explainer.contributions(CUSTOMERS).sum(axis=1)
    assert sums == pytest.approx(logit(np.array(scorer.score(CUSTOMERS))), abs=5e-6)


def test_isotonic_calibration_has_no_exact_reasons(tmp_path: Path) -> None:
    folder = copy_model(tmp_path)
    replace_artifact(folder, "calibration.json", encode_calibration(Calibration((Isotonic(((0.0, 0.1), (1.0, 0.9))),))))
    edit_manifest(folder, lambda manifest: manifest["artifacts"].pop("golden.json"))
    with pytest.raises(UsageError, match="its calibration is isotonic"):
        load_scorer(folder, reasons="all")


def test_sentences_say_what_the_model_computes() -> None:
    sentences = default_sentences(CODEC.contract)
    assert sentences["plan"].about(0.1) == "plan raises the probability."
    assert sentences["plan"].about(-0.1) == "plan lowers the probability."


def test_edited_sentences_are_kept() -> None:
    """Also when a model is trained again; those of columns that are gone are not."""
    edited = json.loads(write_sentences(CODEC.contract))
    edited["plan"]["raises"] = "Cheap plans are left more often."
    del edited["device"]
    edited["gone"] = edited["plan"]
    written = write_sentences(CODEC.contract, json.dumps(edited).encode())
    sentences = read_sentences(written, CODEC.contract)
    assert sentences["plan"].raises == "Cheap plans are left more often."
    assert list(sentences) == [feature.name for feature in CODEC.contract.features]
    assert write_sentences(CODEC.contract, b"no JSON") == write_sentences(CODEC.contract)


@pytest.mark.parametrize(
    "content", [b"{", b"[]", b'{"plan": "x"}', b'{"plan": {"raises": 1, "lowers": ""}}', b"[" * 9999]
)
def test_invalid_sentences_are_an_error(content: bytes) -> None:
    with pytest.raises(ModelError, match=r"reasons\.json has another form"):
        read_sentences(content, CODEC.contract)


@pytest.mark.parametrize("value", [b"5", b"null", b"{}", b'[{"feature": 1}]', b'["a"]'])
def test_reasons_of_another_program_are_ignored(value: bytes) -> None:
    message = encode_prediction(TELCO.predictions.type("7", 0.2, "No", "2026", "2026", "v", "One year", "DSL"))
    decoded = PredictionCodec(TELCO.contract, [REASONS]).decode(message[:-1] + b',"reasons":' + value + b"}")
    assert reasons_of(decoded) == ()


def test_main_reason_raises_the_probability_of_a_flagged_customer() -> None:
    """The largest effect of others; each customer counts by its newest prediction, and by whom it was flagged."""
    lowers, raises = Reason("tenure", -2.0), Reason("Contract", 1.0)
    summary = report_of(
        with_reasons(prediction("a", 0.9), lowers, raises),
        with_reasons(prediction("b", 0.8), lowers),
        with_reasons(prediction("c", 0.1), lowers, raises),
        prediction("d", 0.7),
        with_reasons(prediction("e", 0.6, event_ts="2026-01-01T00:00:00Z"), raises),
        prediction("e", 0.6),
        with_reasons(prediction("f", 0.5), Reason("unknown", 1.0)),
    )
    assert [top.main_reason for top in summary.top] == ["+Contract", "-tenure", None, None, None, "-tenure"]
    assert summary.reasons == (
        MainReason("+Contract", 1, 0.5, "Contract raises the probability."),
        MainReason("-tenure", 1, 0.5, "tenure lowers the probability."),
    )
    assert report_of(prediction("a", 0.9)).reasons is None


def test_main_reasons_say_which_are_approximate() -> None:
    approximate = with_reasons(prediction("a", 0.9), Reason("tenure", 1.0), is_approximate=True)
    summary = report_of(approximate, with_reasons(prediction("b", 0.8), Reason("tenure", 1.0)))
    assert [top.main_reason for top in summary.top] == ["+tenure (approximate)", "+tenure"]
    meaning = "tenure raises the probability."
    assert set(summary.reasons or ()) == {
        MainReason("+tenure (approximate)", 1, 0.5, meaning),
        MainReason("+tenure", 1, 0.5, meaning),
    }
    assert "<bdi>+tenure (approximate)</bdi>" in page_of(approximate)
    assert main_reason_label(approximate) == "+tenure (approximate)"


def report_of(*predictions: Prediction) -> Summary:
    records = [FakeRecord(encode_prediction(each), offset) for offset, each in enumerate(predictions)]
    return report(records, ReportOptions(sentences=default_sentences(TELCO.contract))).summary


def test_page_shows_the_reasons() -> None:
    page = page_of(with_reasons(prediction("a", 0.9), Reason("tenure", 1.0)))
    assert '<section aria-labelledby="reasons-title" id="reasons">' in page
    assert "<bdi>+tenure</bdi>" in page
    assert 'id="reasons"' not in page_of(prediction("a", 0.9))


def page_of(*predictions: Prediction) -> str:
    return render(report_data(predictions), MANIFEST).decode()


@pytest.mark.parametrize("content", [b"{", b"[]"])
def test_consume_exits_4_when_the_sentences_cannot_be_read(content: bytes, tmp_path: Path) -> None:
    """Only if it shows them: they are not needed to answer."""
    folder = copy_model(tmp_path)
    (folder / "reasons.json").write_bytes(content)
    done = run_in_process("consume", "--model", str(folder), "--reasons", "1", env={})
    assert (done.code, "reasons.json has another form" in done.err) == (4, True)
    assert load_models(folder, "auto").serving.sentences == {}


@pytest.mark.parametrize("option", ["--reasons-values", "--reasons-approximate"])
def test_consume_needs_reasons_for_their_options(option: str) -> None:
    done = run_in_process("consume", option, env={})
    assert (done.code, "require --reasons N" in done.err) == (2, True)


def test_consume_refuses_approximate_reasons_of_a_linear_model() -> None:
    done = run_in_process("consume", "--reasons", "2", "--reasons-approximate", env={})
    assert (done.code, "has no approximate reasons: only boosted trees do" in done.err) == (2, True)


def test_consume_sends_reasons(kafka: str, topics: Topics) -> None:
    env = topics.env(kafka)
    sample = ROOT / "data/sample_customers.csv"
    assert run_in_process("produce", "--mode", "batch", "--data-path", str(sample), env=env).code == 0
    done = run_in_process("consume", "--mode", "batch", "--reasons", "2", "--reasons-for", "flagged", env=env)
    assert done.code == 0, done.err
    assert "reasons=2 for flagged" in done.err
    messages = [json.loads(message.value or b"") for message in read_topic(kafka, topics.predictions)]
    assert len(messages) == 1_000
    assert {message["prediction"] == "Yes": len(message.get("reasons", [])) for message in messages} == {
        True: 2,
        False: 0,
    }
    summary = json.loads(run_in_process("report", "--output", "json", env=env).out)
    raising = [
        next(reason["feature"] for reason in message["reasons"] if reason["contribution"] > 0)
        for message in messages
        if "reasons" in message
    ]
    assert {each["reason"]: each["customers"] for each in summary["reasons"]} == {
        f"+{feature}": number for feature, number in Counter(raising).items()
    }
    flagged = next(message for message in messages if "reasons" in message)
    shown = run_in_process("predictions", "show", flagged["customerID"], env=env)
    assert "Reasons of the newest prediction" in shown.out
    assert f"{flagged['reasons'][0]['feature']} raises the probability." in " ".join(shown.out.split())
    shown = run_in_process("predictions", "show", flagged["customerID"], "--output", "json", env=env)
    assert json.loads(shown.out)["reasons"] == flagged["reasons"]


def test_consume_refuses_a_contract_with_a_column_of_that_name(kafka: str, topics: Topics, tmp_path: Path) -> None:
    folder = copy_model(tmp_path)
    contract = json.loads((folder / "contract.json").read_text())
    contract["carry"] = [*contract.get("carry", []), {"kind": "text", "name": "reasons", "max_length": 9}]
    replace_artifact(folder, "contract.json", json.dumps(contract).encode())
    done = run_in_process("consume", "--model", str(folder), "--reasons", "1", env=topics.env(kafka))
    assert (done.code, "--reasons: predictions have the field reasons already" in done.err) == (2, True), done.err


def not_any(_: bytes) -> bool:
    return False


def answers(scorer: Any, reasons: ReasonRequest) -> list[dict[str, Any]]:
    values = [good(tenure=number % 73, MonthlyCharges=20 + number % 90) for number in range(500)]
    records = [FakeRecord(value, offset) for offset, value in enumerate(values)]
    outcome = process(records, scorer, processed_at="2026", limits=Limits(), reasons=reasons)
    return [json.loads(value) for _, value, _ in outcome.prediction_messages]


@cache
def rows() -> LabelledEvents:
    """Return random accounts, some with null or unknown values."""
    random = Random(7)
    values = [
        {
            "plan": random.choice(["prepaid", "basic", "premium"]),
            "monthly_fee": random.uniform(0, 100),
            "data_gb": random.choice([None, random.uniform(0, 50)]),
            "complaints": random.randrange(6),
            "roaming": random.choice([None, True, False]),
            "device": random.choice(["phone", "tablet", "rest", None]),
        }
        for _ in range(120)
    ]
    odds = [0.15 * row["complaints"] + 0.3 * (row["plan"] == "prepaid") for row in values]  # type: ignore[operator]
    return LabelledEvents([CODEC.events.make(row) for row in values], [random.random() < odd for odd in odds], "")


def fitted(build_pipeline: Callable[[Any], Pipeline]) -> Pipeline:
    pipeline: Pipeline = build_pipeline(CODEC).fit(frame(CODEC.events, rows().events), np.array(rows().positive))
    return pipeline


def build(build_pipeline: Callable[[Any], Pipeline]) -> BuiltReasons:
    pipeline = fitted(build_pipeline)
    compiled = convert(pipeline, CODEC) if isinstance(pipeline.steps[-1][1], LogisticRegression) else None
    return build_reasons(
        partial(read_trees, pipeline, CODEC), SklearnScorer("", 0.5, pipeline, CODEC), compiled, rows()
    )


def explainer_of(build_pipeline: Callable[[Any], Pipeline], baseline: Baseline = "all") -> Explainer:
    built = build(build_pipeline)
    assert built.refused is None
    explainer = load_reasons(built.files, CODEC, baseline)
    assert explainer is not None
    assert explainer.features == FEATURES
    return explainer


def decision(pipeline: Pipeline, events: Sequence[Event]) -> NDArray[np.float64]:
    values: NDArray[np.float64] = pipeline.decision_function(frame(CODEC.events, events))
    return values


def assert_shapley_values(
    build_pipeline: Callable[[Any], Pipeline],
    logits: Callable[[Pipeline, Sequence[Event]], NDArray[np.float64]],
    tolerance: float,
) -> None:
    """Compare with the definition: the mean over all orders of the features, for both baselines."""
    pipeline, data = fitted(build_pipeline), rows()
    for baseline, background in (
        ("all", data.events),
        ("stayers", [event for event, left in zip(data.events, data.positive, strict=True) if not left]),
    ):
        explainer = explainer_of(build_pipeline, baseline)  # type: ignore[arg-type]
        for event in data.events[:2]:
            rows_of = [mixed(event, background, subset) for subset in SUBSETS]
            values = logits(pipeline, [row for rows in rows_of for row in rows]).reshape(len(SUBSETS), -1)
            worth = dict(zip(SUBSETS, values.mean(axis=1).tolist(), strict=True))
            (found,) = explainer.contributions([event])
            assert explainer.base == pytest.approx(worth[()], abs=tolerance)
            assert found == pytest.approx([shapley_value(worth, feature) for feature in FEATURES], abs=tolerance)


def mixed(event: Event, background: Sequence[Event], features: Sequence[str]) -> list[Event]:
    """Return the rows of the background with some features of the event."""
    names = list(FEATURES)
    own = {name: CODEC.events.values(name, [event])[0] for name in features}
    columns = {name: CODEC.events.values(name, background) for name in names}
    return [CODEC.events.make({name: columns[name][row] for name in names} | own) for row in range(len(background))]


def shapley_value(worth: dict[tuple[str, ...], float], feature: str) -> float:
    total, size = 0.0, len(FEATURES)
    for subset, value in worth.items():
        if feature not in subset:
            more = tuple(name for name in FEATURES if name in (*subset, feature))
            weight = factorial(len(subset)) * factorial(size - len(subset) - 1) / factorial(size)
            total += weight * (worth[more] - value)
    return total
