"""Detection of brokers that cannot be reached: outages, refused connections, and addresses of another network.

A client connects to the bootstrap servers once, fetches the cluster's metadata and then uses the addresses in it. If a
listener advertises the name of another network, only this first request succeeds.
"""

import logging
import re
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

from confluent_kafka import KafkaError

from telco_stream import errors
from telco_stream.kafka.auth_errors import reason_of, without_echo
from telco_stream.kafka.blocking_calls import BackgroundCall, Deadline
from telco_stream.kafka.error_policy import cannot_connect

log = logging.getLogger("telco_stream.kafka")

#: Seconds between two probes of an unavailable broker.
_PAUSE = 0.5
#: Seconds in which repeated outages are logged once, and repeated refusals once.
_LOG_INTERVAL = 60.0
#: Longest timeout in seconds within which a missing answer is only reported as an error.
_SHORT_TIMEOUT = 3.0
#: Seconds in which all advertised addresses must accept a connection; they are probed at the same time.
_CONNECT_SECONDS = 1.0
_DEFAULT_PORT = 9092
_ADDRESS = re.compile(r"(?:\w+://)?\[?(?P<host>[^/\]]+?)\]?(?::(?P<port>\d+))?")

#: Returns the error of the broker at an address, or None if it answers; without an address, probes any broker.
Probe = Callable[[str | None], KafkaError | None]
Address = tuple[str, int]


class Outage:
    """Probes a broker that seems unavailable, and calls `on_refused` if it refuses this process for `timeout` seconds.

    A refusal is a failed login or an untrusted certificate. Waits without a limit for a broker that is only down.
    """

    def __init__(self, brokers: str, probe: Probe, timeout: float, on_refused: Callable[[KafkaError], None]) -> None:
        self._brokers = brokers
        self._probe = probe
        self._timeout = timeout
        self._on_refused = on_refused
        self._watching = threading.Lock()
        #: Address suspected last, if no probe has begun since; None is any broker.
        self._suspects = deque[str | None](maxlen=1)
        #: Times of the last logged outage and refusal, by whether the broker refused this process.
        self._logged_at = dict.fromkeys((False, True), -_LOG_INTERVAL)
        self._is_slow_noted = False
        #: Start of the outage, by the monotonic clock; None while no outage is known.
        self.since: float | None = None

    def suspect(self, address: str | None = None) -> None:
        """Start to probe the broker after connection errors; only a failed probe is logged, as idle connections close.

        Returns at once and raises nothing: the client calls it from its error callback.
        """
        self._suspects.append(address)
        self._watch_in_background()

    def note_slow_answer(self, error: KafkaError | None) -> None:
        """Log once that no broker has answered yet, and the error; not if the timeout is so short that it ends soon."""
        if not self._is_slow_noted and self._timeout > _SHORT_TIMEOUT:
            reason = f" ({reason_of(error)})" if error else ""
            extra = {"event": "kafka_slow", "facts": {"brokers": self._brokers, "timeout": self._timeout}}
            text = "Kafka at %s has not answered yet%s; waiting up to %g s"
            log.info(text, self._brokers, reason, self._timeout, extra=extra)
        self._is_slow_noted = True

    def _watch_in_background(self) -> None:
        if self._watching.acquire(blocking=False):
            with suppress(RuntimeError):  # the interpreter is shutting down and cannot start threads
                threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        """Probe until a probe that began after the last suspicion succeeds: the client reports an outage only once.

        A `ReferenceError` of the probe ends it, too: nothing uses the clients any more.
        """
        try:
            while self._suspects:
                address = self._suspects.pop()
                if (error := self._probe(address)) is not None:
                    self._wait(address, error)
        except ReferenceError:
            return
        finally:
            self._watching.release()
        if self._suspects:  # suspected between the last look and the release
            self._watch_in_background()

    def _wait(self, address: str | None, error: KafkaError | None) -> None:
        """Probe until the broker answers, or until it has refused for the timeout."""
        self.since = since = time.monotonic()
        refused_at: float | None = None
        is_logged, kinds = False, set[bool]()
        while error is not None:
            if cannot_connect(error):
                refused_at = refused_at or time.monotonic()
                if time.monotonic() - refused_at >= self._timeout:
                    self._on_refused(error)
                    return
            if cannot_connect(error) not in kinds:
                kinds.add(cannot_connect(error))
                is_logged |= self._log_loss(address or self._brokers, error)
            time.sleep(_PAUSE)
            error = self._probe(address)
        self.since = None
        if is_logged:
            seconds = time.monotonic() - since
            extra = {"event": "kafka_available", "facts": {"brokers": self._brokers, "seconds": round(seconds, 1)}}
            log.warning("Kafka at %s is available again after %.0f s", self._brokers, seconds, extra=extra)

    def _log_loss(self, broker: str, error: KafkaError) -> bool:
        """Log an outage or a refusal, and return True, unless one like it was logged a moment ago."""
        is_refused, now = cannot_connect(error), time.monotonic()
        if now - self._logged_at[is_refused] < _LOG_INTERVAL:
            return False
        self._logged_at[is_refused] = now
        facts = {"brokers": broker}
        if is_refused:
            text = "Kafka at %s refuses this process: %s; ending in %g s unless that changes"
            extra = {"event": "refused", "facts": facts}
            log.warning(text, broker, without_echo(error.str()), self._timeout, extra=extra)
        else:
            extra = {"event": "kafka_unavailable", "facts": facts}
            log.warning("Kafka at %s is unavailable; waiting for it", broker, extra=extra)
        return True


def unreachable_broker(bootstrap_servers: str, advertised: Sequence[Address]) -> errors.KafkaError | None:
    """Return the error for the first advertised address that accepts no connection while a bootstrap server does."""
    bootstrap = [address for text in bootstrap_servers.split(",") if (address := _parse(text.strip()))]
    others = [address for address in advertised if address not in bootstrap]
    if not others:
        return None
    probes = {address: BackgroundCall(partial(_accepts, address)) for address in (*bootstrap, *others)}
    deadline = Deadline(_CONNECT_SECONDS)
    for probe in probes.values():
        probe.wait(deadline.remaining)
    reached = [address for address, probe in probes.items() if not probe.is_alive() and probe.result()]
    answered = next((address for address in bootstrap if address in reached), None)
    unreachable = next((address for address in others if address not in reached), None)
    if answered is None or unreachable is None:
        return None
    check_broker = " and whether that broker is up" if len(advertised) > 1 else ""
    return errors.KafkaError(
        f"{_text(answered)} answered and advertises {_text(unreachable)}, which cannot be reached from here; check"
        f" advertised.listeners{check_broker}"
    )


def _parse(text: str) -> Address | None:
    match = _ADDRESS.fullmatch(text)
    return (match["host"], int(match["port"] or _DEFAULT_PORT)) if match else None


def _accepts(address: Address) -> bool:
    try:
        socket.create_connection(address, _CONNECT_SECONDS).close()
    except (OSError, UnicodeError):  # IDNA encoding fails for a host name that is too long
        return False
    return True


def _text(address: Address) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
