"""Protocol of a loaded model, independent of its engine, and the check that a model follows it."""

import re
from collections.abc import Callable, Mapping, Sequence
from math import nan
from typing import Any, Protocol

from telco_stream.contract.customer import Customer
from telco_stream.errors import ModelError
from telco_stream.model.manifest import SCHEMA

#: Maximum length of an error's class and first line.
_MAX_REASON = 200
#: A quotation mark that is not an apostrophe inside a word, and all that follows.
_QUOTED = re.compile(r"""((?<!\w)['"`]|['"`](?!\w)).*""", re.DOTALL)
_DIGITS = re.compile(r"\d+([.,]\d+)*")
#: Largest deviation of the sum of both probabilities from 1; single precision deviates by 1e-7.
_TOLERANCE = 1e-3


class ScoringError(Exception):
    """Failure of the engine on bad data; `scoring` splits the batch to isolate the customers that cause it.

    The message names no value of a customer. `reason` is the class and the first line of the engine's error, which may
    quote values; `cause` is the same up to the first quotation mark and without digits.
    """

    def __init__(self, message: str, error: Exception | None = None) -> None:
        super().__init__(message)
        first_line = str(error or "").strip().partition("\n")[0]
        kind = type(error).__name__ if error else message
        reason = f"{kind}: {first_line}" if first_line else kind
        self.reason = reason if len(reason) <= _MAX_REASON else f"{reason[: _MAX_REASON - 1]}…"
        self.cause = _DIGITS.sub("…", _QUOTED.sub("…", self.reason))


class Scorer(Protocol):
    """Loaded model."""

    @property
    def version(self) -> str:
        """Version of the model, from its manifest."""

    @property
    def threshold(self) -> float:
        """Lowest probability for which the prediction is churn."""

    @property
    def engine(self) -> str:
        """Name of the engine: onnx or sklearn."""

    def score(self, customers: Sequence[Customer]) -> list[float]:
        """Return the churn probability of each customer, in their order; raise ScoringError if the model fails."""


def make_customer(features: Mapping[str, Any]) -> Customer:
    """Build a customer from its features; models ignore the other fields."""
    return Customer(customerID="example", event_ts="1970-01-01T00:00:00Z", **features)


def call_model(engine: str, predict: Callable[[Sequence[Customer]], Any], customers: Sequence[Customer]) -> Any:  # noqa: ANN401 - an array of any type
    """Call the model; raise ScoringError for any error of its code."""
    try:
        return predict(customers)
    except Exception as error:  # the code of a model may raise anything
        raise ScoringError(f"{engine}: {type(error).__name__}", error) from error


def check_probabilities(predict: Callable[[Sequence[Customer]], Any]) -> None:
    """Call the model with three customers and with one; raise ModelError if it fails or returns invalid values."""
    import numpy as np  # noqa: PLC0415 - `scoring` imports this module, but only a loaded model needs numpy

    for customers in (_EXAMPLES, _EXAMPLES[:1]):
        try:
            probabilities = call_model("check", lambda examples: np.asarray(predict(examples)), customers)
        except ScoringError as error:
            raise ModelError(f"it fails on a customer ({type(error.__cause__).__name__})") from error
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


def _example(choice: int, total: float) -> Customer:
    features = {
        feature.name: feature.categories[choice] if feature.categories else (feature.minimum or 0.0) - choice
        for feature in SCHEMA
    }
    return make_customer(features | {"TotalCharges": total})


#: Three valid customers with the first and last category of each column; the third has not been billed yet.
_EXAMPLES = [_example(0, 0.0), _example(-1, 1.0), _example(0, nan)]
