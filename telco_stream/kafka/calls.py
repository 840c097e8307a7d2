"""Calls into the client that wait for a broker as long as they like, whatever time they were given.

`send_offsets_to_transaction` and a synchronous commit take half a minute and more while the broker is away, and no
signal is seen inside of them. So they run in a thread of their own, which may be left behind.
"""

import math
import threading
import time
from collections.abc import Callable

from confluent_kafka import KafkaError, KafkaException

from telco_stream.kafka.clients import SLICE
from telco_stream.stop import Stop, Stopped

#: Seconds after a wish to stop in which what was begun may still be finished; then it is left behind, unconfirmed.
GRACE = 2.0


def finish(call: Callable[[], object], stop: Stop, meanwhile: Callable[[], object], patience: float = math.inf) -> None:
    """Make the call, and raise what it raises; `Stopped` where it outlasts a wish to stop.

    A call that was left behind goes on: the client that it belongs to must not be closed. `meanwhile` is called again
    and again, so that a client can be served, and complain of a broker that is away. A call that has not come
    back after `patience` seconds is left behind too, and raises as one that timed out.
    """
    made = _Call(call)
    made.start()
    deadline = time.monotonic() + patience
    while made.is_alive():
        made.join(SLICE)
        meanwhile()
        if made.is_alive() and stop.overdue(GRACE):
            raise Stopped
        if made.is_alive() and time.monotonic() > deadline:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))  # noqa: SLF001 - the client's public name
    if made.failure is not None:
        raise made.failure


def leave(call: Callable[[], object], seconds: float) -> None:
    """Make a last call, and wait for it no longer than that."""
    made = _Call(call)
    made.start()
    made.join(seconds)


class _Call(threading.Thread):
    """A call on its way; the interpreter doesn't wait for it at its end."""

    def __init__(self, call: Callable[[], object]) -> None:
        super().__init__(daemon=True)
        self._call = call
        self.failure: Exception | None = RuntimeError("the call has not come back")

    def run(self) -> None:
        try:
            self._call()
        except KafkaException as error:
            self.failure = error
        else:
            self.failure = None
