"""Runs one process and measures its records, CPU time and memory."""

import json
import os
import pty
import signal
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

ROOT = Path(__file__).resolve().parent.parent
#: Time limit of a run in seconds.
TIMEOUT = 600.0


@dataclass(frozen=True, slots=True)
class Run:
    """Result of a run: CPU seconds (user and system, with children) and peak memory in MB."""

    records: int
    seconds: float
    cpu: float
    rss: float
    wall: float

    @property
    def rate(self) -> float:
        """Return records per second, from the first record read to the last one committed."""
        return self.records / self.seconds if self.seconds else 0.0


class FailedError(Exception):
    """A process exited with a code other than 0."""


class Process:
    """A background process with its output in files."""

    def __init__(
        self, command: Sequence[str], env: Mapping[str, str], folder: Path, *, on_terminal: bool = False
    ) -> None:
        """With `on_terminal` the stderr of the process is a pseudo-terminal."""
        self._command = command
        self._out, self._err = (TemporaryFile() for _ in range(2))  # noqa: SIM115 - closed with this
        err = _terminal(self._err) if on_terminal else self._err.fileno()
        self._started = time.perf_counter()
        self.process = subprocess.Popen(command, stdout=self._out, stderr=err, env=clean_environment(env), cwd=folder)
        if on_terminal:
            os.close(err)

    def is_alive(self) -> bool:
        """Return whether the process runs, without reaping it, so that `end` can read its resource usage."""
        return os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None

    def stop(self) -> None:
        """Send SIGTERM."""
        self.process.send_signal(signal.SIGTERM)

    def end(self) -> Run:
        """Wait for the end and return the result; raise `FailedError` for an exit code other than 0."""
        deadline = time.monotonic() + TIMEOUT
        while self.is_alive() and time.monotonic() < deadline:
            time.sleep(0.01)
        if self.is_alive():
            self.process.kill()
        _, status, usage = os.wait4(self.process.pid, 0)
        wall = time.perf_counter() - self._started
        self.process.returncode = os.waitstatus_to_exitcode(status)
        output = _text(self._out)
        if self.process.returncode:
            raise FailedError(
                f"{' '.join(self._command)[:200]}: exit {self.process.returncode}: {_text(self._err)[-2000:]}"
            )
        records, seconds = _result(output)
        return Run(records, seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, wall)


@contextmanager
def running(
    command: Sequence[str], env: Mapping[str, str], folder: Path, *, on_terminal: bool = False
) -> Iterator[Process]:
    """Start a process, and kill it after the block if it still runs."""
    process = Process(command, env, folder, on_terminal=on_terminal)
    try:
        yield process
    finally:
        if process.process.returncode is None:
            process.process.kill()
            process.process.wait()


def run(
    command: Sequence[str],
    env: Mapping[str, str],
    folder: Path,
    until: Callable[[Process], None] | None = None,
    *,
    on_terminal: bool = False,
) -> Run:
    """Run a process to its end; with `until`, stop it once that returns."""
    with running(command, env, folder, on_terminal=on_terminal) as process:
        if until is not None:
            until(process)
            process.stop()
        return process.end()


def clean_environment(env: Mapping[str, str]) -> dict[str, str]:
    """Return the environment without `TELCO_STREAM_` variables, with the checkout importable, plus `env`.

    Bytecode may be written: users run compiled code.
    """
    removed = ("TELCO_STREAM_", "PYTHONDONTWRITEBYTECODE")
    inherited = {name: text for name, text in os.environ.items() if not name.startswith(removed)}
    return {**inherited, "PYTHONPATH": str(ROOT), **env}


def cli(*arguments: str) -> list[str]:
    """Return a `telco-stream` command line."""
    return [sys.executable, "-m", "telco_stream", *arguments]


def _result(output: str) -> tuple[int, float]:
    """Return records and seconds from the JSON object in the last line of output, or zeros."""
    try:
        result: dict[str, Any] = json.loads(output.strip().splitlines()[-1])
    except (ValueError, IndexError):
        return 0, 0.0
    records = next((result[name] for name in ("records", "consumed", "sent") if name in result), 0)
    return int(records), float(result.get("seconds", 0.0))


def _terminal(log: IO[bytes]) -> int:
    """Open a pseudo-terminal of 80 columns whose output goes to `log`, and return the end for the program."""
    reading, writing = pty.openpty()
    termios.tcsetwinsize(writing, (24, 80))
    threading.Thread(target=_read, args=(reading, log), daemon=True).start()
    return writing


def _read(terminal: int, log: IO[bytes]) -> None:
    with suppress(OSError):  # the other end is closed
        while piece := os.read(terminal, 65_536):
            log.write(piece)
    os.close(terminal)


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")
