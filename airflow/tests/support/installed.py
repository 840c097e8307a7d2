"""Airflow in its own environment, with a home of the tests' own: a process, and the database that it leaves behind."""

import json
import os
import shlex
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.cli import ROOT
from tests.support.waiting import wait_until

BIN = ROOT / ".airflow/venv/bin"
#: The DAGs call `telco-stream` as a shell would; this one is the checkout's.
PROGRAM = shlex.join(["env", f"PYTHONPATH={ROOT}", sys.executable, "-m", "telco_stream"])
#: Seconds for one run of a DAG; a run of the tests' size takes 15 to 60.
_PATIENCE = 280


@dataclass(frozen=True, slots=True)
class Run:
    """A run as Airflow's database tells it; tasks are told by their last state and by how often they were tried."""

    run_id: str
    state: str
    tasks: dict[str, str]
    tries: dict[str, int]


class Airflow:
    """Programs of Airflow's environment, with this home."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._env = {
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "airflow/dags"),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "airflow/plugins"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY": "1",
            "AIRFLOW_VAR_TELCO_STREAM_COMMAND": PROGRAM,
        }

    def migrate(self) -> None:
        """Its database stands."""
        done = self.run(["airflow", "db", "migrate"])
        assert done.returncode == 0, done.stdout

    def run(
        self, command: list[str], env: Mapping[str, str] | None = None, timeout: float = _PATIENCE
    ) -> subprocess.CompletedProcess[str]:
        """A finished program; stdout holds both of its streams."""
        running = self.start(command, env, subprocess.PIPE)
        try:
            stdout, _ = running.communicate(timeout=timeout)
        finally:
            running.kill()
            running.wait()
        return subprocess.CompletedProcess(command, running.returncode, stdout)

    def start(
        self,
        command: list[str],
        env: Mapping[str, str] | None = None,
        stdout: Any = subprocess.DEVNULL,
        *,
        group: bool = False,
    ) -> "subprocess.Popen[str]":
        """A program that runs beside the test, in a group of its own where it starts others."""
        words = [str(BIN / command[0]), *command[1:]]
        return subprocess.Popen(
            words,
            env=self.env(env),
            cwd=self.home,
            stdout=stdout,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=group,
        )

    def env(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """The environment of its programs; Python's own settings for this one are none of theirs."""
        here = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
        return {**here, "PATH": f"{BIN}{os.pathsep}{here['PATH']}", **self._env, **(extra or {})}

    def test(self, dag: str, env: Mapping[str, str], **conf: Any) -> Run:
        """A finished `airflow dags test`, its parameters as in the form of Airflow's pages."""
        done = self.run(self.test_command(dag, conf), env)
        run = self.newest(dag)
        assert run is not None, done.stdout
        assert done.returncode == (0 if run.state == "success" else 1), done.stdout
        return run

    @staticmethod
    def test_command(dag: str, conf: Mapping[str, Any]) -> list[str]:
        return ["airflow", "dags", "test", dag, "--conf", json.dumps(conf)]

    def newest(self, dag: str) -> Run | None:
        """The newest run of this DAG."""
        found = self._ask("SELECT run_id, state FROM dag_run WHERE dag_id = ? ORDER BY id DESC LIMIT 1", dag)
        if not found:
            return None
        run_id, state = found[0]
        rows = self._ask(
            "SELECT task_id, state, try_number FROM task_instance WHERE dag_id = ? AND run_id = ?", dag, run_id
        )
        return Run(run_id, state, {row[0]: row[1] for row in rows}, {row[0]: row[2] for row in rows})

    def state(self, dag: str, run_id: str) -> str | None:
        """The state of this run; None where there is none."""
        found = self._ask("SELECT state FROM dag_run WHERE dag_id = ? AND run_id = ?", dag, run_id)
        return found[0][0] if found else None

    def wait_for_try(self, dag: str, after: str | None, task: str, number: int) -> None:
        """A run newer than `after` tries this task for the `number`th time."""

        def is_tried() -> bool:
            run = self.newest(dag)
            return run is not None and run.run_id != after and run.tries.get(task, 0) >= number

        wait_until(is_tried, 120, f"try {number} of {task}")

    def result(self, dag: str, run_id: str, task: str) -> Any:
        """What the task has returned, as Airflow keeps it; None if nothing."""
        found = self._ask(
            "SELECT value FROM xcom WHERE dag_id = ? AND run_id = ? AND task_id = ? AND key = 'return_value'",
            dag,
            run_id,
            task,
        )
        return json.loads(found[0][0]) if found else None

    def mentions(self, text: str) -> list[str]:
        """The tables of its database that hold this text anywhere."""
        tables = [name for (name,) in self._ask("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return [name for name in tables if any(text in str(row) for row in self._ask(f'SELECT * FROM "{name}"'))]

    def _ask(self, question: str, *values: str) -> list[Any]:
        database = sqlite3.connect(f"file:{self.home / 'airflow.db'}?mode=ro", uri=True, timeout=30)
        try:
            return database.execute(question, values).fetchall()
        finally:
            database.close()
