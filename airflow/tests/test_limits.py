from typing import Any

import pytest

from telco_airflow.limits import (
    age_error,
    dead_letter_share_error,
    lag_error,
    unanswered_rows_error,
    unreadable_rows_error,
)


def status(**changes: Any) -> dict[str, Any]:
    """Return a result of `telco-stream status --output json` with these changes."""
    raw = {"topic": "raw", "end_offsets": {"0": 11, "1": 5}}
    partitions = [
        {"partition": 0, "committed": 10, "end": 11, "lag": 0},
        {"partition": 1, "committed": 5, "end": 5, "lag": 0},
    ]
    defaults = {"group": "g", "lag": 0, "newest_prediction_age_seconds": 3.0, "topics": [raw], "partitions": partitions}
    return defaults | changes


def test_check_names_the_lag_and_its_limit() -> None:
    assert lag_error(status(lag=1000), 1000) is None
    assert lag_error(status(lag=1001), 1000) == "The lag of group g is 1,001 records, above 1,000"


def test_check_names_the_age_and_its_limit() -> None:
    assert age_error(status(), 3) is None
    error = age_error(status(newest_prediction_age_seconds=1234.5), 900)
    assert error == "The newest prediction is 1,234.5 s old, above 900 s"


def test_age_fails_when_there_is_no_prediction() -> None:
    assert age_error(status(newest_prediction_age_seconds=None), 1e9) is not None


def test_check_names_the_share_and_its_limit() -> None:
    assert dead_letter_share_error(5, 95, 0.05, 60) is None
    error = dead_letter_share_error(6, 94, 0.05, 60)
    assert error == "6 of the 100 answers of the last 60 min are dead letters: 6.0%, above 5.0%"


def test_share_passes_when_there_are_no_answers() -> None:
    assert dead_letter_share_error(0, 0, 0.0, 60) is None


@pytest.mark.parametrize(
    ("ends", "error"),
    [
        ({"0": 11, "1": 5}, None),
        ({"0": 2, "1": 2}, None),
        ({}, None),
        ({"0": 12, "1": 5}, "Partition 0 of raw can be read up to 11, below 12"),
        ({"0": 11, "2": 1}, "Partition 2 of raw can be read up to 0, below 1"),
    ],
)
def test_rows_are_visible_when_all_partitions_reach_them(ends: dict[str, int], error: str | None) -> None:
    assert unreadable_rows_error(status(), ends) == error


def test_pending_ignores_a_marker_at_the_end() -> None:
    assert unanswered_rows_error(status(), {"0": 11, "1": 5}) is None


def test_pending_names_a_record_without_an_answer() -> None:
    behind = [{"partition": 0, "committed": None, "end": 11, "lag": 10}]
    assert unanswered_rows_error(status(partitions=behind), {"0": 11}) == "Partition 0 is answered up to 0, below 11"


def test_pending_ignores_records_sent_after_the_rows() -> None:
    later = [{"partition": 0, "committed": 11, "end": 30, "lag": 19}]
    assert unanswered_rows_error(status(partitions=later), {"0": 11}) is None
