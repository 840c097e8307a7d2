"""What is one for the whole process, and what a test did to it: the next one finds it as it was."""

import contextlib
import gc
import logging
from collections.abc import Iterator

from telco_stream.runtime.redaction import redact

_USUAL = gc.get_threshold()


@contextlib.contextmanager
def restore_logging() -> Iterator[None]:
    """Put back handlers, levels and propagation of the package's log and the client's; forget registered secrets."""
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
    """Of consumers side by side in one process, the last may leave it as another had set it for the time being."""
    _reset_gc()
    try:
        yield
    finally:
        _reset_gc()


def _reset_gc() -> None:
    gc.set_threshold(*_USUAL)
    gc.unfreeze()
