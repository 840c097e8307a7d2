"""A worker that is killed under a real scheduler: nobody stops the command that it has left behind."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from airflow.tests.support.files import many_customers
from airflow.tests.support.installed import Airflow
from airflow.tests.support.pipeline import environment, ledger
from airflow.tests.support.processes import find, parent
from airflow.tests.support.standalone import Standalone
from airflow.tests.support.watching import Watcher

from tests.support.topics import Topics
from tests.support.waiting import wait_until

ROWS = 40_000


@pytest.mark.timeout(600)
def test_batch_is_correct_when_an_airflow_worker_is_killed(
    airflow: Airflow, kafka: str, topics: Topics, place: Path
) -> None:
    """While the scheduler tries again, the orphan goes on: two consumers of one group, each record answered once."""
    env = environment(kafka, topics, place) | {"AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20"}
    path = many_customers(place / "many.csv", ROWS)
    with Standalone(airflow, env) as standalone, Watcher(kafka) as watcher:
        standalone.start_run("telco_batch", "killed", data_path=str(path), window_size=50)
        wait_until(lambda: watcher.readable(topics.predictions) > 0, 180, "the first answers")
        orphan = find("consume", topics)
        os.kill(parent(orphan), signal.SIGKILL)
        assert watcher.readable(topics.predictions) < ROWS

        assert standalone.wait_for_end("telco_batch", "killed") == "success"
        tries: Any = standalone.ask("GET", "dags/telco_batch/dagRuns/killed/taskInstances/consume")
    assert tries["try_number"] == 2
    assert ledger(kafka, topics) == (ROWS, ROWS, 0)
