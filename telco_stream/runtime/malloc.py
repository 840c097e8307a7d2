"""Memory that the C library keeps."""

import ctypes
from contextlib import suppress

#: Parameters of glibc's `mallopt`, with their values. By default, up to 8 heaps per core are divided among the threads;
#: blocks from 128 kB, later from the size of the largest that was freed, are mapped and unmapped one by one; and twice
#: as much free memory at the end of the heap is returned.
_SETTINGS = {
    "M_ARENA_MAX": (-8, 2),
    "M_MMAP_THRESHOLD": (-3, 32 << 20),
    "M_TRIM_THRESHOLD": (-1, 256 << 20),
}


def keep_freed_memory() -> None:
    """Let all threads share two heaps, and keep the memory of a batch for the next one; without glibc, do nothing.

    A batch needs the same memory as the one before it. If it was returned, the kernel clears and maps it page by page
    again. Each replacement of a model starts threads of Kafka clients. With many heaps, each of these grows.
    """
    with suppress(OSError, AttributeError):  # another C library
        mallopt = ctypes.CDLL(None).mallopt
        for parameter, value in _SETTINGS.values():
            mallopt(parameter, value)
