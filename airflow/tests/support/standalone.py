"""Airflow with scheduler, workers, triggerer, DAG processor and web server, on a local port."""

import json
import os
import signal
import subprocess
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from typing import Any, Self
from urllib.error import URLError
from urllib.request import Request, urlopen

from airflow.tests.support.installed import Airflow

from tests.support.ports import free_port
from tests.support.waiting import wait_until

#: Time limit of the start in seconds, for a busy machine.
_START_TIMEOUT = 240


class Standalone:
    """A context manager that runs `airflow standalone`; every local user is its administrator."""

    def __init__(self, airflow: Airflow, env: Mapping[str, str]) -> None:
        port = free_port()
        #: Address of the web server.
        self.url = f"http://127.0.0.1:{port}"
        self._airflow = airflow
        self._env = {
            **env,
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(port),
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "AIRFLOW__CORE__PARALLELISM": "2",
            # Without scheduled runs; otherwise each DAG would start with one.
            "AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE": "False",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            # For a busy machine: after 5 s Airflow would fail the task.
            "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "120",
            "AIRFLOW__WORKERS__MAX_FAILED_HEARTBEATS": "20",
            "AIRFLOW__DAG_PROCESSOR__DAG_FILE_PROCESSOR_TIMEOUT": "300",
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(free_port()),
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(free_port()),
        }
        self._token = ""

    def __enter__(self) -> Self:
        out = self._airflow.home / "standalone.log"
        with out.open("w") as file:
            self._process = self._airflow.start(["airflow", "standalone"], self._env, file, group=True)
        with ExitStack() as stack:
            stack.callback(self._end)
            wait_until(self._is_healthy, _START_TIMEOUT, f"Airflow ({out})")
            stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def _end(self) -> None:
        os.killpg(self._process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(30)
        with suppress(ProcessLookupError):  # its child processes end later
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def start_run(self, dag: str, run_id: str, **conf: Any) -> None:
        """Unpause the DAG and queue a run with this ID."""
        self.request("PATCH", f"dags/{dag}", {"is_paused": False})
        self.request("POST", f"dags/{dag}/dagRuns", {"dag_run_id": run_id, "logical_date": None, "conf": conf})

    def wait_for_end(self, dag: str, run_id: str, deadline: float = 400) -> str:
        """Wait for the end of a run and return its state."""

        def end() -> str | None:
            state = self._airflow.state(dag, run_id)
            return state if state in {"success", "failed"} else None

        return wait_until(end, deadline, f"the end of {run_id}") or ""

    def request(self, method: str, path: str, content: Any = None) -> Any:
        """Send a request to the REST API and return the response."""
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        body = None if content is None else json.dumps(content).encode()
        with urlopen(Request(f"{self.url}/api/v2/{path}", body, headers, method=method), timeout=120) as answer:
            return json.load(answer)

    def _is_healthy(self) -> bool:
        assert self._process.poll() is None, "Airflow has ended"
        try:
            with urlopen(f"{self.url}/auth/token", timeout=30) as answer:
                self._token = json.load(answer)["access_token"]
            parts = self.request("GET", "monitor/health")
            known = self.request("GET", "dags?limit=10")["total_entries"]
        except (URLError, OSError):
            return False
        return known == 2 and all(parts[part]["status"] == "healthy" for part in ("scheduler", "triggerer"))
