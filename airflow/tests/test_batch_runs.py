"""Runs of telco_batch with `airflow dags test`, checked by the resulting topics."""

import json
from pathlib import Path

from airflow.tests.support.files import customers
from airflow.tests.support.installed import Airflow
from airflow.tests.support.pipeline import environment, lag, ledger
from airflow.tests.support.webhook import Webhook
from confluent_kafka import Consumer, TopicPartition

from tests.support.topics import Topics, read_topic, send

ALL_SUCCEEDED = dict.fromkeys(["produce", "wait_for_rows", "consume", "summarise", "verify"], "success")


def test_batch_sends_and_answers_the_whole_file_on_each_run(
    airflow: Airflow, kafka: str, topics: Topics, folder: Path
) -> None:
    """The second run has three bad rows, which become dead letters and do not fail it."""
    good, poisoned = customers(folder / "good.csv", 200), customers(folder / "poisoned.csv", 200, poison=3)
    env = environment(kafka, topics, folder)

    first = airflow.test("telco_batch", env, data_path=str(good))
    assert first.tasks == ALL_SUCCEEDED
    assert ledger(kafka, topics) == (200, 200, 0)

    second = airflow.test("telco_batch", env, data_path=str(poisoned), artefacts="kept", top_k=4)
    assert second.tasks == ALL_SUCCEEDED
    assert set(second.tries.values()) == {1}
    assert ledger(kafka, topics) == (403, 400, 3)
    assert lag(kafka, topics) == 0
    letters = [letter.json() for letter in read_topic(kafka, topics.deadletter)]
    assert ["Contract" in letter["error_message"] for letter in letters] == [True] * 3


def test_batch_keeps_its_report_and_no_customer_in_airflow(
    airflow: Airflow, kafka: str, topics: Topics, folder: Path
) -> None:
    env = environment(
        kafka, topics, folder, DATA_PATH=str(customers(folder / "a.csv", 50)), ARTEFACTS="kept", TOP_K="4"
    )
    run = airflow.test("telco_batch", env)

    summary = airflow.result("telco_batch", run.run_id, "summarise")
    artefacts = Path(summary["artefacts"])
    assert artefacts.parent == folder / "kept"
    report = json.loads((artefacts / "report.json").read_text())
    assert (report["total"], len(report["top"])) == (50, 4)
    assert report["top"][0]["customerID"] in (artefacts / "report.html").read_text()
    assert summary["total"] == 50
    assert "top" not in summary
    assert airflow.mentions(report["top"][0]["customerID"]) == []
    assert json.loads((artefacts / "checkpoint.json").read_text())["of"]["run_id"] == run.run_id


def test_batch_fails_and_alerts_when_the_ledger_has_a_gap(
    airflow: Airflow, kafka: str, topics: Topics, folder: Path, webhook: Webhook
) -> None:
    """The group was moved past unanswered records, which a retry would not find."""
    send(kafka, topics.raw, [(None, b"{}", [])] * 5, partition=0)
    skip(kafka, topics, 5)
    env = environment(kafka, topics, folder, ALERT_URL=webhook.url)
    run = airflow.test("telco_batch", env, data_path=str(customers(folder / "a.csv", 50)))

    assert run.tasks == {**ALL_SUCCEEDED, "verify": "failed"}
    assert run.tries["verify"] == 1
    assert "5 of 55 inputs have no answer" in webhook.messages()["verify"]
    assert ledger(kafka, topics, exit_code=5) == (55, 50, 0)


def test_batch_fails_without_retry_when_the_file_is_refused(
    airflow: Airflow, kafka: str, topics: Topics, folder: Path, webhook: Webhook
) -> None:
    (folder / "broken.csv").write_text("customerID,gender\n1,Female\n")
    env = environment(kafka, topics, folder, ALERT_URL=webhook.url)
    run = airflow.test("telco_batch", env, data_path="broken.csv")

    assert (run.tasks["produce"], run.tries["produce"]) == ("failed", 1)
    assert run.tasks["verify"] == "upstream_failed"
    assert "exited with 5" in webhook.messages()["produce"]
    assert read_topic(kafka, topics.raw) == []


def skip(kafka: str, topics: Topics, offset: int) -> None:
    """Commit this offset of partition 0 for the group."""
    settings = {"bootstrap.servers": kafka, "group.id": topics.group, "enable.auto.commit": False}
    consumer = Consumer(settings)
    consumer.commit(offsets=[TopicPartition(topics.raw, 0, offset)], asynchronous=False)
    consumer.close()
