"""`telco-stream` inside this process: a tenth of what starting one costs."""

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
    """What a finished command leaves."""

    code: int
    out: str
    err: str


def run_in_process(*args: str, env: Mapping[str, str]) -> CompletedRun:
    """A finished `telco-stream`; `env` is added to this process's environment while it runs."""
    with _as_before(), pytest.MonkeyPatch.context() as patch, _streams() as (out, err):
        patch.setattr(sys, "argv", ["telco-stream", *args])
        for name, value in env.items():
            patch.setenv(name, value)
        try:
            main()
        except SystemExit as ended:
            return CompletedRun(int(ended.code or 0), out.getvalue(), err.getvalue())
        return CompletedRun(0, out.getvalue(), err.getvalue())


@contextlib.contextmanager
def _streams() -> Iterator[tuple[io.StringIO, io.StringIO]]:
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        yield out, err


@contextlib.contextmanager
def _as_before() -> Iterator[None]:
    """What a command does to signals and to the package's log is undone."""
    signals = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with restore_logging():
            yield
    finally:
        for number, handler in signals.items():
            signal.signal(number, handler)
