"""Protocol of a loaded model, independent of its engine."""

from collections.abc import Sequence
from typing import Protocol

from telco_stream.contract.customer import Customer


class ScoringError(Exception):
    """Failure of the engine on bad data; `scoring` splits the batch to isolate the customers that cause it."""


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
