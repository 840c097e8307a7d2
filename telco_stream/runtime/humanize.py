"""Numbers, times and untrusted text in the form that people read, in a terminal and on a page alike."""

from datetime import UTC, datetime, timedelta

#: Code points of a value that are shown. Characters without width would otherwise fit into a column by the thousand.
MAX_TEXT_LENGTH = 1_000
#: Rates from here on are shown without a decimal.
_WHOLE_RATE = 100
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EARLIEST, _LATEST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
_UNITS = [("week", 7 * 86_400), ("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1)]


def escape_unprintable(text: str) -> str:
    """Return at most 1,000 characters of the text, escaped."""
    return escape(text[:MAX_TEXT_LENGTH] + "…" if len(text) > MAX_TEXT_LENGTH else text)


def escape(text: str) -> str:
    """Return the text with control characters, line ends and bidirectional marks as escape codes."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def format_count(number: int) -> str:
    """Format a whole number with thousands separators."""
    return f"{number:,}"


def count_of(number: int, noun: str) -> str:
    """Format a whole number and what it counts: `1 row`, `2,000 rows`."""
    return f"{format_count(number)} {noun}{'' if number == 1 else 's'}"


def format_percent(share: float | None) -> str:
    """Format a share from 0 to 1 as a percentage with one decimal, and an unknown one as `-`."""
    return "-" if share is None else f"{share:.1%}"


def format_share(part: float, whole: int) -> str:
    """Format a part of a whole as a percentage, and any part of zero as `-`."""
    return format_percent(part / whole if whole else None)


def format_rate(rate: float) -> str:
    """Format a rate per second, with a decimal if it is below 100."""
    return f"{rate:,.1f}/s" if 0 < rate < _WHOLE_RATE else f"{round(rate):,}/s"


def format_elapsed(seconds: float) -> str:
    """Format a duration as hours, minutes and seconds: `0:01:05`."""
    whole = int(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"


def format_interval(seconds: int) -> str:
    """Format a whole number of seconds in its largest unit: `15 minutes`, `1 day`."""
    unit, size = next((unit, size) for unit, size in _UNITS if seconds % size == 0)
    return count_of(seconds // size, unit)


def to_datetime(timestamp: float) -> datetime:
    """Convert seconds since 1970 to a time in UTC; clamp it to the years 1 to 9999."""
    try:
        return _EPOCH + timedelta(seconds=timestamp)
    except OverflowError:
        return _LATEST if timestamp > 0 else _EARLIEST


def format_time(time: datetime) -> str:
    """Format a time in UTC, to the second if it has seconds and to the minute otherwise."""
    time = time.astimezone(UTC)
    return f"{time:%Y-%m-%d %H:%M:%S}" if time.second else f"{time:%Y-%m-%d %H:%M}"
