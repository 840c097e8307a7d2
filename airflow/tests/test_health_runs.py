"""Runs of telco_streaming_health, checked by the states of the tasks and the alerts."""

import json
from collections.abc import Callable
from pathlib import Path

from airflow.tests.support.installed import Airflow
from airflow.tests.support.pipeline import environment
from airflow.tests.support.webhook import Webhook

from tests.support.cli import RunningCli, run_cli
from tests.support.ports import free_port
from tests.support.topics import Topics, read_topic, send
from tests.support.waiting import wait_until

ALL = ["broker_and_topics", "lag", "newest_prediction", "dead_letters", "readyz"]


def test_health_checks_pass_when_the_stream_is_healthy(
    airflow: Airflow, kafka: str, topics: Topics, folder: Path, webhook: Webhook, start_cli: Callable[..., RunningCli]
) -> None:
    """With a running consumer that is ready."""
    port = free_port()
    start_cli("consume", "--mode", "streaming", "--metrics-port", str(port), env=topics.env(kafka))
    stream(kafka, topics, 30)
    wait_until(lambda: len(read_topic(kafka, topics.predictions)) == 30, 30, "30 predictions")
    env = environment(kafka, topics, folder, ALERT_URL=webhook.url, MAX_LAG="0")
    run = airflow.test("telco_streaming_health", env, readyz_url=f"http://127.0.0.1:{port}/readyz")

    assert run.tasks == dict.fromkeys(ALL, "success")
    assert webhook.alerts == []


def test_failed_health_check_names_its_value_and_limit(
    airflow: Airflow, kafka: str, topics: Topics, folder: Path, webhook: Webhook
) -> None:
    """Lag 30, 2 dead letters of 8 answers, a newest prediction older than half a second, and no consumer."""
    send(kafka, topics.raw, [("a", b"{}", []), ("b", b"not JSON", [])])
    stream(kafka, topics, 6)
    completed = run_cli("consume", "--max-messages", "8", env=topics.env(kafka))
    assert completed.returncode == 0, completed.stderr
    stream(kafka, topics, 30)
    unused = f"http://user:secret@127.0.0.1:{free_port()}/readyz"
    limits = {"max_lag": 29, "max_age_seconds": 0.5, "max_dead_letter_share": 0.2, "readyz_url": unused}
    run = airflow.test("telco_streaming_health", environment(kafka, topics, folder, ALERT_URL=webhook.url), **limits)

    assert run.state == "failed"
    assert run.tasks == {**dict.fromkeys(ALL, "failed"), "broker_and_topics": "success"}
    messages = webhook.messages()
    assert messages["lag"] == f"The lag of group {topics.group} is 30 records, above 29"
    assert messages["newest_prediction"].endswith("s old, above 0.5 s")
    assert messages["dead_letters"].startswith(
        "2 of the 8 answers of the last 60 min are dead letters: 25.0%, above 20.0%"
    )
    assert "/readyz does not answer" in messages["readyz"]
    assert "secret" not in json.dumps(webhook.alerts)
    assert {alert["run_id"] for alert in webhook.alerts} == {run.run_id}


def test_health_alerts_once_when_the_broker_is_down(
    airflow: Airflow, topics: Topics, folder: Path, webhook: Webhook
) -> None:
    unused = f"127.0.0.1:{free_port()}"
    run = airflow.test("telco_streaming_health", environment(unused, topics, folder, ALERT_URL=webhook.url))

    below = dict.fromkeys(["lag", "newest_prediction", "dead_letters"], "upstream_failed")
    assert run.tasks == {"broker_and_topics": "failed", **below, "readyz": "skipped"}
    assert list(webhook.messages()) == ["broker_and_topics"]
    assert f"exited with 3: Kafka at {unused} doesn't answer within 10 s" in webhook.messages()["broker_and_topics"]


def stream(kafka: str, topics: Topics, rows: int) -> None:
    """Send `rows` customers."""
    completed = run_cli(
        *("produce", "--mode", "streaming", "--events-per-sec", "0", "--limit", str(rows)), env=topics.env(kafka)
    )
    assert completed.returncode == 0, completed.stderr
