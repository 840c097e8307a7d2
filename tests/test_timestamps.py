import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telco_stream.contract.timestamps import parse_timestamp

TIME = datetime(2026, 11, 1, 10, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-11-01T10:00:00Z", TIME),
        ("2026-11-01t10:00:00z", TIME),
        ("2026-11-01T10:00:00-00:00", TIME),
        ("2026-11-01T15:30:00+05:30", TIME),
        ("2026-10-31T10:01:00-23:59", TIME),
        ("2026-11-01T10:00:00.5Z", TIME + timedelta(seconds=0.5)),
        ("2026-11-01T10:00:00.000001999Z", TIME + timedelta(microseconds=1)),
    ],
)
def test_parse_timestamp_reads_rfc_3339(text: str, time: datetime) -> None:
    assert parse_timestamp(text) == time


@pytest.mark.parametrize(
    "text",
    [
        *("", "yesterday", "2026-11-01", "2026-11-01T10:00:00", "2026-11-01T10:00Z", "2026-11-01T10Z"),
        *("2026-11-01 10:00:00Z", "2026-11-01_10:00:00Z", "2026-11-01\x0010:00:00Z", "2026-11-01\n10:00:00Z"),
        *("2026-W44-7T10:00:00Z", "2026W447T10:00:00Z", "2026-305T10:00:00Z", "20261101T100000Z"),
        *("2026-11-01T100000.0Z", "2026-11-01T10:00:00,5Z", "2026-11-01T10:00:00.Z", "2026-11-01T10:00:00 Z"),
        *("2026-11-01T10:00:00+05", "2026-11-01T10:00:00+0530", "2026-11-01T10:00:00+05:30:15"),
        *("2026-11-01T10:00:00+24:00", "2026-11-01T10:00:00+05:75", "2026-11-01T10:00:00ZZ"),
        *("2016-12-31T23:59:60Z", "2026-11-01T24:00:00Z", "2026-11-01T24:00:00.0Z", "2026-02-30T10:00:00Z"),
        *("2026-11-01T10:00:00Z\n", " 2026-11-01T10:00:00Z", "٢٠٢٦-11-01T10:00:00Z", "0000-01-01T00:00:00Z"),
        f"2026-11-01T10:00:00.{'1' * 1_000_000}Z",
    ],
)
def test_parse_timestamp_refuses_when_not_rfc_3339(text: str) -> None:
    with pytest.raises(ValueError, match=r"isoformat|RFC 3339|must be|out of range"):
        parse_timestamp(text)


@given(st.datetimes(timezones=st.just(UTC)))
def test_parse_timestamp_reads_what_isoformat_writes(time: datetime) -> None:
    assert parse_timestamp(time.isoformat()) == time
    assert parse_timestamp(time.isoformat().replace("+00:00", "Z")) == time


@given(st.text("0123456789+-.,:TtZz W", min_size=1, max_size=13), st.sampled_from(["", "Z"]))
def test_parse_timestamp_matches_the_pattern_in_its_shortcut(tail: str, end: str) -> None:
    """The shortcut must accept only what the pattern accepts."""
    text = f"2026-11-01T10:00:0{tail}{end}"
    pattern = r"\d(\.\d+)?([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)"
    with suppress(ValueError):
        parse_timestamp(text)
        assert re.fullmatch(pattern, tail + end)
