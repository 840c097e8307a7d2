"""Waiting for something that another process or thread does, without guessing how long it takes."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(condition: Callable[[], T], deadline: float = 15, what: str = "the condition") -> T:
    """What `condition` answers once that is true; after `deadline` seconds the test fails and names `what`."""
    end = time.monotonic() + deadline
    while not (answer := condition()):
        assert time.monotonic() < end, f"{what} did not come true within {deadline} s"
        time.sleep(0.02)
    return answer
