"""The log of the package: one line on stderr per event, with IDs and coordinates but no customer data.

A line is a sentence on a terminal, and otherwise text with the event's facts, or JSON. An event is a log record with a
name and facts: `log.info("…", extra={"event": "…", "facts": {…}})`.
"""

import json
import logging
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from telco_stream import __version__
from telco_stream.errors import TelcoStreamError
from telco_stream.runtime.humanize import escape
from telco_stream.runtime.redaction import redact
from telco_stream.runtime.sentences import UNTIL_STOPPED, sentence_of

log = logging.getLogger("telco_stream")
#: Events that are not throttled here because `DeadLetterLog` limits them per batch.
_UNTHROTTLED = frozenset({"dead_letter", "dead_letters"})
#: A level above all others, which disables a logger.
_DISABLED = logging.CRITICAL + 1
#: Maximum number of lines of one event that are logged per minute.
MAX_LINES = 10
#: Seconds.
MINUTE = 60.0


def configure(
    *,
    quiet: bool = False,
    verbose: bool = False,
    as_json: bool = False,
    as_sentences: bool = False,
    worker: int | None = None,
) -> None:
    """Send the package's log to stderr: only warnings if `quiet`, all lines without throttling if `verbose`.

    Sentences name the `worker`, whose process writes to the same terminal as the others.
    """
    handler = _LineHandler(None if verbose else LogThrottle())
    text_formatter = _SentenceFormatter(worker) if as_sentences else _TextFormatter()
    handler.setFormatter(_JsonFormatter() if as_json else text_formatter)
    log.handlers[:] = [handler]
    log.propagate = False
    log.setLevel(logging.DEBUG if verbose else logging.WARNING if quiet else logging.INFO)
    # librdkafka repeats its errors while a broker is unavailable; the package logs each outage once.
    logging.getLogger("telco_stream.kafka.client").setLevel(logging.DEBUG if verbose else _DISABLED)


def divert(write: Callable[[str], object]) -> None:
    """Pass each formatted line to `write` instead of stderr, for example to print it above a live view."""
    for handler in log.handlers:
        if isinstance(handler, _LineHandler):
            handler.write = write


def log_versions() -> None:
    """Log the versions of the program and of Python, for --verbose."""
    python = ".".join(map(str, sys.version_info[:3]))
    log.debug("telco-stream %s on Python %s, %s", __version__, python, sys.platform, extra={"event": "versions"})


def log_start(command: str, **facts: object) -> None:
    """Log that a command has started, with its main settings; a run with the fact `until` ends only by a signal."""
    facts = {"command": command, "version": __version__, **facts}
    listed = list_facts({name: value for name, value in facts.items() if name != "until"})
    end = f"; it runs {UNTIL_STOPPED}" if "until" in facts else ""
    log.info("started %s%s", listed, end, extra={"event": "started", "facts": facts})


def log_end(command: str, **facts: object) -> None:
    """Log that a command has ended without an error, with its result."""
    _log_suppressed()
    facts = {"command": command, **facts}
    log.info("stopped %s", list_facts(facts), extra={"event": "stopped", "facts": facts})


def log_failure(error: TelcoStreamError) -> bool:
    """Log the error that ends a command if the log is JSON; return whether it was logged."""
    _log_suppressed()
    if not any(isinstance(handler.formatter, _JsonFormatter) for handler in log.handlers):
        return False
    log.critical("%s", error, extra={"event": "failed", "facts": {"exit_code": error.exit_code}})
    return True


def list_facts(facts: Mapping[str, object]) -> str:
    """Return the facts as `name=value`, separated by spaces."""
    return " ".join(f"{name}={value}" for name, value in facts.items())


@dataclass(frozen=True, slots=True)
class SuppressedLines:
    """The number of suppressed lines of an event, and the seconds within which they came."""

    of: str
    count: int
    seconds: int


class LogThrottle:
    """Allows the first lines of each event in a minute, and counts the others; `clock` returns seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._started: dict[str, float] = {}
        self._lines: Counter[str] = Counter()

    def allows(self, event: str) -> bool:
        """Count a line of the event, and return whether it may be logged."""
        self._started.setdefault(event, self._clock())
        self._lines[event] += 1
        return self._lines[event] <= MAX_LINES

    def take_suppressed(self, *, force: bool = False) -> list[SuppressedLines]:
        """Return what was suppressed in the minutes that are over, or in all if `force`, and start new minutes."""
        now = self._clock()
        suppressed = []
        for event, started in list(self._started.items()):
            if force or now - started >= MINUTE:
                del self._started[event]
                if (count := self._lines.pop(event) - MAX_LINES) > 0:
                    suppressed.append(SuppressedLines(event, count, round(now - started)))
        return suppressed


class _LineHandler(logging.Handler):
    """Writes a line per record, redacted and throttled.

    Ignores errors of the stream: an exception inside a callback of the client would lose a record.
    """

    write: Callable[[str], object]

    def __init__(self, throttle: LogThrottle | None) -> None:
        super().__init__()
        self.write = _to_stderr
        self._throttle = throttle

    def emit(self, record: logging.LogRecord) -> None:
        record.msg, record.args = redact(record.getMessage()), None
        self.log_suppressed(force=False)
        if self._allows(record):
            with suppress(OSError, ValueError):
                self.write(self.format(record))

    def log_suppressed(self, *, force: bool) -> None:
        """Log how many lines were suppressed in the minutes that are over, or up to now if `force`."""
        for suppressed in self._throttle.take_suppressed(force=force) if self._throttle else ():
            facts = asdict(suppressed)
            log.warning("lines suppressed: %s", list_facts(facts), extra={"event": "lines_suppressed", "facts": facts})

    def _allows(self, record: logging.LogRecord) -> bool:
        """Return whether to write the record; only warnings and errors can come with every batch."""
        if self._throttle is None or record.levelno < logging.WARNING or _event(record) in _UNTHROTTLED:
            return True
        return self._throttle.allows(_event(record))


class _TextFormatter(logging.Formatter):
    """Formats a record as time, level and message."""

    def format(self, record: logging.LogRecord) -> str:
        return escape(f"{_time_of_day(record)} {record.levelname} {record.getMessage()}")


class _SentenceFormatter(logging.Formatter):
    """Formats a record as time and a sentence, with the number of the worker that logs it, if there are several."""

    def __init__(self, worker: int | None) -> None:
        super().__init__()
        self._worker = "" if worker is None else f"worker {worker}: "

    def format(self, record: logging.LogRecord) -> str:
        level = "Warning: " if record.levelno >= logging.WARNING else ""
        sentence = sentence_of(_event(record), record.getMessage(), getattr(record, "facts", {}))
        return escape(f"{_time_of_day(record)} {self._worker}{level}{sentence}")


class _JsonFormatter(logging.Formatter):
    """Formats a record as a JSON object with `ts`, `level`, `event`, `message` and the event's facts."""

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
        if isinstance(handler, _LineHandler):
            handler.log_suppressed(force=True)


def _time_of_day(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).astimezone().strftime("%H:%M:%S")


def _event(record: logging.LogRecord) -> str:
    """Return the record's event, or the last part of its logger's name."""
    return getattr(record, "event", record.name.rpartition(".")[2])


def _to_stderr(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
