"""CPU time of a call per record: a busy machine changes it less than wall time."""

import time
from collections.abc import Callable


def lowest_cpu_time(call: Callable[[], object], records: int, rounds: int) -> float:
    """Return the lowest CPU time of several calls, in nanoseconds per record."""
    return min(cpu_time(call, records) for _ in range(rounds))


def cpu_time(call: Callable[[], object], records: int) -> float:
    """Return this thread's CPU time during one call, in nanoseconds per record."""
    started = time.thread_time_ns()
    call()
    return (time.thread_time_ns() - started) / records
