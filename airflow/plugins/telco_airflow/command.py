"""Runs `telco-stream` as a process in another environment, so that its dependencies never conflict with Airflow's.

Variables set the program and its folder, so that only administrators can choose them, not users who may start a run.
"""

import asyncio
import logging
import os
import shlex
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any

from airflow.sdk.exceptions import AirflowException, AirflowFailException

from telco_airflow.outcome import Failure, outcome
from telco_airflow.variables import variable

log = logging.getLogger(__name__)

#: Seconds until a command is killed after SIGTERM; telco-stream needs at most 2, or 5 if the broker is down.
_GRACE = 10


def program() -> list[str]:
    """Return the command line that starts `telco-stream`."""
    return shlex.split(variable("command") or "telco-stream")


def folder() -> str:
    """Return its working directory, where it reads `.env` and `telco-stream.toml`."""
    return variable("folder") or os.getcwd()  # noqa: PTH109 - a string, which Airflow can serialize for the triggerer


def run(*args: str) -> dict[str, Any]:
    """Run a command and return its result; raise an exception with the last line of stderr if it fails.

    Log stderr, and forward the first SIGTERM to the command's process group.
    """
    command = [*program(), *args, "--output", "json"]
    log.info("running %s", shlex.join(command))
    try:
        process = subprocess.Popen(  # noqa: S603 - no shell, and an administrator sets the program
            command,
            cwd=folder(),
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        raise AirflowFailException(start_error(error)) from error
    with _ending(process), _forwarding_sigterm(process) as stopped:
        stdout, last_line = _listen(process)
    return result_or_raise(outcome(args, process.returncode, stdout, last_line, stopped=stopped.is_set()))


async def run_async(words: list[str], folder: str, *args: str) -> dict[str, Any] | Failure:
    """Run a command without blocking the triggerer; kill it if the trigger is cancelled."""
    process = await asyncio.create_subprocess_exec(
        *(*words, *args, "--output", "json", "--quiet"),
        cwd=folder,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        stdout, stderr = (output.decode(errors="replace") for output in await process.communicate())
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)  # it only reads, so nothing is lost
    lines = stderr.strip().splitlines()
    return outcome(args, process.returncode or 0, stdout, lines[-1] if lines else "", stopped=False)


def result_or_raise(result: dict[str, Any] | Failure) -> dict[str, Any]:
    """Return the result, or raise its failure as an exception; Airflow does not retry a permanent one."""
    if isinstance(result, Failure):
        raise (AirflowFailException if result.is_permanent else AirflowException)(result.message)
    return result


def start_error(error: OSError) -> str:
    """Describe in one line why the process cannot be started."""
    return f"{program()[0]} cannot be started in {folder()}: {error.strerror}; see the Variables telco_stream_*"


def environment() -> dict[str, str]:
    """Return the environment without Airflow's settings, which can hold secrets."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW_", "__AIRFLOW_"))}


def _listen(process: subprocess.Popen[str]) -> tuple[str, str]:
    """Return stdout and the last line of stderr; log each line of stderr as it arrives."""
    last = [""]

    def log_lines(lines: IO[str]) -> None:
        for line in filter(None, map(str.strip, lines)):
            last[0] = line
            log.info("%s", line)

    out, err = process.stdout, process.stderr
    assert out and err  # noqa: S101, PT018 - both are pipes
    thread = threading.Thread(target=log_lines, args=(err,), daemon=True)
    thread.start()
    stdout = out.read()
    process.wait()
    thread.join()
    return stdout, last[0]


@contextmanager
def _ending(process: subprocess.Popen[str]) -> Iterator[None]:
    """End the command with the block, also after a timeout of Airflow: by SIGTERM, then by SIGKILL."""
    try:
        yield
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(_GRACE)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextmanager
def _forwarding_sigterm(process: subprocess.Popen[str]) -> Iterator[threading.Event]:
    """Forward SIGTERM to the command while the block runs; the event is set once one arrived."""
    stopped = threading.Event()

    def forward(_signal: int, _frame: object) -> None:
        if not stopped.is_set() and process.poll() is None:  # a second one would interrupt the current batch
            os.killpg(process.pid, signal.SIGTERM)
        stopped.set()

    if threading.current_thread() is not threading.main_thread():
        yield stopped
        return
    before = signal.signal(signal.SIGTERM, forward)
    try:
        yield stopped
    finally:
        signal.signal(signal.SIGTERM, before)
