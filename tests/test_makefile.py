"""Installation with make, using programs that record their calls instead of installing."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.cli import ROOT
from tests.support.scripts import write_executable

RECORD = 'echo "$(basename "$0") $*" >>"$CALLS"'
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
    return completed.returncode, calls.read_text().splitlines()


def test_make_installs_with_uv_and_runs_the_demo(checkout: Path) -> None:
    code, (bootstrap, install, demo) = make(checkout, "demo")
    assert code == 0
    assert bootstrap.startswith("python -m pip ")
    assert bootstrap.endswith(" uv")
    assert install.startswith("uv pip install ")
    assert "--python .venv/bin/python --constraint constraints.txt --editable ." in install
    assert demo == "telco-stream demo"


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
