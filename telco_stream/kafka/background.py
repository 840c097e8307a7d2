"""Calls into the client that wait for a broker as long as they like, whatever time they were given.

`send_offsets_to_transaction` and a synchronous commit take half a minute and more while the broker is away, and no
signal is seen inside of them. So they run in a thread of their own, which may be left behind.
"""

import math
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar, cast

from confluent_kafka import KafkaError, KafkaException

from telco_stream.errors import TelcoStreamError
from telco_stream.kafka.clients import MAX_CALL_SECONDS
from telco_stream.runtime.signals import Stop, Stopped

#: Seconds after a wish to stop in which what was begun may still be finished; then it is left behind, unconfirmed.
SHUTDOWN_GRACE_SECONDS = 2.0

T = TypeVar("T")


class BackgroundCall(threading.Thread, Generic[T]):
    """A call on its way, begun when it is made; the interpreter doesn't wait for it at its end."""

    def __init__(self, call: Callable[[], T]) -> None:
        super().__init__(daemon=True)
        self._call = call
        self._answer: T | None = None
        self._failure: Exception | None = RuntimeError("a bug has ended the call; its traceback stands above")
        #: When it came back, by `time.perf_counter`.
        self.ended = math.inf
        self.start()

    def run(self) -> None:
        """The thread's own part."""
        try:
            self._answer = self._call()
        except (KafkaException, TelcoStreamError, Stopped) as error:
            self._failure = error
        else:
            self._failure = None
        finally:
            del self._call  # and with it all that it holds
            self.ended = time.perf_counter()

    def wait(self, seconds: float = math.inf) -> None:
        """Until it has come back; in slices, as a signal that another thread gets doesn't end this one's wait."""
        deadline = time.monotonic() + seconds
        while self.is_alive() and (left := deadline - time.monotonic()) > 0:
            self.join(min(MAX_CALL_SECONDS, left))

    def result(self) -> T:
        """What it answered, once it has; raises what it raised."""
        self.wait()
        if self._failure is not None:
            raise self._failure
        return cast("T", self._answer)


def run_interruptible(
    call: Callable[[], object], stop: Stop, meanwhile: Callable[[], object], patience: float = math.inf
) -> None:
    """Make the call, and raise what it raises; `Stopped` where it outlasts a wish to stop.

    A call that was left behind goes on: the client that it belongs to must not be closed. `meanwhile` is called again
    and again, so that a client can be served, and complain of a broker that is away. A call that has not come
    back after `patience` seconds is left behind too, and raises as one that timed out.
    """
    made = BackgroundCall(call)
    deadline = time.monotonic() + patience
    while made.is_alive():
        made.join(MAX_CALL_SECONDS)
        meanwhile()
        if made.is_alive() and stop.overdue(SHUTDOWN_GRACE_SECONDS):
            raise Stopped
        if made.is_alive() and time.monotonic() > deadline:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))  # noqa: SLF001 - the client's public name
    made.result()


def run_with_timeout(call: Callable[[], object], seconds: float) -> None:
    """Make a last call, and wait for it no longer than that."""
    BackgroundCall(call).join(seconds)
