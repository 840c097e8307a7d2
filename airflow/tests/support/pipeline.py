"""The state of the pipeline in Kafka, independent of Airflow."""

import json
from pathlib import Path
from typing import Any

from tests.support.cli import run_cli
from tests.support.topics import Topics


def environment(kafka: str, topics: Topics, folder: Path, **more: str) -> dict[str, str]:
    """Return the environment of a deployment: settings of the commands and Variables of the DAGs."""
    variables = {"FOLDER": str(folder), **more}
    return topics.env(kafka) | {f"AIRFLOW_VAR_TELCO_STREAM_{name}": value for name, value in variables.items()}


def ledger(kafka: str, topics: Topics, exit_code: int = 0) -> tuple[int, int, int]:
    """Return inputs, predictions and dead letters of `verify`; check its exit code and that nothing is duplicated."""
    result = _run("verify", kafka, topics, exit_code)
    assert (result["duplicated"], result["unexplained"], result["expired"]) == (0, 0, 0), result
    assert exit_code or not result["missing"], result
    return result["inputs"], result["predicted"], result["dead_lettered"]


def lag(kafka: str, topics: Topics) -> int:
    """Return the lag of the group in records."""
    return int(_run("status", kafka, topics, 0)["lag"])


def _run(command: str, kafka: str, topics: Topics, exit_code: int) -> Any:
    run = run_cli(command, "--output", "json", env=topics.env(kafka))
    assert run.returncode == exit_code, run.stderr
    return json.loads(run.stdout)
