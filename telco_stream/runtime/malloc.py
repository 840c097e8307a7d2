"""Memory that the C library keeps."""

import ctypes
from contextlib import suppress

#: Parameter of glibc's `mallopt`: the number of heaps, 8 per core by default, among which it divides the threads.
_M_ARENA_MAX = -8
_HEAPS = 2


def limit_heaps() -> None:
    """Let all threads share two heaps; without glibc, do nothing.

    Each replacement of a model starts threads of Kafka clients. With many heaps, each of these grows.
    """
    with suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _HEAPS)
