"""One line on stderr for each event worth knowing; ids and coordinates, never a customer's values or a secret.

An event is a log record that carries its name and its facts: `log.info("…", extra={"event": "…", "facts": {…}})`.
"""

import json
import logging
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime

from telco_stream import __version__
from telco_stream.errors import TelcoStreamError
from telco_stream.runtime.redaction import redact
from telco_stream.runtime.throttle import LogThrottle

log = logging.getLogger("telco_stream")

#: Counted by those who tell of them.
_COUNTED = frozenset({"dead_letter", "dead_letters"})
#: Above every level.
_NEVER = logging.CRITICAL + 1


def configure(*, quiet: bool = False, verbose: bool = False, as_json: bool = False) -> None:
    """Send the package's log to stderr: warnings only if quiet; everything, and each line of it, if verbose."""
    handler = _Lines(None if verbose else LogThrottle())
    handler.setFormatter(_Json() if as_json else _Text())
    log.handlers[:] = [handler]
    log.propagate = False
    log.setLevel(logging.DEBUG if verbose else logging.WARNING if quiet else logging.INFO)
    # The client repeats itself, while a broker is away and when it is fenced; what that means is said once by others.
    logging.getLogger("telco_stream.kafka.client").setLevel(logging.DEBUG if verbose else _NEVER)


def divert(write: Callable[[str], object]) -> None:
    """From now on, have each line written by somebody who knows what else is on the screen."""
    for handler in log.handlers:
        if isinstance(handler, _Lines):
            handler.write = write


def log_start(command: str, **facts: object) -> None:
    """A command has begun, and with what."""
    facts = {"command": command, "version": __version__, **facts}
    log.info("started %s", list_facts(facts), extra={"event": "started", "facts": facts})


def log_end(command: str, **facts: object) -> None:
    """A command has ended as it should, and what it did."""
    _log_suppressed()
    facts = {"command": command, **facts}
    log.info("stopped %s", list_facts(facts), extra={"event": "stopped", "facts": facts})


def log_failure(error: TelcoStreamError) -> bool:
    """Whether the log took the error that ends a command: it does where its readers expect nothing but JSON."""
    _log_suppressed()
    if not any(isinstance(one.formatter, _Json) for one in log.handlers):
        return False
    log.critical("%s", error, extra={"event": "failed", "facts": {"exit_code": error.exit_code}})
    return True


class _Lines(logging.Handler):
    """A line each; a log that nobody reads any more is no reason to fail, least of all inside a client's callback."""

    write: Callable[[str], object]

    def __init__(self, throttle: LogThrottle | None) -> None:
        super().__init__()
        self.write = _to_stderr
        self._throttle = throttle

    def emit(self, record: logging.LogRecord) -> None:
        record.msg, record.args = redact(record.getMessage()), None
        self.log_suppressed(at_once=False)
        if self._allows(record):
            with suppress(OSError, ValueError):
                self.write(self.format(record))

    def log_suppressed(self, *, at_once: bool) -> None:
        """Tell how many lines were left out."""
        for one in self._throttle.left_out(at_once=at_once) if self._throttle else ():
            facts = asdict(one)
            log.warning("lines suppressed: %s", list_facts(facts), extra={"event": "lines_suppressed", "facts": facts})

    def _allows(self, record: logging.LogRecord) -> bool:
        """What is well comes as seldom as the group changes; what isn't may come with every batch."""
        if self._throttle is None or record.levelno < logging.WARNING or _event(record) in _COUNTED:
            return True
        return self._throttle.allows(_event(record))


class _Text(logging.Formatter):
    """Time, level, message, for people."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).astimezone().strftime("%H:%M:%S")
        return _printable(f"{at} {record.levelname} {record.getMessage()}")


class _Json(logging.Formatter):
    """One object with `ts`, `level`, `event`, `message`, and the event's own facts."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {
            "ts": at.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "event": _event(record),
            "message": record.getMessage(),
            **getattr(record, "facts", {}),
        }
        return json.dumps(line, default=str)


def _log_suppressed() -> None:
    for handler in log.handlers:
        if isinstance(handler, _Lines):
            handler.log_suppressed(at_once=True)


def _event(record: logging.LogRecord) -> str:
    """Its name, or that of whoever wrote the line."""
    return getattr(record, "event", record.name.rpartition(".")[2])


def _to_stderr(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def list_facts(facts: Mapping[str, object]) -> str:
    """Return the facts as `name=value`, separated by spaces."""
    return " ".join(f"{name}={value}" for name, value in facts.items())


def _printable(line: str) -> str:
    """What brokers and clients wrote can't move the cursor or begin a new line."""
    if line.isprintable():
        return line
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in line)
