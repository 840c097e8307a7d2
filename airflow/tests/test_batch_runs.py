"""Whole runs of telco_batch by `airflow dags test`, judged by what stands in Kafka afterwards."""

import json
from pathlib import Path

from airflow.tests.support.files import customers
from airflow.tests.support.installed import Airflow
from airflow.tests.support.pipeline import environment, lag, ledger
from airflow.tests.support.webhook import Webhook
from confluent_kafka import Consumer, TopicPartition

from tests.support.topics import Topics, read_topic, send

WELL = dict.fromkeys(["produce", "wait_for_rows", "consume", "summarise", "verify"], "success")


def test_batch_sends_and_answers_the_whole_file_on_each_run(
    airflow: Airflow, kafka: str, topics: Topics, place: Path
) -> None:
    """The second run has three bad rows more, which become dead letters and are no reason to fail."""
    good, poisoned = customers(place / "good.csv", 200), customers(place / "poisoned.csv", 200, poison=3)
    env = environment(kafka, topics, place)

    first = airflow.test("telco_batch", env, data_path=str(good))
    assert first.tasks == WELL
    assert ledger(kafka, topics) == (200, 200, 0)

    second = airflow.test("telco_batch", env, data_path=str(poisoned), artefacts="kept", top_k=4)
    assert second.tasks == WELL
    assert set(second.tries.values()) == {1}
    assert ledger(kafka, topics) == (403, 400, 3)
    assert lag(kafka, topics) == 0
    letters = [letter.json() for letter in read_topic(kafka, topics.deadletter)]
    assert ["Contract" in letter["error_message"] for letter in letters] == [True] * 3


def test_batch_keeps_its_report_and_no_customer_in_airflow(
    airflow: Airflow, kafka: str, topics: Topics, place: Path
) -> None:
    env = environment(kafka, topics, place, DATA_PATH=str(customers(place / "a.csv", 50)), ARTEFACTS="kept", TOP_K="4")
    run = airflow.test("telco_batch", env)

    summary = airflow.result("telco_batch", run.run_id, "summarise")
    folder = Path(summary["artefacts"])
    assert folder.parent == place / "kept"
    report = json.loads((folder / "report.json").read_text())
    assert (report["total"], len(report["top"])) == (50, 4)
    assert report["top"][0]["customerID"] in (folder / "report.html").read_text()
    assert summary["total"] == 50
    assert "top" not in summary
    assert airflow.mentions(report["top"][0]["customerID"]) == []
    assert json.loads((folder / "checkpoint.json").read_text())["of"]["run_id"] == run.run_id


def test_batch_fails_and_alerts_when_the_ledger_has_a_gap(
    airflow: Airflow, kafka: str, topics: Topics, place: Path, webhook: Webhook
) -> None:
    """Somebody has moved the group past records that nobody answered; another try wouldn't find them."""
    send(kafka, topics.raw, [(None, b"{}", [])] * 5, partition=0)
    skip(kafka, topics, 5)
    env = environment(kafka, topics, place, ALERT_URL=webhook.url)
    run = airflow.test("telco_batch", env, data_path=str(customers(place / "a.csv", 50)))

    assert run.tasks == {**WELL, "verify": "failed"}
    assert run.tries["verify"] == 1
    assert "5 missing" in webhook.messages()["verify"]
    assert ledger(kafka, topics, exit_code=5) == (55, 50, 0)


def test_batch_fails_without_retry_when_the_file_is_refused(
    airflow: Airflow, kafka: str, topics: Topics, place: Path, webhook: Webhook
) -> None:
    (place / "broken.csv").write_text("customerID,gender\n1,Female\n")
    env = environment(kafka, topics, place, ALERT_URL=webhook.url)
    run = airflow.test("telco_batch", env, data_path="broken.csv")

    assert (run.tasks["produce"], run.tries["produce"]) == ("failed", 1)
    assert run.tasks["verify"] == "upstream_failed"
    assert "ended with 5" in webhook.messages()["produce"]
    assert read_topic(kafka, topics.raw) == []


def skip(kafka: str, topics: Topics, offset: int) -> None:
    """The group stands at this offset of partition 0."""
    settings = {"bootstrap.servers": kafka, "group.id": topics.group, "enable.auto.commit": False}
    consumer = Consumer(settings)
    consumer.commit(offsets=[TopicPartition(topics.raw, 0, offset)], asynchronous=False)
    consumer.close()
