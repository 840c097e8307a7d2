"""Times and ages as users write them, and periods between two times."""

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
    """The time from `since` (inclusive) to `until` (exclusive); None leaves that side unbounded."""

    since: datetime | None = None
    until: datetime | None = None

    def bounds(self) -> tuple[float, float]:
        """Return both ends in seconds since 1970; an unbounded side is infinite."""
        return (
            self.since.timestamp() if self.since else -math.inf,
            self.until.timestamp() if self.until else math.inf,
        )

    def previous(self, now: float) -> "Period | None":
        """Return the period of the same length before, None without a start; a period without an end ends now."""
        if self.since is None:
            return None
        try:
            length = (self.until or datetime.fromtimestamp(now, UTC)) - self.since
            return Period(self.since - length, self.since) if length > timedelta() else None
        except OverflowError:
            return None


#: The unbounded period.
ALWAYS = Period()


def parse_period(since: str | None, until: str | None, now: float) -> Period:
    """Parse both ends with `parse_time`; raises `UsageError`, also if the period is empty."""
    period = Period(
        None if since is None else parse_time(since, now, "--since"),
        None if until is None else parse_time(until, now, "--until"),
    )
    start, end = period.bounds()
    if start >= end:
        raise UsageError(f"--since {since} is not before --until {until}; the period is empty")
    return period


def parse_time(text: str, now: float, option: str) -> datetime:
    """Parse an ISO 8601 time (by default in UTC), or an age at `now` such as `90s`, `15m`, `2h`, `7d` or `4w`.

    Raises `UsageError` with the name of the option.
    """
    try:
        if (age := _age(text)) is not None:
            return datetime.fromtimestamp(now, UTC) - age
        time = datetime.fromisoformat(text.upper())
    except (ValueError, OverflowError):
        message = f"{option}: {text[:40]!r} is not a time; use 2026-11-01, 2026-11-01T08:00Z or an age such as 2h"
        raise UsageError(message) from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def parse_length(text: str, option: str) -> float:
    """Parse a length of time such as `90s`, `15m`, `2h`, `7d` or `4w`, and return its seconds.

    Raises `UsageError` with the name of the option.
    """
    age = _age(text)
    if not age:
        raise UsageError(f"{option}: {text[:40]!r} is not a length of time; use 30d, 4w or 12h")
    return age.total_seconds()


def _age(text: str) -> timedelta | None:
    age = _AGE.fullmatch(text)
    return timedelta(**{_UNITS[age[2]]: int(age[1])}) if age else None


def to_timestamp(text: str) -> float:
    """Convert an RFC 3339 time to seconds since 1970, and any other text to minus infinity."""
    try:
        return parse_timestamp(text).timestamp()
    except ValueError:
        return -math.inf


def to_rfc3339(time: datetime) -> str:
    """Format a time in UTC, to the second."""
    return time.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
