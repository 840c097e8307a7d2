"""What the core asks of a model, whichever engine answers."""

from collections.abc import Sequence
from typing import Protocol

from telco_stream.contract.customer import Customer


class ScoringError(Exception):
    """The engine failed on these customers: bad data, not a broken world; the batch is split to find the guilty one."""


class Scorer(Protocol):
    """A model that is loaded and ready."""

    @property
    def version(self) -> str:
        """The model's version, as in its manifest."""

    @property
    def threshold(self) -> float:
        """The probability from which a customer counts as a churner."""

    @property
    def engine(self) -> str:
        """Which engine answers: onnx or sklearn."""

    def score(self, customers: Sequence[Customer]) -> list[float]:
        """The probability of churn of each customer, in their order; raises `ScoringError`."""
