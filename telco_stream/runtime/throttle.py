"""What would be said too often is counted."""

import time
from collections.abc import Callable
from dataclasses import dataclass

#: Lines of one event that are told one by one in a minute.
TOLD = 10
#: Seconds.
MINUTE = 60.0


@dataclass(frozen=True, slots=True)
class LeftOut:
    """How many lines of an event were left out, in how many seconds."""

    of: str
    count: int
    seconds: int


@dataclass(slots=True)
class _Minute:
    """An event's lines since then."""

    since: float
    lines: int = 0


class LogThrottle:
    """Of each event the first lines of a minute are let through, and the others counted."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._minutes: dict[str, _Minute] = {}

    def allows(self, event: str) -> bool:
        """Whether one more line of this event is let through."""
        minute = self._minutes.setdefault(event, _Minute(self._clock()))
        minute.lines += 1
        return minute.lines <= TOLD

    def left_out(self, *, at_once: bool = False) -> list[LeftOut]:
        """What was left out, of each event once its minute is over, or at once; said once."""
        now = self._clock()
        over = {event: one for event, one in self._minutes.items() if at_once or now - one.since >= MINUTE}
        for event in over:
            del self._minutes[event]
        return [
            LeftOut(event, one.lines - TOLD, round(now - one.since)) for event, one in over.items() if one.lines > TOLD
        ]
