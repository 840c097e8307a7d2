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
    """Airflow with a home and a database of this session's own."""
    if not (BIN / "airflow").is_file():
        if os.environ.get("CI"):
            pytest.fail("CI is set and Airflow is not installed; make airflow-test does it")
        pytest.skip("Airflow is not installed; make airflow-test does it")
    airflow = Airflow(tmp_path_factory.mktemp("airflow"))
    airflow.migrate()
    return airflow


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    """A server that takes alerts."""
    with Webhook() as webhook:
        yield webhook


@pytest.fixture
def beside(airflow: Airflow) -> Iterator[Callable[..., Any]]:
    """Starts a program of Airflow's beside the test: `beside(command, env)`; none outlives the test."""
    running: list[Any] = []

    def start(*args: Any) -> Any:
        running.append(airflow.start(*args))
        return running[-1]

    yield start
    for one in running:
        one.kill()
        one.wait()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """The folder where the DAGs run `telco-stream`."""
    return tmp_path
