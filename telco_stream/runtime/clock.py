"""The current time in the format of the messages, and the rate at which a count grows."""

from collections import deque
from datetime import UTC, datetime

#: The last second of the year 9999, the latest time that a datetime can hold, in milliseconds.
_MAX_TIME = 253_402_300_799_000


def utc_timestamp() -> str:
    """Return the current time as RFC 3339, in UTC with milliseconds."""
    return rfc3339(datetime.now(UTC))


def record_time(milliseconds: int) -> datetime:
    """Return the time of a record, which any producer may have set, from milliseconds since 1970."""
    return datetime.fromtimestamp(min(max(0, milliseconds), _MAX_TIME) / 1_000, UTC)


def rfc3339(moment: datetime) -> str:
    """Format a time in UTC as RFC 3339 with milliseconds."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class RateMeter:
    """Rate of a growing count over the last `window` seconds; the caller passes the time, in seconds of any clock."""

    def __init__(self, now: float, window: float) -> None:
        self._window = window
        self._samples = deque([(now, 0)])

    def update(self, now: float, count: int) -> None:
        """Record the count as it is now, and drop the samples that the window no longer needs."""
        self._samples.append((now, count))
        while len(self._samples) > 1 and self._samples[1][0] <= now - self._window:
            self._samples.popleft()

    def rate(self, now: float) -> float:
        """Return the increase per second; safe to call from a thread that does not update."""
        samples = tuple(self._samples)
        before = max((count for time, count in samples if time <= now - self._window), default=samples[0][1])
        seconds = min(now - samples[0][0], self._window)
        return (samples[-1][1] - before) / seconds if seconds > 0 else 0.0
