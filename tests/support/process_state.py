"""Context managers that restore process-wide state after a test: logging and the garbage collector."""

import contextlib
import gc
import logging
from collections.abc import Iterator

from telco_stream.runtime.redaction import redact

_DEFAULT_THRESHOLD = gc.get_threshold()


@contextlib.contextmanager
def restore_logging() -> Iterator[None]:
    """Restore the loggers of the package and of the Kafka client, and forget registered secrets."""
    log, client = logging.getLogger("telco_stream"), logging.getLogger("telco_stream.kafka.client")
    handlers, propagate, levels = log.handlers[:], log.propagate, (log.level, client.level)
    try:
        yield
    finally:
        redact.register({})
        log.handlers[:], log.propagate = handlers, propagate
        log.setLevel(levels[0])
        client.setLevel(levels[1])


@contextlib.contextmanager
def restore_gc() -> Iterator[None]:
    """Reset the collector before and after a test: concurrent consumers in one process may leave it changed."""
    _reset_gc()
    try:
        yield
    finally:
        _reset_gc()


def _reset_gc() -> None:
    gc.set_threshold(*_DEFAULT_THRESHOLD)
    gc.unfreeze()
