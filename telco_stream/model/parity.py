"""Whether the compiled pipeline may stand in for the original: the same customers, scored by both."""

from collections.abc import Sequence
from math import isnan, nan
from random import Random
from typing import Any

import numpy as np

from telco_stream.contract.customer import Customer
from telco_stream.model.manifest import SCHEMA, Feature, Parity
from telco_stream.model.scorer import Scorer

#: The largest difference of two probabilities that is still the same answer.
TOLERANCE = 1e-6
EDGE_CUSTOMERS = 10_000


def compare(original: Scorer, compiled: Scorer, customers: Sequence[Customer]) -> Parity:
    """How far the two are apart, and why the compiled one must not be used, if it mustn't.

    Differences within the tolerance can turn a decision only as close as that to the threshold.
    """
    ours, theirs = np.array(original.score(customers)), np.array(compiled.score(customers))
    largest = float(np.abs(ours - theirs).max())
    differing = int(((ours >= original.threshold) != (theirs >= compiled.threshold)).sum())
    if np.isnan(largest):
        return Parity(len(ours), None, differing, "some of its answers are no numbers")
    if largest > TOLERANCE:
        refused = f"it differs from the original by up to {largest:.1e}, {TOLERANCE:.0e} is allowed"
        return Parity(len(ours), largest, differing, refused)
    return Parity(len(ours), largest, differing)


def edge_customers(trained_on: Sequence[Customer], *, seed: int) -> list[Customer]:
    """10,000 customers of any category, with numbers at, beside and past the edges of what is accepted and was seen."""
    random = Random(seed)  # noqa: S311 - no secret depends on it
    choices = {feature.name: _choices(feature, trained_on) for feature in SCHEMA}
    return [_customer({name: random.choice(values) for name, values in choices.items()}) for _ in range(EDGE_CUSTOMERS)]


_MAY_BE_BLANK = "TotalCharges"
#: From an edge: on it, and beside it by a cent and by one, on either side.
_STEPS = (0, -0.01, 0.01, -1, 1)


def _choices(feature: Feature, trained_on: Sequence[Customer]) -> list[Any]:
    if feature.kind == "category":
        return list(feature.categories)
    seen = [value for customer in trained_on if not isnan(value := getattr(customer, feature.name))]
    edges = [edge for edge in (feature.minimum, feature.maximum, min(seen), max(seen)) if edge is not None]
    blank = [nan] * len(_STEPS) if feature.name == _MAY_BE_BLANK else []
    return [edge + step for edge in edges for step in _STEPS] + blank


def _customer(features: dict[str, Any]) -> Customer:
    return Customer(customerID="edge", event_ts="1970-01-01T00:00:00Z", **features)
