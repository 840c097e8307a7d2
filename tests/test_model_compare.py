"""`model compare`: two models on the same labelled rows."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, roc_auc_score

from telco_stream.contract.events import Event
from telco_stream.errors import ModelError, UsageError
from telco_stream.messages.codec import Codec
from telco_stream.model.artifact import read_manifest
from telco_stream.model.comparison import Contestant, area_under_curve, compare
from telco_stream.model.labelled import LabelledEvents
from telco_stream.model.results import ModelComparison
from telco_stream.model.scorer import ScoringError
from tests.support.in_process import run_in_process
from tests.support.model_folder import COMMITTED, copy_model, edit_manifest
from tests.support.telco import CODEC
from tests.support.training_data import customers_of, labelled_rows, write_csv

ROWS = labelled_rows(5_003)
EVENTS = customers_of(ROWS)
LABELS = [row["Churn"] == "Yes" for row in ROWS]
MANIFEST = read_manifest(COMMITTED)


class TenureScorer:
    """A model whose probability falls with the tenure, from `highest` on; `fault` replaces it for a tenure of 0."""

    engine = "rule"
    codec: Codec = CODEC
    explainer: None = None

    def __init__(self, version: str, threshold: float, highest: float = 1.0, fault: float | None = None) -> None:
        self.version = version
        self.threshold = threshold
        self._highest = highest
        self._fault = fault

    def score(self, events: Sequence[Event]) -> list[float]:
        tenures = CODEC.events.values("tenure", events)
        if self._fault == -1 and 0 in tenures:
            raise ScoringError("rule: ValueError", ValueError("no tenure"))
        return [self._fault if self._fault and not tenure else self._highest - tenure / 100 for tenure in tenures]


def contestant(scorer: TenureScorer, labels: Sequence[bool] = LABELS) -> Contestant:
    return Contestant(scorer, MANIFEST, LabelledEvents(EVENTS, list(labels), "0" * 64))


def probabilities_of(scorer: TenureScorer) -> Any:
    return np.array(scorer.score(EVENTS))


def test_compare_counts_changed_decisions_and_lists_the_largest_changes() -> None:
    a, b = TenureScorer("a", 0.7), TenureScorer("b", 0.7, highest=0.9)
    result = compare(contestant(a), contestant(b), 3)
    lost = int((probabilities_of(a) >= 0.7).sum() - (probabilities_of(b) >= 0.7).sum())
    assert (result.rows, result.changed_decisions, result.changed_to_negative) == (5_003, lost, lost)
    assert lost > 100
    assert result.mean_change == pytest.approx(-0.1)
    falls = [row.probability_a - row.probability_b for row in result.largest]
    assert [result.largest_change, *falls] == [pytest.approx(0.1)] * 4
    back = compare(contestant(b), contestant(a), 0)
    assert (back.changed_to_positive, back.changed_to_negative, back.largest) == (lost, 0, [])


def test_compare_measures_each_model_at_its_threshold() -> None:
    a, b = TenureScorer("a", 0.7), TenureScorer("b", 0.4)
    result = compare(contestant(a), contestant(b), 10)
    for model, scorer in ((result.a, a), (result.b, b)):
        expected = probabilities_of(scorer)
        assert model.roc_auc == pytest.approx(roc_auc_score(LABELS, expected))
        assert model.brier == pytest.approx(brier_score_loss(LABELS, expected))
        assert (model.version, model.flagged) == (scorer.version, (expected >= scorer.threshold).sum())
    assert result.largest == [], "equal probabilities are not changes"


def test_compare_lists_the_row_that_changes_most_first() -> None:
    result = compare(contestant(TenureScorer("a", 0.5)), contestant(TenureScorer("b", 0.5, 0.99, fault=0.2)), 1)
    (row,) = result.largest
    newest = next(event for event in EVENTS if CODEC.events.values("tenure", [event])[0] == 0)
    label = "Yes" if LABELS[EVENTS.index(newest)] else "No"
    assert (row.key, row.probability_a, row.probability_b) == (newest.key, 1.0, 0.2)
    assert (row.prediction_a, row.prediction_b, row.label) == ("Yes", "No", label)


def test_compare_refuses_models_whose_labels_differ() -> None:
    opposite = [not label for label in LABELS]
    with pytest.raises(UsageError, match="label its rows differently"):
        compare(contestant(TenureScorer("a", 0.5)), contestant(TenureScorer("b", 0.5), opposite), 10)


@pytest.mark.parametrize(("fault", "reason"), [(-1, "b fails on a row"), (1.5, "b gives no probability")])
def test_compare_refuses_a_model_that_fails_on_a_row(fault: float, reason: str) -> None:
    with pytest.raises(ModelError, match=reason):
        compare(contestant(TenureScorer("a", 0.5)), contestant(TenureScorer("b", 0.5, fault=fault)), 10)


@given(st.lists(st.tuples(st.booleans(), st.sampled_from([0.0, 0.1, 0.5, 0.51, 1.0])), min_size=1, max_size=40))
def test_area_under_curve_is_that_of_scikit_learn(rows: list[tuple[bool, float]]) -> None:
    labels, probabilities = np.array([label for label, _ in rows]), np.array([value for _, value in rows])
    area = area_under_curve(labels, probabilities)
    if len(set(labels)) == 1:
        assert area is None
    else:
        assert area == pytest.approx(roc_auc_score(labels, probabilities))


@pytest.fixture
def stricter(tmp_path: Path) -> Path:
    folder = copy_model(tmp_path)
    edit_manifest(folder, lambda manifest: manifest.update(model_version="stricter", threshold=0.5))
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_csv(tmp_path / "labelled.csv", ROWS[:300])


def test_model_compare_compares_folders(stricter: Path, data: Path) -> None:
    arguments = ("model", "compare", str(COMMITTED), str(stricter), "--data", str(data))
    done = run_in_process(*arguments, "--output", "json", env={})
    assert done.code == 0, done.err
    result = json.loads(done.out)
    assert (result["a"]["version"], result["b"]["version"]) == (MANIFEST.model_version, "stricter")
    assert (result["rows"], result["largest"], result["mean_change"]) == (300, [], 0)
    assert result["changed_to_negative"] == result["changed_decisions"] > 0
    assert result["a"]["roc_auc"] == result["b"]["roc_auc"]
    assert set(result) == set(ModelComparison.__dataclass_fields__)
    table = run_in_process(*arguments, env={}).out
    assert f"{result['changed_decisions']} of 300 decisions change: 0 to positive" in table
    assert "stricter" in table


def test_model_compare_says_that_a_model_was_trained_on_the_file(stricter: Path, data: Path) -> None:
    import hashlib  # noqa: PLC0415

    sha256 = hashlib.sha256(data.read_bytes()).hexdigest()
    edit_manifest(stricter, lambda manifest: manifest["training_data"].update(sha256=sha256))
    arguments = ("model", "compare", str(COMMITTED), str(stricter), "--data", str(data), "--output", "json")
    result = json.loads(run_in_process(*arguments, env={}).out)
    assert (result["a"]["trained_on_this_file"], result["b"]["trained_on_this_file"]) == (False, True)


@pytest.mark.parametrize(
    ("edit", "code", "reason"),
    [
        (lambda rows: rows[7].update(Churn=""), 5, "line 9: Churn is neither Yes nor No"),
        (lambda rows: rows[7].update(Contract="Weekly"), 5, "line 9: "),
        (lambda rows: rows.clear(), 2, "the file is empty"),
    ],
)
def test_model_compare_names_what_is_wrong_with_the_file(
    tmp_path: Path, edit: Callable[[list[dict[str, str]]], object], code: int, reason: str
) -> None:
    edit(rows := [dict(row) for row in ROWS[:20]])
    path = write_csv(tmp_path / "labelled.csv", rows)
    done = run_in_process("model", "compare", str(COMMITTED), str(COMMITTED), "--data", str(path), env={})
    assert (done.code, reason in done.err) == (code, True), done.err


def test_model_compare_fails_when_a_folder_is_missing(data: Path) -> None:
    done = run_in_process("model", "compare", str(COMMITTED), "no/folder", "--data", str(data), env={})
    assert (done.code, "No model at no/folder" in done.err) == (4, True), done.err
