"""Run the commands of a documentation page in bash."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.support.cli import ROOT


def run_script(lines: Iterable[str], folder: Path, env: Mapping[str, str], deadline: float = 240) -> str:
    """Run the lines in one bash process, because some start background jobs, and return stdout and stderr.

    Fail at the first line that fails, and name it.
    """
    script = "\n".join(["set -eEuo pipefail", "trap 'echo \"failed: $BASH_COMMAND\" >&2' ERR", *lines])
    out = folder / "output"
    with out.open("wb") as file:
        shell = subprocess.Popen(
            ["bash", "-c", script], cwd=folder, env=env, stdout=file, stderr=file, start_new_session=True
        )
    try:
        code = shell.wait(timeout=deadline)
    finally:
        _kill_group(shell)
    assert code == 0, out.read_text()[-2_000:]
    return out.read_text()


def write_launchers(folder: Path) -> Path:
    """Write launchers for `telco-stream` and `python` that use this checkout, or the one at $CHECKOUT."""
    python = f'PYTHONPATH="${{CHECKOUT:-{ROOT}}}" exec "{sys.executable}"'
    write_executable(folder / "telco-stream", f'{python} -m telco_stream "$@"')
    write_executable(folder / "python", f'{python} "$@"')
    return folder


def write_executable(program: Path, line: str) -> None:
    """Write an executable shell script of one line."""
    program.write_text(f"#!/bin/sh\n{line}\n")
    program.chmod(0o755)


def env_with_path(folder: Path, env: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment with this folder first in PATH."""
    return {**os.environ, **(env or {}), "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}


def copy_checkout(into: Path) -> Path:
    """Copy the package, the sample and the model into the folder, and return the folder."""
    for name in ("telco_stream", "data", "models"):
        shutil.copytree(ROOT / name, into / name, ignore=shutil.ignore_patterns("__pycache__"))
    return into


def _kill_group(shell: "subprocess.Popen[bytes]") -> None:
    """Kill the shell and all processes that it started."""
    try:
        os.killpg(shell.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    shell.wait()
