"""A broker that goes away or refuses this process while a command runs."""

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from confluent_kafka import KafkaError

from telco_stream.kafka.auth_errors import without_echo
from telco_stream.kafka.error_policy import cannot_connect

log = logging.getLogger("telco_stream.kafka")

#: Seconds between two probes of a broker that is away.
_PAUSE = 0.5
#: Seconds in which a broker that comes and goes is logged once.
_QUIET = 60.0

#: Returns why the broker at an address does not answer, or None if it does; without an address any broker will do.
Probe = Callable[[str | None], KafkaError | None]


class Outage:
    """Watches over a broker that seems to be away, and calls `on_refused` if it refuses this process for `timeout`.

    A refusal is a failed login or an untrusted certificate. `probe` takes a second at most. A broker that is only away
    is waited for as long as it takes.
    """

    def __init__(self, where: str, probe: Probe, timeout: float, on_refused: Callable[[KafkaError], None]) -> None:
        self._where = where
        self._probe = probe
        self._timeout = timeout
        self._on_refused = on_refused
        self._watching = threading.Lock()
        self._logged_at = -_QUIET
        #: Since when it is away, by the monotonic clock; None while it is there, as far as anybody noticed.
        self.since: float | None = None

    def suspect(self, address: str | None = None) -> None:
        """Probe the broker, because connections are gone: perhaps only idle ones, so that nothing is logged before.

        Returns at once; it is called from inside the client, where nothing may be waited for or raised.
        """
        if self._watching.acquire(blocking=False):
            with suppress(RuntimeError):  # the interpreter is about to end, and starts no more threads
                threading.Thread(target=self._watch, args=(address,), daemon=True).start()

    def _watch(self, address: str | None) -> None:
        try:
            error = self._probe(address)
            if error is not None:
                self._wait(address, error)
        finally:
            self._watching.release()

    def _wait(self, address: str | None, error: KafkaError | None) -> None:
        """Probe until there is an answer, or until the refusals have lasted for the timeout."""
        self.since = since = time.monotonic()
        refused_at: float | None = None
        is_logged, logged = since - self._logged_at >= _QUIET, set[bool]()
        while error is not None:
            if cannot_connect(error):
                refused_at = refused_at or time.monotonic()
                if time.monotonic() - refused_at >= self._timeout:
                    self._on_refused(error)
                    return
            if is_logged and cannot_connect(error) not in logged:
                logged.add(cannot_connect(error))
                self._log_loss(address or self._where, error)
            time.sleep(_PAUSE)
            error = self._probe(address)
        self.since = None
        if is_logged:
            seconds = time.monotonic() - since
            facts = {"event": "kafka_available", "facts": {"brokers": self._where, "seconds": round(seconds, 1)}}
            log.warning("Kafka at %s is back, after %.0f s", self._where, seconds, extra=facts)

    def _log_loss(self, where: str, error: KafkaError) -> None:
        self._logged_at = time.monotonic()
        facts = {"brokers": where}
        if cannot_connect(error):
            words = "Kafka at %s refuses this process: %s; ending in %g s unless that changes"
            log.warning(
                words, where, without_echo(error.str()), self._timeout, extra={"event": "refused", "facts": facts}
            )
        else:
            extra = {"event": "kafka_unavailable", "facts": facts}
            log.warning("Kafka at %s is away; waiting until it is back", where, extra=extra)
