"""Installation and containers with make, using programs that record their calls instead of installing or running."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.cli import ROOT
from tests.support.scripts import write_executable

RECORD = 'echo "$(basename "$0") $*" >>"$CALLS"'
#: A `docker` whose containers are healthy; a batch ends with BATCH_EXIT.
DOCKER = f"""
case "$*" in
  "compose version") ;;
  inspect*) echo healthy ;;
  *" run "*) {RECORD} "$BATCH_FILE"; echo "Error: /data/customers.csv, line 2" >&2; exit "$BATCH_EXIT" ;;
  *) {RECORD} ;;
esac
"""
COMPOSE = "docker compose -f compose/compose.yaml"
#: A `python` that creates environments, and installs a recording uv unless NO_UV is set.
PYTHON = f"""
case "$*" in
  "-m venv .venv") mkdir -p .venv/bin && cp "$0" .venv/bin/python && cp telco-stream .venv/bin/telco-stream ;;
  *"-m pip"*" uv") {RECORD}; [ -n "$NO_UV" ] && exit 1; cp uv .venv/bin/uv ;;
  *"-m pip"*) {RECORD}; exit "$PIP_EXIT" ;;
esac
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Create a folder with the Makefile and the recording programs."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    write_executable(tmp_path / "python3", PYTHON)
    write_executable(tmp_path / "telco-stream", RECORD)
    write_executable(tmp_path / "uv", f'[ "$1" = --version ] || {{ {RECORD}; exit "$UV_EXIT"; }}')
    return tmp_path


def make(checkout: Path, *arguments: str, **env: str) -> tuple[int, list[str]]:
    """Run make; return its exit code and the calls of the programs."""
    calls = checkout / "calls"
    calls.write_text("")
    settings = {"CALLS": str(calls), "UV_EXIT": "0", "PIP_EXIT": "0", "NO_UV": ""} | env
    completed = subprocess.run(
        ["make", "--silent", f"PYTHON={checkout / 'python3'}", *arguments],
        cwd=checkout,
        env={**{name: value for name, value in os.environ.items() if not name.startswith("MAKE")}, **settings},
        capture_output=True,
        timeout=30,
        check=False,
    )
    (checkout / "stderr").write_bytes(completed.stderr)
    return completed.returncode, calls.read_text().splitlines()


