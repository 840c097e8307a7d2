"""The pictures of the terminal: the pipeline on a real Kafka, and the story that opens README."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from docs.screenshots.shots import BROKEN, TOPICS, Studio
from docs.screenshots.story import story
from tests.support.kafka_container import KafkaContainer, docker_unavailable_reason

_STREAM = ("produce", "--mode", "streaming", "--seed", "7", "--events-per-sec")
_ANSWERS = ("--topic", TOPICS.predictions, "--from-beginning", "--max-messages", "3")


def _fill(studio: Studio) -> None:
    """What goes in: the topics, a stream, a file, and three records that no model should see."""
    studio.quiet("sample", "--rows", "20000", "--seed", "7", "--out", "customers.csv")
    studio.shot("topics-init", "topics", "init")
    studio.live("produce-live", *_STREAM, "500", "--limit", "9000", until=["0:00:04 left"])
    studio.shot("produce-batch", "produce", "--mode", "batch", "--data-path", "customers.csv")
    studio.send(BROKEN)


def _answer(studio: Studio) -> None:
    """What comes out."""
    studio.shot("consume-batch", "consume", "--mode", "batch", "--window-size", "5000", "--top-k", "5")
    with studio.meanwhile(*_STREAM, "1500"):
        studio.send(BROKEN)
        studio.live("consume-live", "consume", until=["Fiber optic", "0:00:14 ──"])
    studio.quiet("consume", "--mode", "batch")
    server = ("--bootstrap-server", "$BROKER")
    studio.inside("messages", "The predictions topic", "kafka-console-consumer.sh", *server, *_ANSWERS)
    studio.shot("report", "report", "--top-k", "5")
    studio.shot("dlq-list", "dlq", "list")
    studio.shot("status", "status")
    studio.shot("verify", "verify")


def _tell(studio: Studio) -> None:
    """The picture that opens README."""
    answers = {one["customerID"]: one for one in studio.records(TOPICS.predictions) if one["prediction"] == "Yes"}
    answer = max(answers.values(), key=lambda one: (one["churn_probability"], one["customerID"]))
    raw = {one["customerID"]: one for one in studio.customers()}
    letter = next(one for one in studio.records(TOPICS.deadletter) if one["error_type"] == "json")
    studio.keep("story", story(raw[answer["customerID"]], answer, letter, studio.quiet("verify")))


def shoot(folder: Path) -> Iterator[Path]:
    """Draw all of them into the folder."""
    if reason := docker_unavailable_reason():
        raise SystemExit(f"no real Kafka: {reason}")
    with KafkaContainer() as kafka, tempfile.TemporaryDirectory() as desk:
        studio = Studio(kafka, Path(desk), folder)
        for part in (_fill, _answer, _tell):
            part(studio)
        yield from studio.kept
