"""`telco-stream` as a process: it has an environment of its own, so that no dependency of it meets one of Airflow.

Which program, and in which folder, is for administrators to say, in Variables: who may only start a run can't choose.
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

from telco_airflow.deployment import variable
from telco_airflow.outcome import Failure, outcome

log = logging.getLogger(__name__)

#: Seconds that a command gets to end by itself; telco-stream promises 2, and 5 while the broker is away.
_GRACE = 10


def program() -> list[str]:
    """The words that start `telco-stream`."""
    return shlex.split(variable("command") or "telco-stream")


def folder() -> str:
    """Where it runs: there it looks for `.env` and `telco-stream.toml`."""
    return variable("folder") or os.getcwd()  # noqa: PTH109 - text, as Airflow keeps it for the triggerer


def run(*args: str) -> dict[str, Any]:
    """The result of one command; what it says goes to the task's log, and why it failed into the exception's one line.

    SIGTERM to this process is passed on once, to a group of the command's own, and the command's end is waited for.
    """
    words = [*program(), *args, "--output", "json"]
    log.info("running %s", shlex.join(words))
    try:
        process = subprocess.Popen(  # noqa: S603 - no shell, and the program is the administrator's choice
            words,
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
        raise AirflowFailException(not_started(error)) from error
    with _ended(process), _passing_on_sigterm(process) as stopped:
        stdout, last_line = _listen(process)
    return raise_failure(outcome(args, process.returncode, stdout, last_line, stopped=stopped.is_set()))


async def ask(words: list[str], place: str, *args: str) -> dict[str, Any] | Failure:
    """The same for the triggerer: nothing blocks while the command runs, and it is gone when the asker is."""
    process = await asyncio.create_subprocess_exec(
        *(*words, *args, "--output", "json", "--quiet"),
        cwd=place,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        stdout, stderr = (one.decode(errors="replace") for one in await process.communicate())
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)  # a question: nothing is lost with it
    lines = stderr.strip().splitlines()
    return outcome(args, process.returncode or 0, stdout, lines[-1] if lines else "", stopped=False)


def raise_failure(found: dict[str, Any] | Failure) -> dict[str, Any]:
    """The result; a failure becomes the exception that Airflow retries, or doesn't."""
    if isinstance(found, Failure):
        raise (AirflowFailException if found.hopeless else AirflowException)(found.message)
    return found


def not_started(error: OSError) -> str:
    """Why there is no process, in one line."""
    return f"{program()[0]} can't be started in {folder()}: {error.strerror}; see the Variables telco_stream_*"


def environment() -> dict[str, str]:
    """This process's, without Airflow's own settings: its secrets are none of the command's business."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW_", "__AIRFLOW_"))}


def _listen(process: subprocess.Popen[str]) -> tuple[str, str]:
    """All of stdout, and the last line of stderr; each line goes to the log when it comes."""
    last = [""]

    def tell(lines: IO[str]) -> None:
        for line in filter(None, map(str.strip, lines)):
            last[0] = line
            log.info("%s", line)

    out, err = process.stdout, process.stderr
    assert out and err  # noqa: S101, PT018 - both are pipes
    thread = threading.Thread(target=tell, args=(err,), daemon=True)
    thread.start()
    stdout = out.read()
    process.wait()
    thread.join()
    return stdout, last[0]


@contextmanager
def _ended(process: subprocess.Popen[str]) -> Iterator[None]:
    """However the block ends, by a timeout of Airflow's say, the command is gone: asked first, then killed."""
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
def _passing_on_sigterm(process: subprocess.Popen[str]) -> Iterator[threading.Event]:
    """Inside, SIGTERM is the command's; the event says whether one came."""
    stopped = threading.Event()

    def pass_on(_signal: int, _frame: object) -> None:
        if not stopped.is_set() and process.poll() is None:  # a second one would cut off the batch in hand
            os.killpg(process.pid, signal.SIGTERM)
        stopped.set()

    if threading.current_thread() is not threading.main_thread():
        yield stopped
        return
    before = signal.signal(signal.SIGTERM, pass_on)
    try:
        yield stopped
    finally:
        signal.signal(signal.SIGTERM, before)
