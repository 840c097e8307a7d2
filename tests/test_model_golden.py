"""Golden rows of a model folder: drawn by `train`, and scored before the first record is read."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from telco_stream.contract.events import Event
from telco_stream.errors import ModelError
from telco_stream.messages.codec import Codec, compile_contract
from telco_stream.model.artifact import GOLDEN, load_scorer
from telco_stream.model.golden import GOLDEN_ROWS, check_golden, make_golden
from telco_stream.model.scorer import ScoringError
from tests.support.contracts import small
from tests.support.in_process import run_in_process
from tests.support.model_folder import COMMITTED, copy_model, edit_manifest, replace_artifact
from tests.support.telco import CODEC
from tests.support.training_data import customers_of, labelled_rows

CUSTOMERS = customers_of(labelled_rows(50))


class FakeScorer:
    """Scorer that can fail on events whose first feature has a value."""

    version, threshold, engine, explainer = "v", 0.5, "fake", None

    def __init__(self, failing: str | None = None, codec: Codec = CODEC) -> None:
        self.failing, self.codec = failing, codec

    def score(self, events: Sequence[Event]) -> list[float]:
        if self.failing in self.codec.events.values(self.codec.contract.features[0].name, events):
            raise ScoringError("fake: KeyError", KeyError("thirteen"))
        return [0.25] * len(events)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return copy_model(tmp_path)


def edit_golden(folder: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    golden = json.loads((folder / GOLDEN).read_text())
    edit(golden)
    replace_artifact(folder, GOLDEN, json.dumps(golden).encode())


def change_probability(golden: dict[str, Any], by: float) -> None:
    golden["probabilities"][7] += by


def test_committed_model_has_golden_rows_that_both_engines_give() -> None:
    golden = json.loads((COMMITTED / GOLDEN).read_text())
    assert len(golden["rows"]) == len(golden["probabilities"]) == GOLDEN_ROWS
    assert [load_scorer(COMMITTED, engine).engine for engine in ("onnx", "sklearn")] == ["onnx", "sklearn"]


def test_load_scorer_fails_when_a_golden_probability_differs(model: Path) -> None:
    edit_golden(model, lambda golden: change_probability(golden, 2e-6))
    with pytest.raises(ModelError, match=r"by up to 2\.0e-06 in 1 of 200 golden rows"):
        load_scorer(model)


def test_load_scorer_accepts_a_golden_probability_within_the_tolerance(model: Path) -> None:
    edit_golden(model, lambda golden: change_probability(golden, 9e-7))
    assert load_scorer(model).engine == "onnx"


def test_consume_exits_with_4_when_a_golden_probability_differs(model: Path) -> None:
    edit_golden(model, lambda golden: change_probability(golden, 1e-3))
    result = run_in_process("consume", "--mode", "batch", "--model", str(model), "--broker", "localhost:1")
    assert (result.code, result.out) == (4, "")
    assert "golden rows" in result.err


def test_load_scorer_loads_a_folder_without_golden_rows(model: Path) -> None:
    (model / GOLDEN).unlink()
    edit_manifest(model, lambda manifest: manifest["artifacts"].pop(GOLDEN))
    assert load_scorer(model).engine == "onnx"


@pytest.mark.parametrize(
    "edit",
    [
        lambda golden: golden["rows"][3].pop(),
        lambda golden: golden["probabilities"].pop(),
        lambda golden: golden["probabilities"].append(1.5),
        lambda golden: golden["rows"][3].__setitem__(0, "neither"),
        lambda golden: golden["columns"].__setitem__(0, "unknown"),
        lambda golden: golden.pop("rows"),
    ],
    ids=["short row", "missing probability", "not a probability", "unknown category", "other column", "no rows"],
)
def test_load_scorer_fails_when_golden_rows_are_invalid(model: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    edit_golden(model, edit)
    with pytest.raises(ModelError, match="golden rows of the model"):
        load_scorer(model)


def test_check_golden_names_the_error_of_the_library_when_the_model_fails() -> None:
    content = make_golden(FakeScorer(), CUSTOMERS, seed=0)
    with pytest.raises(ModelError, match="fails on its golden rows: KeyError: 'thirteen'"):
        check_golden(content, FakeScorer("Male"))


def test_make_golden_leaves_out_rows_on_which_the_model_fails() -> None:
    rows = json.loads(make_golden(FakeScorer("Male"), CUSTOMERS, seed=0))["rows"]
    assert {row[0] for row in rows} == {"Female"}
    assert GOLDEN_ROWS / 4 < len(rows) < GOLDEN_ROWS


def test_make_golden_draws_every_value_and_null_when_the_contract_has_all_kinds() -> None:
    codec = compile_contract(small(lambda contract: contract["features"][2].pop("fill")))
    numbers = {"monthly_fee": 20.5, "data_gb": 1.5, "complaints": 2, "roaming": True, "device": "phone"}
    events = [codec.events.make(numbers | {"plan": plan}) for plan in ("prepaid", "basic", "premium")]
    scorer = FakeScorer(codec=codec)
    content = make_golden(scorer, events, seed=0)
    golden = json.loads(content)
    check_golden(content, scorer)
    for feature, values in zip(codec.contract.features, zip(*golden["rows"], strict=True), strict=True):
        assert (None in values) == feature.nullable, feature.name
        assert set(getattr(feature, "values", ())) <= set(values)
        assert {getattr(feature, "minimum", values[0]), getattr(feature, "maximum", values[0])} <= set(values)


def test_make_golden_is_equal_when_seed_and_events_are() -> None:
    first, second, other = (make_golden(FakeScorer(), CUSTOMERS, seed=seed) for seed in (1, 1, 2))
    assert first == second != other