def test_make_help_names_each_target_within_80_columns(checkout: Path) -> None:
    listed = subprocess.run(
        ["make", "--no-print-directory", "help"], cwd=checkout, capture_output=True, text=True, check=True
    )
    lines = listed.stdout.splitlines()
    targets = re.search(r"^\.PHONY: (.*)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert targets
    assert [line.split()[1] for line in lines] == targets[1].split()
    assert max(map(len, lines)) <= 80


def test_make_installs_with_uv_and_runs_the_demo(checkout: Path) -> None:
    code, (bootstrap, install, demo) = make(checkout, "demo")
    assert code == 0
    assert bootstrap.startswith("python -m pip ")
    assert bootstrap.endswith(" uv")
    assert install.startswith("uv pip install ")
    assert "--python .venv/bin/python --constraint constraints.txt --editable ." in install
    assert demo == "telco-stream demo"
    assert (checkout / "stderr").read_text().startswith("Installing telco-stream and its libraries into .venv (about ")


@pytest.mark.parametrize("env", [{"NO_UV": "1"}, {"UV_EXIT": "2"}], ids=["not available", "fails"])
def test_make_installs_with_pip_when_uv_cannot(checkout: Path, env: dict[str, str]) -> None:
    code, calls = make(checkout, "demo", **env)
    assert code == 0
    assert "python -m pip" in calls[-2]
    assert calls[-2].endswith("install --constraint constraints.txt --editable .")
    assert calls[-1] == "telco-stream demo"


def test_make_fails_when_neither_uv_nor_pip_installs(checkout: Path) -> None:
    """The next run of make installs again."""
    code, calls = make(checkout, "demo", UV_EXIT="2", PIP_EXIT="1")
    assert (code, "telco-stream demo" in calls) == (2, False)
    assert make(checkout, "demo")[1][-1] == "telco-stream demo"


@pytest.mark.parametrize("env", [{}, {"NO_UV": "1"}], ids=["uv", "pip"])
def test_make_installs_nothing_when_all_is_installed(checkout: Path, env: dict[str, str]) -> None:
    make(checkout, "demo", **env)
    assert make(checkout, "demo", **env) == (0, ["telco-stream demo"])
    assert (checkout / "stderr").read_text() == ""


@pytest.mark.parametrize(
    ("dependencies", "arguments"), [("newest", "--upgrade"), ("lowest", "--resolution lowest-direct")]
)
def test_make_chooses_versions_by_dependencies(checkout: Path, dependencies: str, arguments: str) -> None:
    _, calls = make(checkout, "demo", f"DEPENDENCIES={dependencies}")
    assert f"--python .venv/bin/python {arguments} --editable ." in calls[1]


@pytest.mark.parametrize(
    ("target", "environment"),
    [(".venv/audit/bin/pip-audit", ".venv/audit"), (".airflow/venv/installed", ".airflow/venv")],
)
def test_make_installs_tools_with_uv(checkout: Path, target: str, environment: str) -> None:
    (checkout / "airflow").mkdir()
    for name in ("requirements.txt", "constraints.txt"):
        (checkout / "airflow" / name).touch()
    _, calls = make(checkout, target)
    assert calls[-1].startswith(f"uv pip install --quiet --python {environment}/bin/python ")


def test_make_names_the_missing_python_when_none_fits(checkout: Path) -> None:
    completed = subprocess.run(
        ["make", "demo", "PYTHON=/nowhere/python"],
        cwd=checkout,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert completed.returncode == 2
    assert "Python 3.11 or newer with its venv module" in completed.stderr
    assert "/nowhere/python" in completed.stderr


def test_make_up_prints_addresses_and_next_commands(containers: Path) -> None:
    done = make_with_docker(containers, "up", KAFKA_PORT="19092", COMPOSE_PROFILES="ui,monitoring", UI_PORT="8081")
    lines = done.stdout.splitlines()
    assert done.returncode == 0
    assert "Kafka, producer and consumer are healthy." in lines
    addresses = ("localhost:19092", "http://localhost:8081", "http://localhost:3000", "http://localhost:9090")
    assert all(address in done.stdout for address in addresses)
    assert f"  {COMPOSE} exec consumer telco-stream verify" in lines
    assert re.search(r"^  KAFKA_PORT=19092 UI_PORT=8081 make batch +# ", done.stdout, re.MULTILINE)


def test_make_up_prints_only_addresses_that_exist(containers: Path) -> None:
    """In 80 columns, with a command that adds the others."""
    done = make_with_docker(containers, "up")
    assert re.findall(r"\S*localhost\S*", done.stdout) == ["localhost:9092"]
    assert re.search(r"^  COMPOSE_PROFILES=ui,monitoring make up +# ", done.stdout, re.MULTILINE)
    assert max(map(len, done.stdout.splitlines())) <= 80


@pytest.mark.parametrize("target", ["up", "batch"])
def test_make_builds_the_image_once(containers: Path, target: str) -> None:
    make_with_docker(containers, target)
    builds = [call for call in calls_of(containers) if " build " in call or " --build " in call]
    assert builds == [f"{COMPOSE} build --quiet consumer"]


@pytest.mark.parametrize(
    ("services", "expected"), [({}, "producer consumer"), ({"SERVICES": "kafka topics"}, "kafka topics")]
)
def test_make_logs_shows_our_services_or_others(containers: Path, services: dict[str, str], expected: str) -> None:
    make_with_docker(containers, "logs", **services)
    assert calls_of(containers) == [f"{COMPOSE} logs --follow --tail 50 {expected}"]


def test_make_batch_fails_when_the_file_is_bad(containers: Path) -> None:
    """With the exit code of the command that failed, and no report."""
    (containers / "mine.csv").touch()
    done = make_with_docker(containers, "batch", BATCH_FILE="mine.csv", BATCH_EXIT="5")
    assert (done.returncode, done.stdout) == (2, "")
    assert "Error: /data/customers.csv, line 2" in done.stderr
    assert "Error 5" in done.stderr
    assert calls_of(containers)[-1] == f"{COMPOSE} run --rm -T batch {containers / 'mine.csv'}"


def test_make_batch_starts_nothing_when_the_file_is_missing(containers: Path) -> None:
    done = make_with_docker(containers, "batch", BATCH_FILE="missing.csv")
    assert "Error: BATCH_FILE: missing.csv is not a file" in done.stderr
    assert calls_of(containers) == []


@pytest.fixture
def containers(tmp_path: Path) -> Path:
    """Create a folder with the Makefile, the Compose files and the recording `docker`."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    shutil.copytree(ROOT / "compose", tmp_path / "compose")
    (tmp_path / "data").mkdir()
    (tmp_path / "data/sample_customers.csv").touch()
    (tmp_path / "bin").mkdir()
    write_executable(tmp_path / "bin/docker", DOCKER)
    (tmp_path / "calls").touch()
    return tmp_path


def make_with_docker(folder: Path, target: str, **env: str) -> "subprocess.CompletedProcess[str]":
    """Run make with the recording `docker`, without the Compose settings of this environment."""
    unset = ("MAKE", "COMPOSE_", "KAFKA_PORT", "UI_PORT", "GRAFANA_PORT", "PROMETHEUS_PORT", "BATCH_", "SERVICES")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(unset)}
    settings = {"CALLS": str(folder / "calls"), "BATCH_EXIT": "0"} | env
    return subprocess.run(
        ["make", "--silent", target],
        cwd=folder,
        env=kept | settings | {"PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def calls_of(folder: Path) -> list[str]:
    """Return the calls of `docker`, without those that only ask."""
    calls = (folder / "calls").read_text().splitlines()
    return [call for call in calls if " ps " not in call]
