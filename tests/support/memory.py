"""Measurement of memory."""

import multiprocessing
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any


def peak_memory(function: Callable[..., object], *arguments: Any) -> int:
    """Return the most bytes that Python allocated while the function ran.

    It runs in a new process: threads that earlier tests left in this one may allocate meanwhile.
    """
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        return process.submit(_measure, function, *arguments).result()


def _measure(function: Callable[..., object], *arguments: Any) -> int:
    tracemalloc.start()
    function(*arguments)
    return tracemalloc.get_traced_memory()[1]
