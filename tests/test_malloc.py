"""The heaps of the C library."""

import platform
import subprocess
import sys

import pytest

#: Prints a line `<heap nr=…>` for each heap that eight threads at once have used.
HEAPS = """
import ctypes, sys, threading
from telco_stream.runtime.malloc import limit_heaps
if sys.argv[1] == "limited":
    limit_heaps()
all_hold_memory = threading.Barrier(9)
def hold() -> None:
    memory = bytearray(10_000)
    all_hold_memory.wait()
    all_hold_memory.wait()
for _ in range(8):
    threading.Thread(target=hold).start()
all_hold_memory.wait()
libc = ctypes.CDLL(None)
libc.malloc_info(0, ctypes.c_void_p.in_dll(libc, "stdout"))
libc.fflush(None)
all_hold_memory.wait()
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_limit_heaps_lets_threads_share_two() -> None:
    """By default, each thread of a process with few of them gets its own."""
    assert count_heaps("limited") == 2
    assert count_heaps("default") > 2


def count_heaps(kind: str) -> int:
    done = subprocess.run([sys.executable, "-c", HEAPS, kind], capture_output=True, text=True, check=True)
    return done.stdout.count("<heap nr=")
