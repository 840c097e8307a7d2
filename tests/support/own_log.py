"""The package's log is one for the whole process; what a command does to it must not reach the next test."""

import contextlib
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
