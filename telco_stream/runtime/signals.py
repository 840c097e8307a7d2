"""Stop requests. A signal only sets a flag, which loops and waits check, so that no call is interrupted halfway."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from telco_stream.errors import TelcoStreamError

#: Exit code of a process ended by Ctrl-C, as shells report it.
EXIT_INTERRUPTED = 130


class Stopped(Exception):  # noqa: N818 - a stop is not an error
    """Raised by a wait when a stop is requested."""


class Stop:
    """A stop request: whether it was made, when, and the error that caused it, if any."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._since = 0.0
        self._interrupts = False
        self._failure: TelcoStreamError | None = None

    def request(self) -> None:
        """Request the stop; raises `Stopped` inside `interrupting`."""
        self._since = self._since or time.monotonic()
        self._event.set()
        if self._interrupts:
            raise Stopped

    def fail(self, error: TelcoStreamError) -> None:
        """Request the stop because of an error, which the run raises at its end; thread-safe."""
        self._failure = self._failure or error
        self._since = self._since or time.monotonic()
        self._event.set()

    def raise_failure(self) -> None:
        """Raise the error that caused the stop, if there is one."""
        if self._failure is not None:
            raise self._failure

    @contextmanager
    def interrupting(self) -> Iterator[None]:
        """Raise `Stopped` in the block as soon as a stop is requested, for long work that may be abandoned."""
        self._interrupts = True
        try:
            if self.requested:
                raise Stopped
            yield
        finally:
            self._interrupts = False

    @property
    def requested(self) -> bool:
        """Return whether a stop was requested."""
        return self._event.is_set()

    def overdue(self, grace: float) -> bool:
        """Return whether the stop was requested more than `grace` seconds ago."""
        return self.requested and time.monotonic() - self._since > grace

    def wait(self, seconds: float) -> bool:
        """Wait until a stop is requested, at most `seconds`; return whether it was."""
        return self._event.wait(seconds)


def end_on_ctrl_c() -> None:
    """Let Ctrl-C end the process without a traceback, until `raise_on_ctrl_c`: an exception could break an import."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def raise_on_ctrl_c() -> None:
    """Let Ctrl-C raise KeyboardInterrupt again, so that commands can clean up."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def ending_on_ctrl_c() -> Iterator[None]:
    """Let Ctrl-C end the process inside the block without an exception, which could break an import."""
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, _end)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(number: int, _frame: FrameType | None) -> None:
    _show_cursor()
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def _show_cursor() -> None:
    """Show the cursor that a live view has hidden."""
    if sys.stderr.isatty():
        os.write(sys.stderr.fileno(), b"\x1b[?25h")


def stop_on_signals() -> Stop:
    """Return a stop request that the first SIGINT or SIGTERM makes; the second ends the process at once with 130."""
    stop = Stop()

    def handle(_signal: int, _frame: FrameType | None) -> None:
        if stop.requested:
            _show_cursor()
            os._exit(EXIT_INTERRUPTED)
        stop.request()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handle)
    return stop
