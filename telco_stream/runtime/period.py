"""Times as people write them, and the stretch between two of them."""

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from telco_stream.contract.timestamps import parse_timestamp
from telco_stream.errors import UsageError

_AGE = re.compile(r"(\d{1,6})([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@dataclass(frozen=True, slots=True)
class Period:
    """From `since` on and before `until`; without either, there is no bound on that side."""

    since: datetime | None = None
    until: datetime | None = None

    def bounds(self) -> tuple[float, float]:
        """Both ends in seconds since 1970; infinite where there is no bound."""
        return (
            self.since.timestamp() if self.since else -math.inf,
            self.until.timestamp() if self.until else math.inf,
        )


#: All of time.
ALWAYS = Period()


def parse_period(since: str | None, until: str | None, now: datetime) -> Period:
    """The period between two times as `parse_time` takes them; raises `UsageError`, also where it holds nothing."""
    period = Period(
        None if since is None else parse_time(since, now),
        None if until is None else parse_time(until, now),
    )
    start, end = period.bounds()
    if start >= end:
        raise UsageError(f"--since {since} is not before --until {until}: nothing lies between them")
    return period


def parse_time(text: str, now: datetime) -> datetime:
    """A time in ISO 8601 (in UTC unless it says otherwise), or an age such as `90s`, `15m`, `2h`, `7d`, `4w`."""
    try:
        if age := _AGE.fullmatch(text):
            return now - timedelta(**{_UNITS[age[2]]: int(age[1])})
        time = datetime.fromisoformat(text.upper())
    except (ValueError, OverflowError):
        raise UsageError(f"{text[:40]!r} is no time: give one as 2026-01-31T12:00:00Z, or an age as 2h") from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def instant(text: str) -> float:
    """Return the seconds since 1970 of a time as in RFC 3339; any other text is older than all times."""
    try:
        return parse_timestamp(text).timestamp()
    except ValueError:
        return -math.inf
