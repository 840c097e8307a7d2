import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest
from airflow.tests.support.installed import Airflow

from tests.support.cli import ROOT

#: Files that Python opens to import modules.
CODE = re.compile(r"open .*\.(py|pyc|so)")


@pytest.fixture(scope="module")
def bag(airflow: Airflow) -> Any:
    """Return the description of Airflow's DagBag."""
    completed = airflow.run(
        ["python", str(ROOT / "airflow/tests/support/dag_bag.py")], {"PYTHONDONTWRITEBYTECODE": "1"}
    )
    assert completed.returncode == 0, completed.stdout
    return json.loads(completed.stdout.splitlines()[-1])


def test_dags_import_in_under_two_seconds(bag: Any) -> None:
    assert bag["import_errors"] == {}
    assert len(bag["seconds"]) == 2
    assert sum(bag["seconds"].values()) < 2


def test_dags_import_without_a_warning(bag: Any) -> None:
    assert (bag["warnings"], bag["captured"]) == ([], {})


def test_dag_import_opens_no_file_socket_or_process(bag: Any) -> None:
    assert [event for event in bag["events"] if not CODE.fullmatch(event)] == []
    assert any("telco_batch" in event for event in bag["events"]), "no event was recorded"


def test_batch_tasks_run_in_order(bag: Any) -> None:
    order = ["produce", "wait_for_rows", "consume", "summarise", "verify"]
    edges = {tuple(edge) for edge in bag["edges"]["telco_batch"]}
    assert edges == {*itertools.pairwise(order), ("produce", "consume")}


def test_only_the_metrics_check_runs_without_a_broker(bag: Any) -> None:
    edges = bag["edges"]["telco_streaming_health"]
    assert edges == [["broker_and_topics", task] for task in ("dead_letters", "lag", "newest_prediction")]
    assert set(bag["dags"]["telco_streaming_health"]) == {"broker_and_topics", "readyz", *(down for _, down in edges)}


def test_each_dag_parameter_has_a_title_and_a_type(bag: Any) -> None:
    schemas = [schema for params in bag["params"].values() for schema in params.values()]
    assert len(schemas) == 10
    assert all(schema["title"] and "null" in schema["type"] for schema in schemas)


def test_constraints_are_exact_and_cover_the_requirements() -> None:
    lines = [line for line in _lines("constraints.txt") if not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+", line) for line in lines)
    required = [line for line in _lines("requirements.txt") if not line.startswith("#")]
    assert set(required) <= set(lines)


def _lines(name: str) -> list[str]:
    return Path(ROOT / "airflow" / name).read_text().splitlines()
