import math
from datetime import UTC, datetime, timedelta

import pytest

from telco_stream.errors import UsageError
from telco_stream.runtime.period import ALWAYS, Period, parse_period, parse_time, to_timestamp

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
def test_parse_time_accepts_a_date_or_an_age(text: str, time: datetime) -> None:
    assert parse_time(text, NEW_YEAR.timestamp(), "--since") == time


@pytest.mark.parametrize("text", ["", "now", "5", "2h30m", "-1h", "2026-13-01", "999999w"])
def test_parse_time_names_the_option_when_it_is_not_a_time(text: str) -> None:
    with pytest.raises(UsageError, match=r"^--since: .* is not a time"):
        parse_time(text, NEW_YEAR.timestamp(), "--since")


def test_parse_period_has_two_ends() -> None:
    assert parse_period("2h", "1h", NEW_YEAR.timestamp()) == Period(
        NEW_YEAR - timedelta(hours=2), NEW_YEAR - timedelta(hours=1)
    )


def test_parse_period_is_unbounded_when_an_end_is_missing() -> None:
    assert parse_period(None, None, NEW_YEAR.timestamp()) == ALWAYS
    assert ALWAYS.bounds() == (-math.inf, math.inf)
    assert parse_period("2026-01-01", None, NEW_YEAR.timestamp()).bounds() == (NEW_YEAR.timestamp(), math.inf)


@pytest.mark.parametrize(("since", "until"), [("1h", "2h"), ("2026-01-01", "2026-01-01T01:00:00+01:00")])
def test_parse_period_is_refused_when_it_is_empty(since: str, until: str) -> None:
    with pytest.raises(UsageError, match="the period is empty"):
        parse_period(since, until, NEW_YEAR.timestamp())


@pytest.mark.parametrize("text", ["", "soon"])
def test_parse_period_is_refused_when_an_end_is_empty_text(text: str) -> None:
    """An unset shell variable must not widen what a replay sends."""
    with pytest.raises(UsageError, match="is not a time"):
        parse_period(text, None, NEW_YEAR.timestamp())


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
def test_to_timestamp_is_seconds_since_1970(text: str, seconds: float) -> None:
    assert to_timestamp(text) == seconds


def test_previous_period_has_the_same_length_and_ends_at_the_start() -> None:
    now = datetime(2026, 3, 1, tzinfo=UTC).timestamp()
    week = parse_period("7d", None, now)
    assert week.previous(now) == parse_period("14d", "7d", now)
    month = parse_period("2026-02-01", "2026-02-15", now)
    assert month.previous(now) == parse_period("2026-01-18", "2026-02-01", now)


def test_previous_period_is_none_when_it_has_no_length() -> None:
    now = datetime(2026, 3, 1, tzinfo=UTC).timestamp()
    for since, until in ((None, None), (None, "2026-01-01"), ("2026-04-01", None), ("0001-01-02", None)):
        assert parse_period(since, until, now).previous(now) is None
