import tracemalloc
from collections.abc import Iterator

import pytest

from telco_stream.contracts.prediction import Prediction, encode_prediction
from telco_stream.report import report

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
    told = report([value("a", 0.9), value("b", 0.1)], top_k=1)
    assert (told.summary.total, told.summary.churners, told.unreadable) == (2, 1, 0)
    assert [one.customerID for one in told.summary.top] == ["a"]


@pytest.mark.parametrize("foreign", NOT_PREDICTIONS)
def test_a_value_that_is_no_prediction_is_counted_beside_them(foreign: bytes | None) -> None:
    told = report([value("a", 0.9), foreign, value("b", 0.1)], top_k=1)
    assert (told.summary.total, told.unreadable) == (2, 1)


@pytest.mark.parametrize("impossible", [-0.1, 1.1, 1e300])
def test_a_probability_beyond_its_range_is_no_prediction(impossible: float) -> None:
    told = report([value("a", impossible)], top_k=1)
    assert (told.summary.total, told.summary.customers, told.unreadable) == (0, 0, 1)


def test_a_field_more_is_no_reason_to_refuse_a_prediction() -> None:
    assert report([value("a", 0.9)[:-1] + b',"region":"north"}'], top_k=1).unreadable == 0


def test_an_empty_topic_is_reported_too() -> None:
    assert report([], top_k=10).summary.total == 0


def test_memory_does_not_grow_with_the_predictions_of_the_same_customers() -> None:
    few, many = peak_of(2_000), peak_of(20_000)
    assert many < few + 20_000


def peak_of(predictions: int) -> int:
    """Bytes at the highest point of a report on that many predictions of 100 customers."""
    tracemalloc.start()
    try:
        report(stream(predictions), top_k=10)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def stream(predictions: int) -> Iterator[bytes]:
    for number in range(predictions):
        yield value(str(number % 100), 0.5)


def value(name: str, probability: float) -> bytes:
    time = "2026-01-01T00:00:00Z"
    churns = probability >= 0.5
    return encode_prediction(
        Prediction(name, probability, "Yes" if churns else "No", time, time, "v1", "One year", "DSL")
    )
