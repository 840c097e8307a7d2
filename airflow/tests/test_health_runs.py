"""Whole runs of telco_streaming_health, judged by what the tasks became and what the alert hook got."""

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
    airflow: Airflow, kafka: str, topics: Topics, place: Path, webhook: Webhook, start_cli: Callable[..., RunningCli]
) -> None:
    """With a consumer at work that says itself that it is ready."""
    port = free_port()
    start_cli("consume", "--mode", "streaming", "--metrics-port", str(port), env=topics.env(kafka))
    stream(kafka, topics, 30)
    wait_until(lambda: len(read_topic(kafka, topics.predictions)) == 30, 30, "30 predictions")
    env = environment(kafka, topics, place, ALERT_URL=webhook.url, MAX_LAG="0")
    run = airflow.test("telco_streaming_health", env, readyz_url=f"http://127.0.0.1:{port}/readyz")

    assert run.tasks == dict.fromkeys(ALL, "success")
    assert webhook.alerts == []


def test_failed_health_check_names_its_value_and_limit(
    airflow: Airflow, kafka: str, topics: Topics, place: Path, webhook: Webhook
) -> None:
    """30 customers wait, 2 of 8 answers are dead letters, the newest is older than half a second, nobody is ready."""
    send(kafka, topics.raw, [("a", b"{}", []), ("b", b"not JSON", [])])
    stream(kafka, topics, 6)
    done = run_cli("consume", "--max-messages", "8", env=topics.env(kafka))
    assert done.returncode == 0, done.stderr
    stream(kafka, topics, 30)
    nobody = f"http://user:secret@127.0.0.1:{free_port()}/readyz"
    limits = {"max_lag": 29, "max_age_seconds": 0.5, "max_dead_letter_share": 0.2, "readyz_url": nobody}
    run = airflow.test("telco_streaming_health", environment(kafka, topics, place, ALERT_URL=webhook.url), **limits)

    assert run.state == "failed"
    assert run.tasks == {**dict.fromkeys(ALL, "failed"), "broker_and_topics": "success"}
    told = webhook.messages()
    assert told["lag"] == f"The lag of group {topics.group} is 30 records, above 29"
    assert told["newest_prediction"].endswith("s old, above 0.5 s")
    assert told["dead_letters"].startswith("2 of the 8 answers of the last 60 min are dead letters: 25.0%, above 20.0%")
    assert "/readyz doesn't answer" in told["readyz"]
    assert "secret" not in json.dumps(webhook.alerts)
    assert {alert["run_id"] for alert in webhook.alerts} == {run.run_id}


def test_health_alerts_once_when_the_broker_is_down(
    airflow: Airflow, topics: Topics, place: Path, webhook: Webhook
) -> None:
    nobody = f"127.0.0.1:{free_port()}"
    run = airflow.test("telco_streaming_health", environment(nobody, topics, place, ALERT_URL=webhook.url))

    below = dict.fromkeys(["lag", "newest_prediction", "dead_letters"], "upstream_failed")
    assert run.tasks == {"broker_and_topics": "failed", **below, "readyz": "skipped"}
    assert list(webhook.messages()) == ["broker_and_topics"]
    assert f"ended with 3: Kafka at {nobody} doesn't answer within 10 s" in webhook.messages()["broker_and_topics"]


def stream(kafka: str, topics: Topics, rows: int) -> None:
    """So many customers have been sent."""
    done = run_cli(
        *("produce", "--mode", "streaming", "--events-per-sec", "0", "--limit", str(rows)), env=topics.env(kafka)
    )
    assert done.returncode == 0, done.stderr
