"""Ctrl-C while modules are imported: no traceback, and no half-imported module."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.cli import ROOT

#: A module that replaces another, is interrupted like an extension module, and then imports the real one.
_INTERRUPTED = """
import importlib, os, signal, sys
try:
    os.kill(os.getpid(), signal.SIGINT)
except KeyboardInterrupt:
    raise ImportError("initialization failed") from None
sys.path.pop(0)
del sys.modules[__name__]
importlib.import_module(__name__)
"""
_NOWHERE = "--broker 127.0.0.1:1 --timeout 60"


@pytest.mark.parametrize(
    ("module", "arguments", "code"),
    [
        ("typer", "--version", -signal.SIGINT),
        ("sklearn", "train --data-path a.csv", -signal.SIGINT),
        ("onnxruntime", "demo --quiet", 130),
        ("confluent_kafka", f"report {_NOWHERE}", -signal.SIGINT),
        ("confluent_kafka", f"verify {_NOWHERE}", -signal.SIGINT),
    ],
)
def test_ctrl_c_shows_no_traceback_when_modules_are_imported(
    module: str, arguments: str, code: int, tmp_path: Path
) -> None:
    """A shell reports 130 in both cases."""
    (tmp_path / f"{module}.py").write_text(_INTERRUPTED)
    setup = f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(ROOT)!r}]; sys.argv[1:] = {arguments.split()!r}"
    command = [sys.executable, "-c", f"{setup}; from telco_stream.__main__ import main; main()"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (code, "", "")
