"""Garbage collection during imports and a run.

Imports create many objects that stay: collections took a tenth of the start-up time and freed nothing. A batch creates
about five container objects per record, none of them in a cycle. With Python's default threshold the collector took a
sixth of the processing time and freed nothing.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

#: New container objects that start a collection. Python's default of 700 is reached every 140 records.
_THRESHOLD = 250_000


def collect_rarely() -> None:
    """Collect garbage rarely in this process."""
    gc.set_threshold(_THRESHOLD)


@contextmanager
def reduced_gc() -> Iterator[None]:
    """Exclude existing objects from garbage collection, and collect new ones rarely, while the block runs."""
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(_THRESHOLD, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
