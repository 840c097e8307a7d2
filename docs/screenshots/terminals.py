"""Terminal images of the pipeline on a real Kafka, and the first image of the README."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from docs.screenshots.shots import BROKEN, TOPICS, Studio
from docs.screenshots.story import story
from tests.support.foreign_data import FOLDER as FOREIGN_DATA
from tests.support.kafka_container import KafkaContainer, docker_unavailable_reason

_STREAM = ("produce", "--mode", "streaming", "--seed", "7", "--events-per-sec")
_ANSWERS = ("--topic", TOPICS.predictions, "--from-beginning", "--max-messages", "3")


def _infer(studio: Studio) -> None:
    """Draft the contract of docs/own-columns.md."""
    shutil.copy(FOREIGN_DATA / "mlc_churn.csv", studio.folder)
    roles = ("--number-rows", "--label", "churn", "--positive", "yes")
    segments = ("--segment", "international_plan", "--segment", "area_code")
    studio.shot("contract-infer", "contract", "infer", "mlc_churn.csv", *roles, *segments, "--entity", "customer")


def _produce(studio: Studio) -> None:
    """Create the topics and send a stream, a file and three invalid records."""
    studio.quiet("sample", "--rows", "20000", "--seed", "7", "--out", "customers.csv")
    studio.shot("topics-init", "topics", "init")
    studio.live("produce-live", *_STREAM, "500", "--limit", "9000", until=["0:00:04 left"])
    studio.shot("produce-batch", "produce", "--mode", "batch", "--data-path", "customers.csv")
    studio.send(BROKEN)


def _consume(studio: Studio) -> None:
    """Consume, report, and list the results."""
    studio.shot("consume-batch", "consume", "--mode", "batch", "--batch-size", "5000", "--top-k", "5")
    with studio.meanwhile(*_STREAM, "1500"):
        studio.send(BROKEN)
        studio.live("consume-live", "consume", until=["Fiber optic", "0:00:14 ──"])
        with studio.meanwhile("consume"):
            studio.live("status", "status", "--watch", until=["stable, 1 member"])
    studio.quiet("consume", "--mode", "batch")
    server = ("--bootstrap-server", "$BROKER")
    studio.kafka_tool("messages", "The predictions topic", "kafka-console-consumer.sh", *server, *_ANSWERS)
    studio.shot("report", "report", "--top-k", "5")
    studio.shot("dlq-list", "dlq", "list")
    studio.shot("doctor", "doctor")
    studio.shot("verify", "verify")


def _story(studio: Studio) -> None:
    """Draw the first image of the README."""
    answers = {
        record["customerID"]: record for record in studio.records(TOPICS.predictions) if record["prediction"] == "Yes"
    }
    answer = max(answers.values(), key=lambda record: (record["churn_probability"], record["customerID"]))
    raw = {customer["customerID"]: customer for customer in studio.customers()}
    letter = next(record for record in studio.records(TOPICS.deadletter) if record["error_type"] == "json")
    studio.save("story", story(raw[answer["customerID"]], answer, letter, studio.quiet("verify")))


def _make(studio: Studio) -> None:
    """Draw `make demo` and `make up`, and remove the containers and volumes of the latter."""
    studio.make("demo", "demo")
    try:
        studio.make("up", "up")
    finally:
        studio.remove_containers()


def shoot(folder: Path) -> Iterator[Path]:
    """Draw all images into the folder and yield their paths."""
    if reason := docker_unavailable_reason():
        raise SystemExit(f"no real Kafka: {reason}")
    with KafkaContainer() as kafka, tempfile.TemporaryDirectory() as work:
        studio = Studio(kafka, Path(work), folder)
        for part in (_make, _infer, _produce, _consume, _story):
            part(studio)
        yield from studio.written
