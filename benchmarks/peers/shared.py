"""The work of the peers besides the framework: the package's decoding, scoring and encoding."""

import sys
from datetime import UTC, datetime
from pathlib import Path

from telco_stream.contract.customer import BAD_DATA, Customer, decode_customer
from telco_stream.messages.prediction import Prediction, encode_prediction
from telco_stream.model.artifact import load_scorer
from telco_stream.model.scorer import Scorer

__all__ = ["BAD_DATA", "Customer", "decode_customer", "encode_answers", "load"]

#: Properties that the frameworks set, or that would change how they work.
FRAMEWORK_PROPERTIES = {
    "bootstrap.servers",
    "group.id",
    "client.id",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "auto.offset.reset",
    "delivery.report.only.error",  # they need a report of each delivery
    "partition.assignment.strategy",
}


def load(folder: Path) -> Scorer:
    """Load the compiled model."""
    return load_scorer(folder, "onnx")


def framework_config(properties: dict[str, object]) -> dict[str, object]:
    """Return the package's properties without those of the framework."""
    return {name: value for name, value in properties.items() if name not in FRAMEWORK_PROPERTIES}


def encode_answers(scorer: Scorer, customers: list[Customer]) -> list[tuple[str, bytes]]:
    """Score with one call of the model and return key and value of each prediction."""
    now = datetime.now(UTC).isoformat()
    return [
        (customer.customerID, encode_prediction(_answer(customer, probability, scorer, now)))
        for customer, probability in zip(customers, scorer.score(customers), strict=True)
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


def report_bad_record(error: Exception) -> None:
    """Print the error of a record that is skipped."""
    print(type(error).__name__, file=sys.stderr)
