"""Waits for what another process or thread does."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(condition: Callable[[], T], deadline: float = 15, what: str = "the condition") -> T:
    """Poll `condition` until its result is truthy and return it; fail after `deadline` seconds, naming `what`."""
    end = time.monotonic() + deadline
    while not (result := condition()):
        assert time.monotonic() < end, f"{what} did not come true within {deadline} s"
        time.sleep(0.02)
    return result
