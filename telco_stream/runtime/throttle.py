"""Limits log lines per event and minute, and counts the suppressed ones."""

import time
from collections.abc import Callable
from dataclasses import dataclass

#: Maximum number of lines of one event that are logged per minute.
MAX_LINES = 10
#: Seconds.
MINUTE = 60.0


@dataclass(frozen=True, slots=True)
class SuppressedLines:
    """The number of suppressed lines of an event, and the seconds within which they came."""

    of: str
    count: int
    seconds: int


@dataclass(slots=True)
class _Minute:
    """The lines of one event since `started`."""

    started: float
    lines: int = 0


class LogThrottle:
    """Allows the first lines of each event in a minute, and counts the others; `clock` returns seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._minutes: dict[str, _Minute] = {}

    def allows(self, event: str) -> bool:
        """Count a line of the event, and return whether it may be logged."""
        minute = self._minutes.setdefault(event, _Minute(self._clock()))
        minute.lines += 1
        return minute.lines <= MAX_LINES

    def take_suppressed(self, *, force: bool = False) -> list[SuppressedLines]:
        """Return what was suppressed in the minutes that are over, or in all if `force`, and start new minutes."""
        now = self._clock()
        ended = {event: minute for event, minute in self._minutes.items() if force or now - minute.started >= MINUTE}
        for event in ended:
            del self._minutes[event]
        return [
            SuppressedLines(event, minute.lines - MAX_LINES, round(now - minute.started))
            for event, minute in ended.items()
            if minute.lines > MAX_LINES
        ]
