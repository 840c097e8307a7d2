"""Retries of client calls until a deadline or a stop request."""

import math
import time
from collections.abc import Callable
from typing import TypeVar

from confluent_kafka import KafkaError, KafkaException

from telco_stream.runtime.signals import Stop, Stopped

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
