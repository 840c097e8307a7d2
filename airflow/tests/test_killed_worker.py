"""A worker that is killed under a real scheduler and leaves its command running."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from airflow.tests.support.files import many_customers
from airflow.tests.support.installed import Airflow
from airflow.tests.support.offsets import OffsetReader
from airflow.tests.support.pipeline import environment, ledger
from airflow.tests.support.processes import find, parent
from airflow.tests.support.standalone import Standalone

from tests.support.topics import Topics
from tests.support.waiting import wait_until

ROWS = 40_000


@pytest.mark.timeout(600)
def test_batch_is_correct_when_an_airflow_worker_is_killed(
    airflow: Airflow, kafka: str, topics: Topics, folder: Path
) -> None:
    """The orphaned consumer continues during the retry; both share the group, and each record is answered once."""
    env = environment(kafka, topics, folder) | {"AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20"}
    path = many_customers(folder / "many.csv", ROWS)
    with Standalone(airflow, env) as standalone, OffsetReader(kafka) as offset_reader:
        standalone.start_run("telco_batch", "killed", data_path=str(path), window_size=50)
        wait_until(lambda: offset_reader.readable(topics.predictions) > 0, 180, "the first answers")
        orphan = find("consume", topics)
        os.kill(parent(orphan), signal.SIGKILL)
        assert offset_reader.readable(topics.predictions) < ROWS

        assert standalone.wait_for_end("telco_batch", "killed") == "success"
        tries: Any = standalone.request("GET", "dags/telco_batch/dagRuns/killed/taskInstances/consume")
    assert tries["try_number"] == 2
    assert ledger(kafka, topics) == (ROWS, ROWS, 0)
