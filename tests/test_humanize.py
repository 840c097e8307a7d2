"""Numbers, times and untrusted text for people."""

from datetime import UTC, datetime

import pytest

from telco_stream.runtime.humanize import (
    MAX_TEXT_LENGTH,
    escape,
    escape_unprintable,
    format_count,
    format_elapsed,
    format_interval,
    format_percent,
    format_rate,
    format_share,
    format_time,
    to_datetime,
)


@pytest.mark.parametrize(("rate", "text"), [(0, "0/s"), (9.94, "9.9/s"), (99.9, "99.9/s"), (1234.4, "1,234/s")])
def test_format_rate_has_a_decimal_when_it_is_low(rate: float, text: str) -> None:
    assert format_rate(rate) == text


def test_format_elapsed_has_hours() -> None:
    assert [format_elapsed(seconds) for seconds in (0, 59.9, 61, 36_000)] == [
        *("0:00:00", "0:00:59", "0:01:01", "10:00:00"),
    ]


def test_format_share_is_a_dash_when_there_is_nothing() -> None:
    assert [format_share(0, 0), format_share(1, 8), format_percent(None), format_percent(0.5)] == [
        *("-", "12.5%", "-", "50.0%"),
    ]


def test_format_count_separates_thousands() -> None:
    assert format_count(1_234_567) == "1,234,567"


@pytest.mark.parametrize(
    ("seconds", "text"), [(1, "1 second"), (900, "15 minutes"), (86_400, "1 day"), (1_209_600, "2 weeks")]
)
def test_format_interval_uses_the_largest_unit(seconds: int, text: str) -> None:
    assert format_interval(seconds) == text


def test_format_time_has_seconds_only_when_needed() -> None:
    assert format_time(datetime(2026, 1, 2, 3, 4, tzinfo=UTC)) == "2026-01-02 03:04"
    assert format_time(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)) == "2026-01-02 03:04:05"


def test_to_datetime_is_clamped_when_out_of_range() -> None:
    assert [to_datetime(seconds).year for seconds in (-1e12, 0, 1e12)] == [1, 1970, 9999]


@pytest.mark.parametrize(
    ("text", "escaped"),
    [("\x1b[2J", "\\x1b[2J"), ("a\u202eb", "a\\u202eb"), ("\ud800", "\\ud800"), ("客户", "客户"), ("a\nb", "a\\nb")],
)
def test_escape_unprintable_spells_out_control_characters(text: str, escaped: str) -> None:
    assert escape_unprintable(text) == escape(text) == escaped


def test_escape_unprintable_cuts_text_when_it_is_long() -> None:
    assert escape_unprintable("x" * 5_000) == "x" * MAX_TEXT_LENGTH + "…"
    assert escape("x" * 5_000) == "x" * 5_000
