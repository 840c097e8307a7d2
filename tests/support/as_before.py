"""What is one for the whole process, and what a test did to it: the next one finds it as it was."""

import contextlib
import gc
import logging
from collections.abc import Iterator


@contextlib.contextmanager
def log_as_before() -> Iterator[None]:
    """Handlers, levels and propagation of the package's log, and of the client's in it, are put back."""
    log, client = logging.getLogger("telco_stream"), logging.getLogger("telco_stream.kafka.client")
    handlers, propagate, levels = log.handlers[:], log.propagate, (log.level, client.level)
    try:
        yield
    finally:
        log.handlers[:], log.propagate = handlers, propagate
        log.setLevel(levels[0])
        client.setLevel(levels[1])


@contextlib.contextmanager
def collector_as_before() -> Iterator[None]:
    """Consumers side by side in one process leave it as the last of them found it: switched off by another."""
    thresholds = gc.get_threshold()
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()
