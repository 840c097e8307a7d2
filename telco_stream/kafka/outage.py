"""A broker that goes away while a command runs: said once, and once more when it is back."""

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress

log = logging.getLogger("telco_stream.kafka")

#: Seconds between two questions whether the broker is back.
_PAUSE = 0.5
#: Seconds in which a broker that comes and goes is spoken of once.
_QUIET = 60.0


class Outage:
    """Watches over a broker that seems to be away. `answers` asks it, and takes a second at most."""

    def __init__(self, where: str, answers: Callable[[], bool]) -> None:
        self._where = where
        self._answers = answers
        self._watching = threading.Lock()
        self._said = -_QUIET
        #: Since when it is away, by the monotonic clock; None while it is there, as far as anybody noticed.
        self.since: float | None = None

    def suspect(self) -> None:
        """All connections are gone: perhaps only idle ones, so the broker is asked before anything is said.

        Returns at once; it is called from inside the client, where nothing may be waited for or raised.
        """
        if self._watching.acquire(blocking=False):
            with suppress(RuntimeError):  # the interpreter is about to end, and starts no more threads
                threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        try:
            if not self._answers():
                self._wait()
        finally:
            self._watching.release()

    def _wait(self) -> None:
        """Ask until there is an answer, with a word before and a word after."""
        self.since = since = time.monotonic()
        speaks = since - self._said >= _QUIET
        if speaks:
            self._said = since
            words = {"event": "waiting", "facts": {"brokers": self._where}}
            log.warning("Kafka at %s is away; waiting until it is back", self._where, extra=words)
        while not self._answers():
            time.sleep(_PAUSE)
        self.since = None
        if speaks:
            seconds = time.monotonic() - since
            back = {"event": "back", "facts": {"brokers": self._where, "seconds": round(seconds, 1)}}
            log.warning("Kafka at %s is back, after %.0f s", self._where, seconds, extra=back)
