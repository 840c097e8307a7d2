"""Which model `train` keeps: the one with the lower log loss, unless its compiled form is not equal."""

from functools import partial
from typing import Any

import numpy as np
import pytest
from msgspec import structs
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer

from telco_stream.contract.schema import Category
from telco_stream.errors import DataError
from telco_stream.messages.codec import Codec, compile_contract
from telco_stream.model.manifest import Candidate
from telco_stream.model.pipelines import MAX_ONE_HOT_COLUMNS, Variant, linear, standard_candidates
from telco_stream.model.selection import Selected, TrainingRows, select_model
from telco_stream.model.sklearn_engine import frame
from tests.support.contracts import small
from tests.support.telco import CODEC, CONTRACT
from tests.support.training_data import customers_of, labelled_rows

ROWS = labelled_rows(200)
EVENTS = customers_of(ROWS)
TRAINING_ROWS = TrainingRows(
    CODEC, EVENTS, frame(CODEC.events, EVENTS), np.array([row["Churn"] == "Yes" for row in ROWS]), seed=0
)


def unconvertible(codec: Codec) -> Pipeline:
    return make_pipeline(FunctionTransformer(), linear(codec))


GOOD = Variant("good", "degree 3", linear)
#: The penalty leaves nearly the same probability for all customers.
POOR = Variant("poor", "constant", partial(linear, strength=1e-6))
BROKEN = Variant("good", "with a function", unconvertible)


def select(*candidates: list[Variant]) -> Selected:
    return select_model(TRAINING_ROWS, candidates, lambda *_: None)


def kept(selected: Selected) -> Candidate:
    (candidate,) = [candidate for candidate in selected.candidates if candidate.kept]
    return candidate


def names(selected: Selected) -> list[tuple[str, str]]:
    return [(candidate.name, candidate.settings) for candidate in selected.candidates]


@pytest.mark.parametrize("candidates", [([GOOD], [POOR]), ([POOR], [GOOD])])
def test_select_model_keeps_the_lower_log_loss(candidates: Any) -> None:
    selected = select(*candidates)
    better, worse = selected.candidates
    assert (better.name, better.kept, worse.kept) == ("good", True, False)
    assert (better.log_loss or 1) < (worse.log_loss or 0)
    assert worse.max_difference is None, "it is not compiled"
    assert selected.probabilities.shape == (5, 200)


def test_select_model_tries_variants_when_the_best_is_refused() -> None:
    selected = select([BROKEN, GOOD], [POOR])
    assert names(selected) == [("good", "with a function"), ("good", "degree 3"), ("poor", "constant")]
    assert kept(selected).settings == "degree 3"
    assert kept(selected).log_loss is not None
    assert selected.candidates[0].refused == "it can't be compiled: its first step is not a ColumnTransformer"
    assert selected.compiled.refused is None


def test_select_model_keeps_the_other_when_the_best_is_refused() -> None:
    selected = select([BROKEN], [POOR])
    assert names(selected) == [("good", "with a function"), ("poor", "constant")]
    assert kept(selected).name == "poor"
    assert selected.compiled.content


def test_select_model_keeps_the_best_when_all_are_refused() -> None:
    selected = select([BROKEN], [Variant("other", "", unconvertible)])
    assert kept(selected).name == "good"
    assert selected.compiled.parity(0.5).refused


def test_select_model_evaluates_a_single_model_once() -> None:
    selected = select([POOR])
    assert names(selected) == [("poor", "constant")]
    assert selected.probabilities.shape == (5, 200)


def test_standard_candidates_lower_strength_then_degree() -> None:
    linears, boosteds = standard_candidates(CODEC)
    assert [variant.settings for variant in linears] == [
        *("C = 1, degree 3", "C = 0.1, degree 3", "C = 1, degree 2", "C = 0.1, degree 2"),
        *("C = 1, degree 1", "C = 0.1, degree 1"),
    ]
    assert [variant.settings for variant in boosteds] == ["100 trees of 15 leaves"]


def test_standard_candidates_have_no_degree_without_numbers() -> None:
    codec = compile_contract(structs.replace(CONTRACT, features=CONTRACT.categories, charge=None))
    assert [variant.settings for variant in standard_candidates(codec)[0]] == ["C = 1", "C = 0.1"]


def test_standard_candidates_refuse_too_many_categories() -> None:
    """Null and the word for unknown values are values, too."""

    def city_of(count: int) -> Codec:
        values = tuple(f"city {number}" for number in range(count))
        city = Category("city", values=values, nullable=True, other="elsewhere")
        return compile_contract(structs.replace(small(), features=(*small().features, city)))

    others = 3 + 4
    standard_candidates(city_of(MAX_ONE_HOT_COLUMNS - others - 2))
    with pytest.raises(
        DataError, match=r"1,001 values together, .* at most 1,000; the largest: city \(994\), device \(4\)"
    ):
        standard_candidates(city_of(MAX_ONE_HOT_COLUMNS - others - 1))
