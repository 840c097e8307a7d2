"""One process from its start to its end: what it said of itself, and what the system says it cost."""

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
#: Seconds after which a run is given up.
TIMEOUT = 600.0


@dataclass(frozen=True, slots=True)
class Run:
    """What one run did, and cost: CPU seconds, user and system, its children's too; its largest memory in MB."""

    records: int
    seconds: float
    cpu: float
    rss: float
    wall: float

    @property
    def rate(self) -> float:
        """Records a second, from the first record taken to the last one committed."""
        return self.records / self.seconds if self.seconds else 0.0


class FailedError(Exception):
    """A process ended with another code than 0."""


class Process:
    """A command that runs beside us, its output kept in files."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str], folder: Path, *, watched: bool = False) -> None:
        """With `watched`, its stderr is a terminal that somebody looks at."""
        self._command = command
        self._out, self._err = (TemporaryFile() for _ in range(2))  # noqa: SIM115 - closed with this
        err = _terminal(self._err) if watched else self._err.fileno()
        self._started = time.perf_counter()
        self.process = subprocess.Popen(command, stdout=self._out, stderr=err, env=surroundings(env), cwd=folder)
        if watched:
            os.close(err)

    def is_alive(self) -> bool:
        """Whether it still runs; it isn't reaped, so that its cost can be asked."""
        return os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None

    def stop(self) -> None:
        """Ask it to end."""
        self.process.send_signal(signal.SIGTERM)

    def end(self) -> Run:
        """What it did, once it has ended; raises `FailedError`."""
        deadline = time.monotonic() + TIMEOUT
        while self.is_alive() and time.monotonic() < deadline:
            time.sleep(0.01)
        if self.is_alive():
            self.process.kill()
        _, status, used = os.wait4(self.process.pid, 0)
        wall = time.perf_counter() - self._started
        self.process.returncode = os.waitstatus_to_exitcode(status)
        said = _text(self._out)
        if self.process.returncode:
            raise FailedError(
                f"{' '.join(self._command)[:200]}: exit {self.process.returncode}: {_text(self._err)[-2000:]}"
            )
        records, seconds = _result(said)
        return Run(records, seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, wall)


@contextmanager
def running(
    command: Sequence[str], env: Mapping[str, str], folder: Path, *, watched: bool = False
) -> Iterator[Process]:
    """The process, which does not outlive the block."""
    process = Process(command, env, folder, watched=watched)
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
    watched: bool = False,
) -> Run:
    """Run it to its end; with `until`, it is asked to stop once that returns."""
    with running(command, env, folder, watched=watched) as process:
        if until is not None:
            until(process)
            process.stop()
        return process.end()


def surroundings(env: Mapping[str, str]) -> dict[str, str]:
    """Our environment without the product's settings, the checkout importable, and `env`."""
    ours = {name: text for name, text in os.environ.items() if not name.startswith("TELCO_STREAM_")}
    return {**ours, "PYTHONPATH": str(ROOT), **env}


def cli(*arguments: str) -> list[str]:
    """A `telco-stream` command."""
    return [sys.executable, "-m", "telco_stream", *arguments]


def _result(said: str) -> tuple[int, float]:
    """Records and seconds, from the last line of output, if it is an object that has them."""
    try:
        told: dict[str, Any] = json.loads(said.strip().splitlines()[-1])
    except (ValueError, IndexError):
        return 0, 0.0
    records = next((told[name] for name in ("records", "consumed", "sent") if name in told), 0)
    return int(records), float(told.get("seconds", 0.0))


def _terminal(kept: IO[bytes]) -> int:
    """The end of a terminal of 80 columns that a program writes to; what it writes is read at once, and kept."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    threading.Thread(target=_read, args=(ours, kept), daemon=True).start()
    return theirs


def _read(terminal: int, kept: IO[bytes]) -> None:
    with suppress(OSError):  # the other end is closed
        while piece := os.read(terminal, 65_536):
            kept.write(piece)
    os.close(terminal)


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")
