"""The wish to stop. A signal only sets it; whoever waits looks at it, so no call is broken in the middle."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from telco_stream.errors import TelcoStreamError

#: Exit code of a second Ctrl-C.
AT_ONCE = 130


class Stopped(Exception):  # noqa: N818 - no error: somebody asked
    """Raised out of a wait that somebody ended."""


class Stop:
    """A flag with a clock: was a stop asked for, and how long ago?"""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._since = 0.0
        self._interrupts = False
        self._failure: TelcoStreamError | None = None

    def request(self) -> None:
        """Ask for the stop."""
        self._since = self._since or time.monotonic()
        self._event.set()
        if self._interrupts:
            raise Stopped

    def fail(self, error: TelcoStreamError) -> None:
        """Ask for the stop because of an error, which the run raises at its end; any thread may call this."""
        self._failure = self._failure or error
        self._since = self._since or time.monotonic()
        self._event.set()

    def raise_failure(self) -> None:
        """Raise the error for which somebody asked for the stop, if there is one."""
        if self._failure is not None:
            raise self._failure

    @contextmanager
    def interrupting(self) -> Iterator[None]:
        """Inside, a wish to stop breaks off at once, by `Stopped`: for long work that may be left in the middle."""
        self._interrupts = True
        try:
            if self.requested:
                raise Stopped
            yield
        finally:
            self._interrupts = False

    @property
    def requested(self) -> bool:
        """Whether somebody asked."""
        return self._event.is_set()

    def overdue(self, grace: float) -> bool:
        """Whether the stop was asked for more than `grace` seconds ago."""
        return self.requested and time.monotonic() - self._since > grace

    def wait(self, seconds: float) -> bool:
        """Wait that long, or until somebody asks; says which."""
        return self._event.wait(seconds)


def end_on_ctrl_c() -> None:
    """From now on Ctrl-C ends the process without a word: nothing has begun, and imports bear no break."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def raise_on_ctrl_c() -> None:
    """From now on Ctrl-C is an exception again, so that what was begun is put in order."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def stop_on_signals() -> Stop:
    """A flag set by the first SIGINT or SIGTERM; the second ends the process at once with 130."""
    stop = Stop()

    def handle(_signal: int, _frame: FrameType | None) -> None:
        if stop.requested:
            if sys.stderr.isatty():
                os.write(sys.stderr.fileno(), b"\x1b[?25h")  # a progress bar has hidden the cursor
            os._exit(AT_ONCE)
        stop.request()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handle)
    return stop
