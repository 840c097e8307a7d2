"""Unfitted pipelines for a contract, from a data frame of the features to the probabilities of both labels."""

from math import comb

from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, PolynomialFeatures

from telco_stream.contract.schema import Boolean, Contract, Feature, Integer
from telco_stream.messages.codec import Codec
from telco_stream.model.features import category_texts

#: Highest degree of the polynomial of the numbers, and the largest number of its terms.
_DEGREE, _MAX_TERMS = 3, 150


def linear(codec: Codec) -> Pipeline:
    """Build a logistic regression on categories and a polynomial of the numbers.

    It was chosen by measurement among pipelines that skl2onnx can convert (`models/README.md`). Numbers are clipped to
    the range of the training data, because a cubic grows without bound outside it. They are scaled to -1..1 rather than
    0..1, so that the terms are nearly uncorrelated, the coefficients small, and single precision suffices.
    """
    contract = codec.contract
    flags = [feature.name for feature in contract.numbers if _is_flag(feature)]
    steps = [
        ("curves", _curves(contract), [feature.name for feature in contract.numbers if not _is_flag(feature)]),
        ("flag", _flags(contract), flags),
        ("categories", one_hot(codec), [category.name for category in contract.categories]),
    ]
    columns = ColumnTransformer([step for step in steps if step[2]])
    # This solver needs the fewest iterations for few columns, and is deterministic.
    return Pipeline([("columns", columns), ("classifier", LogisticRegression(solver="newton-cholesky"))])


def one_hot(codec: Codec) -> OneHotEncoder:
    """Build an encoder of the categories with the contract's values, whether or not they occur in the data."""
    texts = [category_texts(codec.events, category) for category in codec.contract.categories]
    return OneHotEncoder(categories=texts, sparse_output=False)


def _curves(contract: Contract) -> Pipeline:
    """Build the polynomial of the numbers, with the highest degree that has few terms."""
    numbers = [feature for feature in contract.numbers if not _is_flag(feature)]
    degree = next(d for d in range(_DEGREE, 0, -1) if d == 1 or comb(len(numbers) + d, d) - 1 <= _MAX_TERMS)
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
