"""Checks that a loaded model answers as `consume` expects: two probabilities, of No and Yes, for each customer."""

from collections.abc import Callable, Sequence
from math import nan
from typing import Any

import numpy as np

from telco_stream.contract.customer import Customer
from telco_stream.errors import ModelError
from telco_stream.model.manifest import SCHEMA

#: The largest difference from 1 that the sum of the two probabilities may have; single precision makes 1e-7.
_TOLERANCE = 1e-3


def _example(choice: int, total: float) -> Customer:
    features: dict[str, Any] = {
        feature.name: feature.categories[choice] if feature.categories else (feature.minimum or 0.0) - choice
        for feature in SCHEMA
    }
    return Customer(customerID="example", event_ts="1970-01-01T00:00:00Z", **(features | {"TotalCharges": total}))


#: Three customers that `consume` accepts, one of them not billed yet; the choices are the first and last category.
_EXAMPLES = [_example(0, 0.0), _example(-1, 1.0), _example(0, nan)]


def check_probabilities(answer: Callable[[Sequence[Customer]], Any]) -> None:
    """Have the model answer several customers and a single one; raises ModelError that says what is wrong."""
    for customers in (_EXAMPLES, _EXAMPLES[:1]):
        try:
            probabilities = np.asarray(answer(customers))
        except Exception as error:  # a model may hold anybody's code, which may raise anything
            raise ModelError(f"it fails on a customer ({type(error).__name__})") from error
        _check_answer(probabilities, (len(customers), 2))


def _check_answer(probabilities: Any, expected: tuple[int, int]) -> None:  # noqa: ANN401 - an array of any type
    if probabilities.shape != expected:
        given = "x".join(map(str, probabilities.shape)) or "a single"
        raise ModelError(f"it gives {given} values for {expected[0]} customers: the probabilities of No and Yes needed")
    if probabilities.dtype.kind != "f":
        raise ModelError(f"its probabilities are of type {probabilities.dtype}: floating point needed")
    in_range = ((probabilities >= 0) & (probabilities <= 1)).all()
    if not (in_range and (abs(probabilities.sum(axis=1) - 1) <= _TOLERANCE).all()):
        raise ModelError("its two values for a customer are not probabilities that add up to 1")
