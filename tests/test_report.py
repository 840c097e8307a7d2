import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from telco_stream.errors import UsageError
from telco_stream.messages.prediction import Prediction, encode_prediction
from telco_stream.messages.record import Record
from telco_stream.report.analytics import Segment
from telco_stream.report.predictions import PredictionFilter, report
from telco_stream.runtime.period import parse_period
from tests.support.records import FakeRecord

NOW = datetime(2026, 3, 1, tzinfo=UTC)

NOT_PREDICTIONS = [
    None,
    b"",
    b"hello",
    b"\xff\xfe",
    b"[]",
    b"{}",
    b"[" * 100_000,
    b'{"customerID":1}',
    b'{"original_message":null,"error_type":"empty"}',
]


def test_a_report_says_what_the_predictions_say() -> None:
    told = report(records(value("a", 0.9), value("b", 0.1)), top_k=1)
    assert (told.summary.total, told.summary.churners, told.unreadable) == (2, 1, 0)
    assert [one.customerID for one in told.summary.top] == ["a"]


@pytest.mark.parametrize("foreign", NOT_PREDICTIONS)
def test_a_value_that_is_no_prediction_is_counted_beside_them(foreign: bytes | None) -> None:
    told = report(records(value("a", 0.9), foreign, value("b", 0.1)))
    assert (told.summary.total, told.unreadable) == (2, 1)


@pytest.mark.parametrize("impossible", [-0.1, 1.1, 1e300])
def test_a_probability_beyond_its_range_is_no_prediction(impossible: float) -> None:
    told = report(records(value("a", impossible)))
    assert (told.summary.total, told.summary.customers, told.unreadable) == (0, 0, 1)


def test_a_field_more_is_no_reason_to_refuse_a_prediction() -> None:
    assert report(records(value("a", 0.9)[:-1] + b',"region":"north"}')).unreadable == 0


def test_an_empty_topic_is_reported_too() -> None:
    assert report([]).summary.total == 0


def test_a_period_goes_by_the_time_of_the_answer_and_its_end_is_no_part_of_it() -> None:
    times = {hour: f"2026-02-01T{hour:02}:30:00+02:00" for hour in range(6)}
    told = report(
        records(*(value(str(hour), 0.5, at=time) for hour, time in times.items())),
        criteria=PredictionFilter(parse_period("2026-01-31T23:30:00Z", "2026-02-01T01:30:00Z", NOW)),
    )
    assert {one.customerID for one in told.summary.top} == {"1", "2"}


def test_an_answer_without_a_time_has_that_of_its_record() -> None:
    told = report(
        [
            FakeRecord(value("old", 0.5, at="?"), timestamp_=1_000),
            FakeRecord(value("new", 0.5, at=""), timestamp_=9_000),
        ],
        criteria=PredictionFilter(parse_period("1970-01-01T00:00:05Z", None, NOW)),
    )
    assert [one.customerID for one in told.summary.top] == ["new"]


def test_one_model_version_can_be_asked_for() -> None:
    both = records(value("a", 0.9, version="v1"), value("b", 0.9, version="v2"))
    assert [one.customerID for one in report(both, criteria=PredictionFilter(model_version="v2")).summary.top] == ["b"]


@pytest.mark.parametrize(
    ("there", "told"),
    [
        ([], "there are no predictions at all"),
        (["v1"], "there are predictions of v1"),
        ([*"aaabbcd", "e"], "there are predictions of a, b, c and 2 more"),
    ],
)
def test_a_model_version_that_no_prediction_has_is_wrong_usage(there: list[str], told: str) -> None:
    with pytest.raises(UsageError, match=rf"^No prediction here has model version 'v9': {told}$"):
        report(records(*(value("a", 0.5, version=one) for one in there)), criteria=PredictionFilter(model_version="v9"))


def test_who_looks_on_sees_each_prediction_that_counts_with_its_time() -> None:
    seen: list[tuple[str, float]] = []
    report(
        records(value("a", 0.9, "1970-01-01T00:00:07Z"), b"?", value("b", 0.1, version="v2"), value("c", 0.1, "")),
        criteria=PredictionFilter(model_version="v1"),
        on_prediction=[lambda prediction, time: seen.append((prediction.customerID, time))],
    )
    assert seen == [("a", 7.0), ("c", 1_767_225_600.0)]


def test_both_segments_crossed_add_up_to_each_of_them() -> None:
    told = report(records(value("a", 0.9), value("b", 0.1)))
    assert told.crosstab == {("One year", "DSL"): Segment(2, 1, 0.5)}
    assert told.summary.by_contract["One year"] == told.crosstab["One year", "DSL"]


def test_memory_does_not_grow_with_the_predictions_of_the_same_customers() -> None:
    few, many = peak_of(2_000), peak_of(20_000)
    assert many < few + 20_000


def peak_of(predictions: int) -> int:
    """Bytes at the highest point of a report on that many predictions of 100 customers."""
    tracemalloc.start()
    try:
        report(stream(predictions))
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def stream(predictions: int) -> Iterator[Record]:
    for number in range(predictions):
        yield FakeRecord(value(str(number % 100), 0.5))


def records(*values: bytes | None) -> list[Record]:
    return [FakeRecord(one) for one in values]


def value(name: str, probability: float, at: str = "2026-01-01T00:00:00Z", version: str = "v1") -> bytes:
    event = "2026-01-01T00:00:00Z"
    churns = probability >= 0.5
    return encode_prediction(
        Prediction(name, probability, "Yes" if churns else "No", event, at, version, "One year", "DSL")
    )
