import math
from datetime import UTC, datetime, timedelta

import pytest

from telco_stream.errors import UsageError
from telco_stream.runtime.period import ALWAYS, Period, instant, parse_period, parse_time

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-01-01", NEW_YEAR),
        ("2026-01-01T00:00:00Z", NEW_YEAR),
        ("2026-01-01t01:00:00+01:00", NEW_YEAR),
        ("2026-01-01 00:00", NEW_YEAR),
        ("90s", NEW_YEAR - timedelta(seconds=90)),
        ("15m", NEW_YEAR - timedelta(minutes=15)),
        ("2h", NEW_YEAR - timedelta(hours=2)),
        ("7d", NEW_YEAR - timedelta(days=7)),
        ("4w", NEW_YEAR - timedelta(weeks=4)),
    ],
)
def test_a_time_is_a_date_or_an_age(text: str, time: datetime) -> None:
    assert parse_time(text, NEW_YEAR) == time


@pytest.mark.parametrize("text", ["", "now", "5", "2h30m", "-1h", "2026-13-01", "999999w"])
def test_what_is_no_time_is_wrong_usage(text: str) -> None:
    with pytest.raises(UsageError, match="is no time"):
        parse_time(text, NEW_YEAR)


def test_a_period_is_what_lies_between_two_times() -> None:
    assert parse_period("2h", "1h", NEW_YEAR) == Period(NEW_YEAR - timedelta(hours=2), NEW_YEAR - timedelta(hours=1))


def test_a_period_without_an_end_is_open_on_that_side() -> None:
    assert parse_period(None, None, NEW_YEAR) == ALWAYS
    assert ALWAYS.bounds() == (-math.inf, math.inf)
    assert parse_period("2026-01-01", None, NEW_YEAR).bounds() == (NEW_YEAR.timestamp(), math.inf)


@pytest.mark.parametrize(("since", "until"), [("1h", "2h"), ("2026-01-01", "2026-01-01T01:00:00+01:00")])
def test_a_period_that_holds_nothing_is_wrong_usage(since: str, until: str) -> None:
    with pytest.raises(UsageError, match="nothing lies between"):
        parse_period(since, until, NEW_YEAR)


@pytest.mark.parametrize("text", ["", "soon"])
def test_an_empty_time_is_no_open_end(text: str) -> None:
    """A variable that isn't set must not widen what a replay sends."""
    with pytest.raises(UsageError, match="is no time"):
        parse_period(text, None, NEW_YEAR)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:00:01Z", 1.0),
        ("1970-01-01T01:00:00.5+01:00", 0.5),
        ("1970-01-01t00:00:01z", 1.0),
        ("1970-01-02", -math.inf),
        ("?", -math.inf),
    ],
)
def test_an_instant_is_seconds_since_1970(text: str, seconds: float) -> None:
    assert instant(text) == seconds
