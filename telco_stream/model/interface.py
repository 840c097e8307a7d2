"""Check that a loaded model returns two probabilities, of No and Yes, for each customer."""

from collections.abc import Callable, Mapping, Sequence
from math import nan
from typing import Any

import numpy as np

from telco_stream.contract.customer import Customer
from telco_stream.errors import ModelError
from telco_stream.model.manifest import SCHEMA

#: Largest deviation of the sum of both probabilities from 1; single precision deviates by 1e-7.
_TOLERANCE = 1e-3


def make_customer(features: Mapping[str, Any]) -> Customer:
    """Build a customer from its features; models ignore the other fields."""
    return Customer(customerID="example", event_ts="1970-01-01T00:00:00Z", **features)


def _example(choice: int, total: float) -> Customer:
    features = {
        feature.name: feature.categories[choice] if feature.categories else (feature.minimum or 0.0) - choice
        for feature in SCHEMA
    }
    return make_customer(features | {"TotalCharges": total})


#: Three valid customers with the first and last category of each column; the third has not been billed yet.
_EXAMPLES = [_example(0, 0.0), _example(-1, 1.0), _example(0, nan)]


def check_probabilities(predict: Callable[[Sequence[Customer]], Any]) -> None:
    """Call the model with three customers and with one; raise ModelError if it fails or returns anything else."""
    for customers in (_EXAMPLES, _EXAMPLES[:1]):
        try:
            probabilities = np.asarray(predict(customers))
        except Exception as error:  # the code of a model may raise anything
            raise ModelError(f"it fails on a customer ({type(error).__name__})") from error
        _check_array(probabilities, (len(customers), 2))


def _check_array(probabilities: Any, expected: tuple[int, int]) -> None:  # noqa: ANN401 - an array of any type
    if probabilities.shape != expected:
        shape = "x".join(map(str, probabilities.shape)) or "a single"
        raise ModelError(
            f"it gives {shape} values for {expected[0]} customers, not the probabilities of No and Yes for each"
        )
    if probabilities.dtype.kind != "f":
        raise ModelError(f"its probabilities are of type {probabilities.dtype}, not floating point")
    in_range = ((probabilities >= 0) & (probabilities <= 1)).all()
    if not (in_range and (abs(probabilities.sum(axis=1) - 1) <= _TOLERANCE).all()):
        raise ModelError("its two values for a customer are not probabilities that add up to 1")
