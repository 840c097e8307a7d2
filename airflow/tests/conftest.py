import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.tests.support.installed import BIN, Airflow
from airflow.tests.support.webhook import Webhook

pytest_plugins = ["tests.conftest"]


@pytest.fixture(scope="session")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Airflow:
    """Return Airflow with a home folder and a database for this session."""
    if not (BIN / "airflow").is_file():
        if os.environ.get("CI"):
            pytest.fail("CI is set, but Airflow is not installed; run make airflow-test")
        pytest.skip("Airflow is not installed; run make airflow-test")
    airflow = Airflow(tmp_path_factory.mktemp("airflow"))
    airflow.migrate()
    return airflow


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    """Yield a server that receives alerts."""
    with Webhook() as webhook:
        yield webhook


@pytest.fixture
def start_airflow(airflow: Airflow) -> Iterator[Callable[..., Any]]:
    """Return `start_airflow(command, env)`, which starts a program of Airflow; it is killed after the test."""
    running: list[Any] = []

    def start(*args: Any) -> Any:
        running.append(airflow.start(*args))
        return running[-1]

    yield start
    for process in running:
        process.kill()
        process.wait()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the folder where the DAGs run `telco-stream`."""
    return tmp_path
