"""Airflow in its own environment with a home folder for the tests: its programs and its database."""

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
#: The `telco-stream` of this checkout, as a shell command.
PROGRAM = shlex.join(["env", f"PYTHONPATH={ROOT}", sys.executable, "-m", "telco_stream"])
#: Time limit of a DAG run in seconds; the tests' runs take 15 to 60.
_TIMEOUT = 280


@dataclass(frozen=True, slots=True)
class Run:
    """A DAG run in Airflow's database, with the last state and the number of tries of each task."""

    run_id: str
    state: str
    tasks: dict[str, str]
    tries: dict[str, int]


class Airflow:
    """Runs Airflow's programs with this home folder, and reads its database."""

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
        """Create the database."""
        completed = self.run(["airflow", "db", "migrate"])
        assert completed.returncode == 0, completed.stdout

    def run(
        self, command: list[str], env: Mapping[str, str] | None = None, timeout: float = _TIMEOUT
    ) -> subprocess.CompletedProcess[str]:
        """Run a program to its end; stdout holds both streams."""
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
        """Start a program in the background; with `group` in its own process group."""
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
        """Return the environment of Airflow's programs, without this Python's settings."""
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))
        }
        return {**inherited, "PATH": f"{BIN}{os.pathsep}{inherited['PATH']}", **self._env, **(extra or {})}

    def test(self, dag: str, env: Mapping[str, str], **conf: Any) -> Run:
        """Run `airflow dags test` with these parameters."""
        completed = self.run(self.test_command(dag, conf), env)
        run = self.newest(dag)
        assert run is not None, completed.stdout
        assert completed.returncode == (0 if run.state == "success" else 1), completed.stdout
        return run

    @staticmethod
    def test_command(dag: str, conf: Mapping[str, Any]) -> list[str]:
        return ["airflow", "dags", "test", dag, "--conf", json.dumps(conf)]

    def newest(self, dag: str) -> Run | None:
        """Return the newest run of a DAG, or None."""
        runs = self._query("SELECT run_id, state FROM dag_run WHERE dag_id = ? ORDER BY id DESC LIMIT 1", dag)
        if not runs:
            return None
        run_id, state = runs[0]
        rows = self._query(
            "SELECT task_id, state, try_number FROM task_instance WHERE dag_id = ? AND run_id = ?", dag, run_id
        )
        return Run(run_id, state, {row[0]: row[1] for row in rows}, {row[0]: row[2] for row in rows})

    def state(self, dag: str, run_id: str) -> str | None:
        """Return the state of a run, or None."""
        rows = self._query("SELECT state FROM dag_run WHERE dag_id = ? AND run_id = ?", dag, run_id)
        return rows[0][0] if rows else None

    def wait_for_try(self, dag: str, after: str | None, task: str, number: int) -> None:
        """Wait until a run newer than `after` tries the task for the `number`th time."""

        def is_tried() -> bool:
            run = self.newest(dag)
            return run is not None and run.run_id != after and run.tries.get(task, 0) >= number

        wait_until(is_tried, 120, f"try {number} of {task}")

    def result(self, dag: str, run_id: str, task: str) -> Any:
        """Return the stored result of a task, or None."""
        rows = self._query(
            "SELECT value FROM xcom WHERE dag_id = ? AND run_id = ? AND task_id = ? AND key = 'return_value'",
            dag,
            run_id,
            task,
        )
        return json.loads(rows[0][0]) if rows else None

    def mentions(self, text: str) -> list[str]:
        """Return the tables of the database that contain this text."""
        tables = [name for (name,) in self._query("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return [name for name in tables if any(text in str(row) for row in self._query(f'SELECT * FROM "{name}"'))]

    def _query(self, sql: str, *values: str) -> list[Any]:
        database = sqlite3.connect(f"file:{self.home / 'airflow.db'}?mode=ro", uri=True, timeout=30)
        try:
            return database.execute(sql, values).fetchall()
        finally:
            database.close()
