"""The work of the peers besides the framework: the package's decoding, scoring and encoding."""

import sys
from datetime import UTC, datetime
from pathlib import Path

from telco_stream.contract.events import BAD_DATA, Event
from telco_stream.messages.prediction import encode_prediction
from telco_stream.model.artifact import load_scorer
from telco_stream.model.scorer import Scorer
from tests.support.telco import decode

__all__ = ["BAD_DATA", "Event", "decode", "encode_answers", "load"]

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


def encode_answers(scorer: Scorer, events: list[Event]) -> list[tuple[str, bytes]]:
    """Score with one call of the model and return key and value of each prediction."""
    predictions = scorer.codec.build_predictions(
        events,
        scorer.score(events),
        threshold=scorer.threshold,
        processed_at=datetime.now(UTC).isoformat(),
        model_version=scorer.version,
    )
    return [(prediction.key, encode_prediction(prediction)) for prediction in predictions]


def report_bad_record(error: Exception) -> None:
    """Print the error of a record that is skipped."""
    print(type(error).__name__, file=sys.stderr)
