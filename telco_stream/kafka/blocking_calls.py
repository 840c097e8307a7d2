"""Blocking client calls: deadlines, retries, and calls in a thread that the caller can abandon.

`send_offsets_to_transaction` and a synchronous commit ignore their timeout: they take half a minute or more while the
broker is unavailable, and Python handles no signals meanwhile.
"""

import math
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar, cast

from confluent_kafka import KafkaError, KafkaException

from telco_stream.errors import TelcoStreamError
from telco_stream.runtime.signals import Stop, Stopped

#: Longest time of one client call in seconds: signals are handled between calls.
MAX_CALL_SECONDS = 0.5
#: Seconds after a stop request in which running calls may finish; after that they are abandoned, unconfirmed.
SHUTDOWN_GRACE_SECONDS = 2.0

T = TypeVar("T")


class Deadline:
    """Point in time, given by the seconds from now; without a number it never passes."""

    def __init__(self, seconds: float = math.inf) -> None:
        self._at = time.monotonic() + seconds

    @property
    def remaining(self) -> float:
        """Seconds until the deadline; 0 after it."""
        return max(self._at - time.monotonic(), 0)

    @property
    def has_passed(self) -> bool:
        """True after the deadline."""
        return time.monotonic() > self._at


def retry(  # noqa: PLR0913 - calls differ in each of these
    call: Callable[[], T],
    deadline: Deadline,
    stop: Stop,
    is_permanent: Callable[[KafkaError], bool],
    *,
    pause: float = 0,
    grace: float = 0,
) -> T:
    """Call until it succeeds, and return its result; wait `pause` seconds between two calls.

    Raises the call's `KafkaException` if its error is permanent or the deadline has passed, and `Stopped` once a stop
    request is older than `grace` seconds.
    """
    while True:
        try:
            return call()
        except KafkaException as error:
            if is_permanent(error.args[0]):
                raise
            if stop.overdue(grace):
                raise Stopped from error
            if deadline.has_passed:
                raise
        if pause and stop.wait(pause):
            raise Stopped


class BackgroundCall(threading.Thread, Generic[T]):
    """A call in a daemon thread, started by the constructor."""

    def __init__(self, call: Callable[[], T]) -> None:
        super().__init__(daemon=True)
        self._call = call
        self._result: T | None = None
        self._failure: Exception | None = RuntimeError("a bug ended the call; its traceback is in the log above")
        #: Time at which the call returned, by `time.perf_counter`.
        self.ended = math.inf
        self.start()

    def run(self) -> None:
        """Run the call; errors are kept for `result`."""
        try:
            self._result = self._call()
        except (KafkaException, TelcoStreamError, Stopped) as error:
            self._failure = error
        else:
            self._failure = None
        finally:
            del self._call  # frees the objects that it references
            self.ended = time.perf_counter()

    def wait(self, seconds: float = math.inf) -> None:
        """Wait for the call; in short steps, because a signal that another thread receives does not end a wait."""
        deadline = Deadline(seconds)
        while self.is_alive() and deadline.remaining:
            self.join(min(MAX_CALL_SECONDS, deadline.remaining))

    def result(self) -> T:
        """Wait for the call and return its result, or raise its error."""
        self.wait()
        if self._failure is not None:
            raise self._failure
        return cast("T", self._result)


def run_interruptible(
    call: Callable[[], object], stop: Stop, meanwhile: Callable[[], object], timeout: float = math.inf
) -> None:
    """Run the call in a thread and wait for it; call `meanwhile` every half second, for example to serve callbacks.

    Raises the call's own error, `Stopped` once the grace period after a stop request is over, and a `KafkaException`
    (timed out) after `timeout` seconds. In the last two cases the call goes on in its thread: its client must not be
    closed.
    """
    background = BackgroundCall(call)
    deadline = Deadline(timeout)
    while background.is_alive():
        background.join(MAX_CALL_SECONDS)
        meanwhile()
        if background.is_alive() and stop.overdue(SHUTDOWN_GRACE_SECONDS):
            raise Stopped
        if background.is_alive() and deadline.has_passed:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))  # noqa: SLF001 - the client's public name
    background.result()
