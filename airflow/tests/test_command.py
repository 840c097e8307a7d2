import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.tests.support.installed import Airflow
from airflow.tests.support.pipeline import environment
from airflow.tests.support.processes import find, is_running

from tests.support.cli import ROOT, run_cli
from tests.support.topics import Topics
from tests.support.waiting import wait_until

#: Runs in Airflow's Python: consumes until a timeout like Airflow's.
ENDLESS = """
import signal
from telco_airflow.command import run

def time_is_up(*_):
    raise TimeoutError("Airflow's own")

signal.signal(signal.SIGUSR1, time_is_up)
run("consume", "--mode", "streaming")
"""
FAILS = """
import sys
from telco_airflow.command import run
try:
    run("status")
except Exception as error:
    print(type(error).__name__, error)
"""


def test_command_stops_cleanly_when_airflow_times_out(
    kafka: str, topics: Topics, folder: Path, start_airflow: Callable[..., Any]
) -> None:
    """It leaves the group at once; a killed consumer would remain a member for ten seconds."""
    running = start_airflow(["python", "-c", ENDLESS], with_plugins(environment(kafka, topics, folder)))
    wait_until(lambda: members(kafka, topics) == 1, 120, "a consumer in the group")
    consumer = find("consume", topics)
    running.send_signal(signal.SIGUSR1)

    assert running.wait(60) == 1
    assert not is_running(consumer)
    assert members(kafka, topics) == 0


@pytest.mark.parametrize("variable", ["COMMAND", "FOLDER"])
def test_command_is_not_retried_when_the_program_is_missing(airflow: Airflow, tmp_path: Path, variable: str) -> None:
    env = {f"AIRFLOW_VAR_TELCO_STREAM_{variable}": str(tmp_path / "nowhere")}
    completed = airflow.run(["python", "-c", FAILS], with_plugins(env))
    assert "AirflowFailException" in completed.stdout
    assert "nowhere" in completed.stdout
    assert "No such file or directory; see the Variables telco_stream_*" in completed.stdout


def test_command_does_not_inherit_airflows_settings(airflow: Airflow, tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\nenv > {tmp_path}/seen\necho '{{}}'\n")
    program.chmod(0o755)
    secret = {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_SECRET": "hidden", "TELCO_STREAM_TOPICS__RAW": "shown"}
    airflow.run(["python", "-c", FAILS], with_plugins({"AIRFLOW_VAR_TELCO_STREAM_COMMAND": str(program), **secret}))
    seen = (tmp_path / "seen").read_text()
    assert "shown" in seen
    assert "AIRFLOW_" not in seen


def with_plugins(env: dict[str, str]) -> dict[str, str]:
    """Return the environment with the DAGs' modules on Python's path."""
    return {**env, "PYTHONPATH": str(ROOT / "airflow/plugins")}


def members(kafka: str, topics: Topics) -> int:
    """Return the number of consumers in the group."""
    completed = run_cli("status", "--ignore-not-found", "--output", "json", env=topics.env(kafka))
    assert completed.returncode == 0, completed.stderr
    return int(json.loads(completed.stdout)["members"])
