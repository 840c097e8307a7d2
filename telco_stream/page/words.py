"""Times and shares in the words of the page."""

from datetime import UTC, datetime, timedelta

from telco_stream.display.text import count, percent
from telco_stream.period import Period

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EARLIEST, _LATEST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
_DAY = 86_400
_UNITS = [("week", 7 * _DAY), ("day", _DAY), ("hour", 3_600), ("minute", 60), ("second", 1)]


def moment(seconds: float) -> datetime:
    """The time so many seconds since 1970, or the nearest that a calendar has."""
    try:
        return _EPOCH + timedelta(seconds=seconds)
    except OverflowError:
        return _LATEST if seconds > 0 else _EARLIEST


def time_words(time: datetime) -> str:
    """A time in UTC, to the second where it has any."""
    time = time.astimezone(UTC)
    return f"{time:%Y-%m-%d %H:%M:%S}" if time.second else f"{time:%Y-%m-%d %H:%M}"


def period_words(period: Period) -> str:
    """What the page is about, as the beginning of a sentence."""
    since = f"from {time_words(period.since)}" if period.since else ""
    until = f"before {time_words(period.until)}" if period.until else ""
    bounds = " and ".join(filter(None, [since, until]))
    return f"Predictions made {bounds} UTC" if bounds else "All predictions"


def width_words(seconds: int) -> str:
    """The length of a step: `15 minutes`, `1 day`."""
    name, size = next((name, size) for name, size in _UNITS if seconds % size == 0)
    number = seconds // size
    return f"{count(number)} {name}{'' if number == 1 else 's'}"


def share_of(part: int, whole: int) -> str:
    """The part as a percentage; of nothing there is none."""
    return percent(part / whole) if whole else "-"
