"""The memory that the C library keeps."""

import platform
import subprocess
import sys

import pytest

#: Prints a line `<heap nr=…>` for each heap that eight threads at once have used.
HEAPS = """
import ctypes, sys, threading
from telco_stream.runtime.malloc import keep_freed_memory
if sys.argv[1] == "tuned":
    keep_freed_memory()
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

#: Prints how many pages the kernel has cleared for hundred batches, each of which frees what it has allocated.
BATCHES = """
import resource, sys
from telco_stream.runtime.malloc import keep_freed_memory
if sys.argv[1] == "tuned":
    keep_freed_memory()
def batch() -> None:
    blocks = [bytearray(400_000) for _ in range(20)]
batch()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(100):
    batch()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_keep_freed_memory_lets_threads_share_two_heaps() -> None:
    """By default, each thread of a process with few of them gets its own."""
    assert count_heaps("tuned") == 2
    assert count_heaps("default") > 2


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_keep_freed_memory_reuses_that_of_a_batch() -> None:
    """By default, the kernel clears some 2,000 pages for each of them."""
    assert int(run(BATCHES, "tuned")) < 100
    assert int(run(BATCHES, "default")) > 100_000


def count_heaps(kind: str) -> int:
    return run(HEAPS, kind).count("<heap nr=")


def run(program: str, kind: str) -> str:
    return subprocess.run([sys.executable, "-c", program, kind], capture_output=True, text=True, check=True).stdout
