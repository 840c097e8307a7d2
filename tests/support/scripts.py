"""The lines of a page, typed into one shell."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.support.cli import ROOT


def run_script(lines: Iterable[str], folder: Path, env: Mapping[str, str], deadline: float = 240) -> str:
    """What they have written to stdout and stderr. All are in one shell, because some go on beside the next.

    The first that fails ends it, and is named.
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
        _end_all(shell)
    assert code == 0, out.read_text()[-2_000:]
    return out.read_text()


def write_launchers(folder: Path) -> Path:
    """A folder with `telco-stream` and `python`, of this checkout or of the one that CHECKOUT names."""
    home = f'PYTHONPATH="${{CHECKOUT:-{ROOT}}}" exec "{sys.executable}"'
    write_executable(folder / "telco-stream", f'{home} -m telco_stream "$@"')
    write_executable(folder / "python", f'{home} "$@"')
    return folder


def write_executable(program: Path, line: str) -> None:
    """It can be called by its name."""
    program.write_text(f"#!/bin/sh\n{line}\n")
    program.chmod(0o755)


def env_with_path(commands: Path, env: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment in which they are found first."""
    return {**os.environ, **(env or {}), "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}"}


def copy_checkout(into: Path) -> Path:
    """The same folder, with copies of the code, of the sample and of the model in it."""
    for name in ("telco_stream", "data", "models"):
        shutil.copytree(ROOT / name, into / name, ignore=shutil.ignore_patterns("__pycache__"))
    return into


def _end_all(shell: "subprocess.Popen[bytes]") -> None:
    """What the page has started is gone, also where it broke off."""
    try:
        os.killpg(shell.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    shell.wait()
