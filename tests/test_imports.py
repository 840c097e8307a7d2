"""The libraries that each command may import, and the time of `--help`."""

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.cli import ROOT
from tests.support.produce_harness import write_customers

pytestmark = pytest.mark.slow

CLIENT = {"confluent_kafka"}
SETTINGS = {"pydantic_settings", "dotenv"}
SCREEN = {"rich"}
ONNX = {"onnxruntime", "numpy"}
METRICS = {"prometheus_client"}
PAGE = {"jinja2", "markupsafe"}
SKLEARN = {"sklearn", "pandas", "joblib", "numpy", "scipy"}
TRAINING = SKLEARN | {"skl2onnx", "onnx", "onnxruntime"}
#: Libraries that are slow to import; the standard library, msgspec and typer are not.
WATCHED = CLIENT | SETTINGS | SCREEN | METRICS | PAGE | TRAINING | {"torch", "requests"}
NOWHERE = ("--broker", "127.0.0.1:1", "--timeout", "0.2")

MAY_IMPORT = {
    "--help": set(),
    "--version": set(),
    "produce --help": set(),
    "consume --help": set(),
    "dlq --help": set(),
    "config show": SETTINGS | SCREEN,
    "model show": SETTINGS | SCREEN,
    "contract show": SETTINGS | SCREEN,
    "contract check missing.json": SCREEN,
    "sample --rows 3 --out a.csv": SETTINGS | SCREEN,
    "produce --mode batch --data-path customers.csv": CLIENT | SETTINGS | SCREEN,
    "contract infer accounts.csv --key account_id --label left --positive 1": SCREEN,
    "topics init": CLIENT | SETTINGS | SCREEN,
    "report": CLIENT | SETTINGS | SCREEN,
    # The HTML libraries are imported after the topics were read.
    "report --csv a.csv --html a.html": CLIENT | SETTINGS | SCREEN,
    "quality": CLIENT | SETTINGS | SCREEN | {"numpy"},
    "outcomes check": CLIENT | SETTINGS | SCREEN,
    "predictions show a": CLIENT | SETTINGS | SCREEN,
    "explain --customer a": CLIENT | SETTINGS | SCREEN,
    "verify": CLIENT | SETTINGS | SCREEN,
    "status": CLIENT | SETTINGS | SCREEN,
    "doctor": CLIENT | SETTINGS | SCREEN | ONNX,
    "drift": CLIENT | SETTINGS | SCREEN | ONNX,
    "dlq list": CLIENT | SETTINGS | SCREEN,
    "dlq replay": CLIENT | SETTINGS | SCREEN,
    "consume": CLIENT | SETTINGS | SCREEN | ONNX,
    "consume --engine onnx": CLIENT | SETTINGS | SCREEN | ONNX,
    "consume --engine sklearn": CLIENT | SETTINGS | SCREEN | SKLEARN,
}
_REPORT = (
    "import atexit, sys; from telco_stream.cli import main; sys.argv[0] = 'telco-stream';"
    "atexit.register(lambda: print('imported', *sorted({name.partition('.')[0] for name in sys.modules})));"
    "main()"
)
_SMALL_APP = (
    "import typer\n\n\ndef hello(name: str = 'you', loud: bool = False) -> None:\n    '''Say hello.'''\n\n\n"
    "app = typer.Typer()\napp.command()(hello)\napp()\n"
)


@pytest.mark.parametrize("arguments", MAY_IMPORT)
def test_command_imports_only_allowed_libraries(arguments: str, tmp_path: Path) -> None:
    """A top-level import that one command needs would make all commands slow."""
    write_customers(tmp_path, 3)
    kafka = NOWHERE if "confluent_kafka" in MAY_IMPORT[arguments] else ()
    imported = _imported(*arguments.split(), *kafka) & WATCHED
    assert imported - MAY_IMPORT[arguments] == set()


def test_allowed_libraries_are_all_imported() -> None:
    """Guards the test above: this command imports the libraries."""
    assert _imported("consume", "--engine", "sklearn", *NOWHERE) >= {"sklearn", "confluent_kafka"}


def test_session_imports_no_screen_when_stderr_is_no_terminal() -> None:
    """The screen would delay the first prediction by a tenth of a second."""
    code = (
        "import sys\nfrom telco_stream.cli.session import Session\nfrom telco_stream.runtime.logs import log\n"
        "session = Session('table', quiet=False, verbose=False)\nlog.info('started')\n"
        "with session.live(lambda: 1 / 0):\n    print('rich' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], env=_environment(), capture_output=True, text=True, check=True)
    assert (done.stdout.strip(), "started" in done.stderr) == ("False", True)


@pytest.mark.alone
def test_help_is_at_most_a_third_slower_than_a_one_command_app(tmp_path: Path) -> None:
    """Runs alternate, so that both are measured under the same load; the medians are compared."""
    (tmp_path / "small.py").write_text(_SMALL_APP)
    small, ours = [sys.executable, "small.py", "--help"], [sys.executable, "-m", "telco_stream", "--help"]
    seconds = [(_seconds(small), _seconds(ours)) for _ in range(7)]
    small_median, our_median = (statistics.median(column) for column in zip(*seconds, strict=True))
    assert our_median <= 1.3 * small_median


def _imported(*arguments: str) -> set[str]:
    completed = subprocess.run(
        [sys.executable, "-c", _REPORT, *arguments], env=_environment(), capture_output=True, text=True, check=False
    )
    assert "Traceback" not in completed.stderr, completed.stderr
    return set(completed.stdout.splitlines()[-1].split()[1:])


def _seconds(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, env=_environment(), stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - started


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}
