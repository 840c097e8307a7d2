"""Run `telco-stream` inside the test process, ten times faster than in a new one."""

import contextlib
import io
import signal
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pytest

from telco_stream.cli import main
from tests.support.process_state import restore_logging


@dataclass(frozen=True, slots=True)
class CompletedRun:
    """Exit code, stdout and stderr of a finished command."""

    code: int
    out: str
    err: str


def run_in_process(*args: str, env: Mapping[str, str] | None = None) -> CompletedRun:
    """Run `telco-stream` to its end; `env` extends the environment while it runs."""
    with _restore_state(), pytest.MonkeyPatch.context() as patch, _captured_streams() as (out, err):
        patch.setattr(sys, "argv", ["telco-stream", *args])
        for name, value in (env or {}).items():
            patch.setenv(name, value)
        try:
            main()
        except SystemExit as exited:
            return CompletedRun(int(exited.code or 0), out.getvalue(), err.getvalue())
        return CompletedRun(0, out.getvalue(), err.getvalue())


@contextlib.contextmanager
def _captured_streams() -> Iterator[tuple[io.StringIO, io.StringIO]]:
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        yield out, err


@contextlib.contextmanager
def _restore_state() -> Iterator[None]:
    """Restore signal handlers and loggers after a command."""
    signals = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with restore_logging():
            yield
    finally:
        for number, handler in signals.items():
            signal.signal(number, handler)
