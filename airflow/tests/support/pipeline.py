"""The pipeline as it stands in Kafka, whatever Airflow says of it."""

import json
from pathlib import Path
from typing import Any

from tests.support.cli import run_cli
from tests.support.topics import Topics


def environment(kafka: str, topics: Topics, place: Path, **more: str) -> dict[str, str]:
    """What a deployment sets: the same settings as for the command line, and the Variables of the DAGs."""
    variables = {"FOLDER": str(place), **more}
    return topics.env(kafka) | {f"AIRFLOW_VAR_TELCO_STREAM_{name}": value for name, value in variables.items()}


def ledger(kafka: str, topics: Topics, exit_code: int = 0) -> tuple[int, int, int]:
    """Inputs, predictions and dead letters by `verify`, which ends with this code; nothing is there twice."""
    found = _ask("verify", kafka, topics, exit_code)
    assert (found["duplicated"], found["unexplained"], found["expired"]) == (0, 0, 0), found
    assert exit_code or not found["missing"], found
    return found["inputs"], found["predicted"], found["dead_lettered"]


def lag(kafka: str, topics: Topics) -> int:
    """Records that the group has yet to answer."""
    return int(_ask("status", kafka, topics, 0)["lag"])


def _ask(command: str, kafka: str, topics: Topics, exit_code: int) -> Any:
    done = run_cli(command, "--output", "json", env=topics.env(kafka))
    assert done.returncode == exit_code, done.stderr
    return json.loads(done.stdout)
