"""Faults during a run of telco_batch: the topics are the same as without them."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from airflow.tests.support.files import customers, many_customers
from airflow.tests.support.installed import Airflow
from airflow.tests.support.offsets import OffsetReader
from airflow.tests.support.pipeline import environment, ledger
from airflow.tests.support.processes import find, is_running
from airflow.tests.support.webhook import Webhook

from tests.support.kafka_container import KafkaContainer
from tests.support.topics import Topics, create_topics, fresh_topics, read_topic
from tests.support.waiting import wait_until

ROWS = 60_000


def test_batch_is_correct_when_its_commands_are_killed(
    airflow: Airflow, kafka: str, topics: Topics, folder: Path, start_airflow: Callable[..., Any]
) -> None:
    """SIGKILL during produce and SIGTERM to the task during consume; both tasks are retried."""
    env = environment(kafka, topics, folder) | {"TELCO_STREAM_PRODUCER__BATCH_SIZE": "20"}
    conf = {"data_path": str(many_customers(folder / "many.csv", ROWS)), "window_size": 100}
    running = start_airflow(airflow.test_command("telco_batch", conf), env)

    with OffsetReader(kafka) as offset_reader:
        wait_until(lambda: offset_reader.readable(topics.raw) > 0, 120, "rows that can be read")
        os.kill(find("produce", topics), signal.SIGKILL)
        assert offset_reader.readable(topics.raw) < ROWS

        wait_until(lambda: offset_reader.readable(topics.predictions) > 0, 120, "the first answers")
        consumer = find("consume", topics)
        running.send_signal(signal.SIGTERM)
        wait_until(lambda: not is_running(consumer), 15, "the end of the consumer")
        assert offset_reader.readable(topics.predictions) < ROWS

    assert running.wait(240) == 0
    run = airflow.newest("telco_batch")
    assert run is not None
    assert (run.state, run.tries["produce"], run.tries["consume"]) == ("success", 2, 2)
    assert airflow.result("telco_batch", run.run_id, "produce")["resumed_from"] > 0
    assert ledger(kafka, topics) == (ROWS, ROWS, 0)


def test_batch_retries_then_alerts_when_the_broker_is_down(
    airflow: Airflow, own_kafka: KafkaContainer, folder: Path, webhook: Webhook, start_airflow: Callable[..., Any]
) -> None:
    """The run succeeds if the broker is up before the second try, and else fails without sending anything."""
    topics = fresh_topics()
    create_topics(own_kafka.bootstrap, topics)
    env = environment(own_kafka.bootstrap, topics, folder, ALERT_URL=webhook.url)
    conf = {"data_path": str(customers(folder / "a.csv", 50))}

    own_kafka.kill()
    before = airflow.newest("telco_batch")
    running = start_airflow(airflow.test_command("telco_batch", conf), env)
    airflow.wait_for_try("telco_batch", before.run_id if before else None, "produce", 2)
    own_kafka.start_again()
    assert running.wait(200) == 0
    assert ledger(own_kafka.bootstrap, topics) == (50, 50, 0)
    assert webhook.alerts == []

    own_kafka.kill()
    run = airflow.test("telco_batch", env, **conf)
    assert (run.tasks["produce"], run.tries["produce"]) == ("failed", 3)
    assert "exited with 3: Kafka at" in webhook.messages()["produce"]
    own_kafka.start_again()
    assert len(read_topic(own_kafka.bootstrap, topics.raw)) == 50
