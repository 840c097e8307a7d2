"""The peers' half of the work that isn't the framework's: the product's own decode, model and encode."""

import sys
from datetime import UTC, datetime
from pathlib import Path

from telco_stream.contract.customer import BAD_DATA, Customer, decode_customer
from telco_stream.messages.prediction import Prediction, encode_prediction
from telco_stream.model.artifact import load_scorer
from telco_stream.model.scorer import Scorer

__all__ = ["BAD_DATA", "Customer", "decode_customer", "encode_answers", "load"]

#: Properties that the frameworks set themselves, or that change what their own calls mean.
THEIRS = {
    "bootstrap.servers",
    "group.id",
    "client.id",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "auto.offset.reset",
    "delivery.report.only.error",  # they count on a report of each delivery
    "partition.assignment.strategy",
}


def load(folder: Path) -> Scorer:
    """The compiled model."""
    return load_scorer(folder, "onnx")


def own(properties: dict[str, object]) -> dict[str, object]:
    """The product's properties, but for those that are the framework's to set."""
    return {name: value for name, value in properties.items() if name not in THEIRS}


def encode_answers(scorer: Scorer, customers: list[Customer]) -> list[tuple[str, bytes]]:
    """Key and value of each prediction, from one call of the model."""
    now = datetime.now(UTC).isoformat()
    return [
        (one.customerID, encode_prediction(_answer(one, probability, scorer, now)))
        for one, probability in zip(customers, scorer.score(customers), strict=True)
    ]


def _answer(customer: Customer, probability: float, scorer: Scorer, now: str) -> Prediction:
    return Prediction(
        customer.customerID,
        probability,
        "Yes" if probability >= scorer.threshold else "No",
        customer.event_ts,
        now,
        scorer.version,
        customer.Contract,
        customer.InternetService,
    )


def complain(error: Exception) -> None:
    """A bad record; there is no place for it."""
    print(type(error).__name__, file=sys.stderr)
