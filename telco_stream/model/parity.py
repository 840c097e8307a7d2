"""Comparison of the compiled with the original pipeline: both score the same customers."""

from collections.abc import Sequence
from math import isnan, nan
from random import Random
from typing import Any

import numpy as np

from telco_stream.contract.customer import Customer
from telco_stream.model.interface import make_customer
from telco_stream.model.manifest import SCHEMA, Feature, Parity
from telco_stream.model.scorer import Scorer

#: Largest allowed difference of two probabilities.
TOLERANCE = 1e-6
EDGE_CUSTOMERS = 10_000


def compare(original: Scorer, compiled: Scorer, customers: Sequence[Customer]) -> Parity:
    """Return the largest difference, and the reason if the compiled pipeline must not be used.

    A difference within the tolerance changes a decision only if the probability is that close to the threshold.
    """
    expected, actual = np.array(original.score(customers)), np.array(compiled.score(customers))
    largest = float(np.abs(expected - actual).max())
    differing = int(((expected >= original.threshold) != (actual >= compiled.threshold)).sum())
    if np.isnan(largest):
        return Parity(len(expected), None, differing, "some of its answers are not numbers")
    if largest > TOLERANCE:
        refused = f"it differs from the original by up to {largest:.1e}, {TOLERANCE:.0e} is allowed"
        return Parity(len(expected), largest, differing, refused)
    return Parity(len(expected), largest, differing)


def edge_customers(trained_on: Sequence[Customer], *, seed: int) -> list[Customer]:
    """Draw 10,000 customers with numbers at and just beyond the limits of the contract and of the training data."""
    random = Random(seed)  # noqa: S311 - not used for cryptography
    choices = {feature.name: _choices(feature, trained_on) for feature in SCHEMA}
    return [
        make_customer({name: random.choice(values) for name, values in choices.items()}) for _ in range(EDGE_CUSTOMERS)
    ]


_MAY_BE_BLANK = "TotalCharges"
#: Distances from an edge: none, a cent and 1 on either side.
_STEPS = (0, -0.01, 0.01, -1, 1)


def _choices(feature: Feature, trained_on: Sequence[Customer]) -> list[Any]:
    if feature.kind == "category":
        return list(feature.categories)
    trained = [value for customer in trained_on if not isnan(value := getattr(customer, feature.name))]
    edges = [edge for edge in (feature.minimum, feature.maximum, min(trained), max(trained)) if edge is not None]
    blank = [nan] * len(_STEPS) if feature.name == _MAY_BE_BLANK else []
    return [edge + step for edge in edges for step in _STEPS] + blank
