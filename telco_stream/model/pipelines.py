"""Unfitted pipelines for a contract, from a data frame of the features to the probabilities of both labels."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import comb
from typing import Any, TypeAlias

import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, PolynomialFeatures

from telco_stream.contract.schema import Boolean, Contract, Feature, Integer, Number
from telco_stream.errors import DataError
from telco_stream.messages.codec import Codec
from telco_stream.model.features import category_texts
from telco_stream.runtime.humanize import format_count

#: Highest degree of the polynomial of the numbers, and the largest number of its terms.
_DEGREE, _MAX_TERMS = 3, 150
#: Inverse strengths of the penalty on coefficients: the default, and a stronger one, which keeps them small.
_STRENGTHS = (1.0, 0.1)
_TREES, _LEAVES, _LEARNING_RATE = 100, 15, 0.05
#: Largest number of one-hot columns; each costs time with every event, and training needs their square in memory.
MAX_ONE_HOT_COLUMNS = 1_000
#: Categories that an error names.
_NAMED = 5

#: Returns an unfitted pipeline for a contract.
Build: TypeAlias = Callable[[Codec], Pipeline]


@dataclass(frozen=True, slots=True)
class Variant:
    """A kind of model with its settings, and the function that builds it."""

    name: str
    settings: str
    build: Build


def standard_candidates(codec: Codec) -> list[list[Variant]]:
    """Return the models that training tries, each as variants in the order in which they are tried.

    Raise DataError if the categories have too many values for one-hot columns.
    """
    _check_one_hot_columns(codec)
    numbers = len(_curved(codec.contract))
    degrees = range(_highest_degree(numbers), 0, -1) if numbers else range(1, 0, -1)
    linears = [
        Variant(
            "linear",
            f"C = {strength:g}" + (f", degree {degree}" if numbers else ""),
            partial(linear, strength=strength, degree=degree),
        )
        for degree in degrees
        for strength in _STRENGTHS
    ]
    return [linears, [Variant("boosted", f"{_TREES} trees of {_LEAVES} leaves", boosted)]]


def linear(codec: Codec, *, strength: float = _STRENGTHS[0], degree: int | None = None) -> Pipeline:
    """Build a logistic regression on categories and a polynomial of the numbers.

    It was chosen by measurement among pipelines that skl2onnx can convert (`models/README.md`). Numbers are clipped to
    the range of the training data, because a cubic grows without bound outside it. They are scaled to -1..1 rather than
    0..1, so that the terms are nearly uncorrelated, the coefficients small, and single precision suffices.
    """
    contract = codec.contract
    curved = _curved(contract)
    flags = [feature.name for feature in contract.numbers if _is_flag(feature)]
    steps = [
        ("curves", _curves(curved, degree or _highest_degree(len(curved))), [feature.name for feature in curved]),
        ("flag", _flags(contract), flags),
        ("categories", one_hot(codec), [category.name for category in contract.categories]),
    ]
    columns = ColumnTransformer([step for step in steps if step[2]])
    # This solver needs the fewest iterations for few columns, and is deterministic.
    return Pipeline([("columns", columns), ("classifier", LogisticRegression(C=strength, solver="newton-cholesky"))])


def boosted(codec: Codec) -> Pipeline:
    """Build gradient-boosted trees on the numbers as they are, null included, and on one-hot categories.

    The trees cannot be fitted to a column that is always null, which is therefore replaced by a constant.
    """
    contract = codec.contract
    numbers = [feature.name for feature in contract.numbers]
    nothing = SimpleImputer(strategy="constant", fill_value=0.0, keep_empty_features=True)
    steps: list[tuple[str, Any, Any]] = [("numbers", "passthrough", numbers)]
    if any(map(_has_nan, contract.numbers)):
        steps = [
            ("numbers", "passthrough", partial(select_columns, names=numbers, always_null=False)),
            ("nulls", nothing, partial(select_columns, names=numbers, always_null=True)),
        ]
    steps.append(("categories", one_hot(codec), [category.name for category in contract.categories]))
    trees = HistGradientBoostingClassifier(
        max_iter=_TREES,
        max_leaf_nodes=_LEAVES,
        learning_rate=_LEARNING_RATE,
        categorical_features=None,
        early_stopping=False,
        random_state=0,
    )
    return Pipeline([("columns", ColumnTransformer([step for step in steps if step[2]])), ("classifier", trees)])


def select_columns(frame: pd.DataFrame, *, names: list[str], always_null: bool) -> list[str]:
    """Return the names of those columns of the training data that are always null, or of the others."""
    return [name for name in names if bool(frame[name].isna().all()) == always_null]


def one_hot(codec: Codec) -> OneHotEncoder:
    """Build an encoder of the categories with the contract's values, whether or not they occur in the data."""
    texts = [category_texts(codec.events, category) for category in codec.contract.categories]
    return OneHotEncoder(categories=texts, sparse_output=False)


def _check_one_hot_columns(codec: Codec) -> None:
    sizes = {category.name: len(category_texts(codec.events, category)) for category in codec.contract.categories}
    if (total := sum(sizes.values())) <= MAX_ONE_HOT_COLUMNS:
        return
    largest = sorted(sizes, key=sizes.__getitem__, reverse=True)
    named = ", ".join(f"{name} ({format_count(sizes[name])})" for name in largest[:_NAMED])
    raise DataError(
        f"The categories have {format_count(total)} values together, and training takes at most "
        f"{format_count(MAX_ONE_HOT_COLUMNS)}; the largest: {named}. Keep the frequent `values` of each and give it "
        "`other` for the rest, or remove the column from the contract"
    )


def _curved(contract: Contract) -> list[Number | Integer | Boolean]:
    return [feature for feature in contract.numbers if not _is_flag(feature)]


def _highest_degree(numbers: int) -> int:
    """Return the highest degree at which a polynomial of this many numbers has few terms."""
    return next(d for d in range(_DEGREE, 0, -1) if d == 1 or comb(numbers + d, d) - 1 <= _MAX_TERMS)


def _curves(numbers: Sequence[Feature], degree: int) -> Pipeline:
    """Build the polynomial of the numbers."""
    return make_pipeline(
        *([SimpleImputer(strategy="median", keep_empty_features=True)] if any(map(_has_nan, numbers)) else []),
        MinMaxScaler((-1, 1), clip=True),
        *([PolynomialFeatures(degree, include_bias=False)] if degree > 1 else []),
    )


def _flags(contract: Contract) -> SimpleImputer | str:
    flags = filter(_is_flag, contract.numbers)
    return (
        SimpleImputer(strategy="most_frequent", keep_empty_features=True)
        if any(map(_has_nan, flags))
        else "passthrough"
    )


def _is_flag(feature: Feature) -> bool:
    """Return whether a number is only 0 or 1, so that it has only one coefficient."""
    return isinstance(feature, Boolean) or (
        isinstance(feature, Integer) and (feature.minimum, feature.maximum) == (0, 1)
    )


def _has_nan(feature: Feature) -> bool:
    return feature.nullable and getattr(feature, "fill", None) is None
