"""The time in which commands end after a signal."""

import signal
import time

from tests.support.cli import RunningCli

#: Seconds. The documented limits are 2, and 5 while the broker is unavailable; tests run on a busy machine.
SOON, LATER = 4.0, 8.0


def stopped_within(cli: RunningCli, seconds: float, number: signal.Signals = signal.SIGTERM) -> int:
    """Send the signal, check that the process ends in time, and return its exit code."""
    cli.signal(number)
    started = time.monotonic()
    code = cli.wait(30)
    assert time.monotonic() - started < seconds
    return code
