import json
import math
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from telco_stream.errors import UsageError
from telco_stream.messages.prediction import encode_prediction
from telco_stream.messages.record import Record
from telco_stream.model.manifest import decode_manifest, encode_manifest
from telco_stream.report import predictions
from telco_stream.report.analytics import PreviousPeriod
from telco_stream.report.customers import ContactPlan, CustomerSegment
from telco_stream.report.predictions import ContactCosts, PredictionFilter, Report, ReportOptions
from telco_stream.runtime.period import parse_period
from tests.support.contracts import UNUSUAL_NAMES, rename, small
from tests.support.memory import peak_memory
from tests.support.records import FakeRecord
from tests.support.report_data import MANIFEST
from tests.support.telco import prediction_of
from tests.support.worded_contracts import CONTRACTS, answers

NOW = datetime(2026, 3, 1, tzinfo=UTC).timestamp()

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


def test_report_aggregates_predictions() -> None:
    result = report(records(value("a", 0.9), value("b", 0.1)), top_k=1)
    assert (result.summary.total, result.summary.churners, result.unreadable) == (2, 1, 0)
    assert [customer.key for customer in result.summary.top] == ["a"]


@pytest.mark.parametrize("foreign", NOT_PREDICTIONS)
def test_report_counts_a_value_as_unreadable(foreign: bytes | None) -> None:
    result = report(records(value("a", 0.9), foreign, value("b", 0.1)))
    assert (result.summary.total, result.unreadable) == (2, 1)


@pytest.mark.parametrize("impossible", [-0.1, 1.1, 1e300])
def test_report_counts_a_probability_as_unreadable_out_of_range(impossible: float) -> None:
    result = report(records(value("a", impossible)))
    assert (result.summary.total, result.summary.customers, result.unreadable) == (0, 0, 1)


def test_report_accepts_a_prediction_with_another_field() -> None:
    assert report(records(value("a", 0.9)[:-1] + b',"region":"north"}')).unreadable == 0


def test_report_is_empty_when_the_topic_is() -> None:
    assert report([]).summary.total == 0


def test_report_filters_by_processed_ts_with_an_exclusive_end() -> None:
    times = {hour: f"2026-02-01T{hour:02}:30:00+02:00" for hour in range(6)}
    result = report(
        records(*(value(str(hour), 0.5, at=time) for hour, time in times.items())),
        criteria=PredictionFilter(parse_period("2026-01-31T23:30:00Z", "2026-02-01T01:30:00Z", NOW)),
    )
    assert {customer.key for customer in result.summary.top} == {"1", "2"}


def test_report_uses_the_record_time_when_processed_ts_is_bad() -> None:
    result = report(
        [
            FakeRecord(value("old", 0.5, at="?"), timestamp_=1_000),
            FakeRecord(value("new", 0.5, at=""), timestamp_=9_000),
        ],
        criteria=PredictionFilter(parse_period("1970-01-01T00:00:05Z", None, NOW)),
    )
    assert [customer.key for customer in result.summary.top] == ["new"]


def test_report_filters_by_model_version() -> None:
    both = records(value("a", 0.9, version="v1"), value("b", 0.9, version="v2"))
    result = report(both, criteria=PredictionFilter(model_version="v2"))
    assert [customer.key for customer in result.summary.top] == ["b"]


@pytest.mark.parametrize(
    ("versions", "available"),
    [
        ([], "there are no predictions at all"),
        (["v1"], "there are predictions of v1"),
        ([*"aaabbcd", "e"], "there are predictions of a, b, c and 2 more"),
    ],
)
def test_report_raises_usage_error_when_the_version_is_unknown(versions: list[str], available: str) -> None:
    with pytest.raises(UsageError, match=rf"^No prediction here has model version 'v9': {available}$"):
        report(
            records(*(value("a", 0.5, version=version) for version in versions)),
            criteria=PredictionFilter(model_version="v9"),
        )


def test_report_passes_counted_predictions_and_times_on() -> None:
    calls: list[tuple[str, float]] = []
    report(
        records(value("a", 0.9, "1970-01-01T00:00:07Z"), b"?", value("b", 0.1, version="v2"), value("c", 0.1, "")),
        criteria=PredictionFilter(model_version="v1"),
        on_prediction=[lambda prediction, time: calls.append((prediction.key, time))],
    )
    assert calls == [("a", 7.0), ("c", 1_767_225_600.0)]


def test_report_has_the_lift_of_the_model_that_predicted() -> None:
    own = records(value("a", 0.9, version=MANIFEST.model_version), value("b", 0.9))
    assert report(own, manifest=MANIFEST).summary.lift == MANIFEST.metrics.lift
    assert report(records(value("a", 0.9)), manifest=MANIFEST).summary.lift is None


def test_report_has_no_lift_when_the_manifest_has_none() -> None:
    old = decode_manifest(re.sub(rb',\s*"lift": \[.*?\]', b"", encode_manifest(MANIFEST), flags=re.DOTALL))
    answers = records(value("a", 0.9, version=MANIFEST.model_version))
    assert old.metrics.lift == ()
    assert report(answers, manifest=old).summary.lift is None


@pytest.mark.parametrize(
    ("cost", "worth"), [(100.0, 100.0), (5.0, 1.0), (-1.0, 10.0), (1.0, math.inf), (math.nan, 1.0)]
)
def test_contact_costs_raise_usage_error_when_no_contact_pays(cost: float, worth: float) -> None:
    with pytest.raises(UsageError, match="--contact-cost must be 0 or more and below --customer-value"):
        ContactCosts(cost, worth)


def test_report_has_a_contact_plan_when_costs_are_given() -> None:
    result = report(records(value("a", 0.9), value("b", 0.04)), contact_costs=ContactCosts(5, 100))
    assert result.summary.contact_plan == ContactPlan(5, 100, 0.05, 1, 0.9, 85.0)
    assert report(records(value("a", 0.9))).summary.contact_plan is None


def test_report_segments_by_any_column_of_the_predictions() -> None:
    topic = records(
        carrying("a", 0.75, **{"Payment method": "Mailed check"}),
        carrying("b", 0.25, **{"Payment method": 7}),
        carrying("c", 0.5),
    )
    segments = report(topic, by=["Payment method", "model_version"]).summary.segments
    assert segments == {
        "Payment method": {
            "(missing)": CustomerSegment(1, 0.5, 0.5, 1, 1.0),
            "7": CustomerSegment(1, 0.25, 0.25, 0, 0.0),
            "Mailed check": CustomerSegment(1, 0.75, 0.75, 1, 1.0),
        },
        "model_version": {"v1": CustomerSegment(3, 1.5, 0.5, 2, 2 / 3)},
    }


@pytest.mark.parametrize("column", ["Payment", "column_0", "__class__"])
def test_report_raises_usage_error_when_a_column_is_unknown(column: str) -> None:
    message = f"no column '{column}' to group by; they have Contract, InternetService, model_version, PaymentMethod$"
    with pytest.raises(UsageError, match=message):
        report(records(carrying("a", 0.5, PaymentMethod="x"), b"?"), by=["Contract", column])


@pytest.mark.parametrize("column", ["customerID", "churn_probability", 'a"b', "a\\", "\n"])
def test_report_raises_usage_error_when_a_column_cannot_group(column: str) -> None:
    with pytest.raises(UsageError, match=r"they have Contract, InternetService, model_version$"):
        report([], by=[column])


def test_report_segments_by_carried_columns_of_the_contract() -> None:
    contract = CONTRACTS["carried columns"]
    topic = records(*map(encode_prediction, answers(contract, 12)))
    summary = report(topic, contract=contract, by=["City", "vip", "visits", "Home"]).summary
    assert list(summary.segments["City"]) == ["(missing)", "Oslo", "Rome"]
    assert list(summary.segments["vip"]) == ["false", "true"]
    assert list(summary.segments["visits"]) == [str(number) for number in range(4)]
    assert list(summary.segments["Home"]) == ["owner", "rent"]
    assert summary.by == {}
    assert report(topic, contract=contract).summary.segments == {}


def test_report_names_the_columns_that_can_group_when_a_number_cannot() -> None:
    with pytest.raises(UsageError, match=r"no column 'balance' to group by; they have City, vip, visits, Home, "):
        report([], contract=CONTRACTS["carried columns"], by=["balance"])


@pytest.mark.parametrize("name", UNUSUAL_NAMES)
def test_report_segments_by_a_column_with_an_unusual_name(name: str) -> None:
    contract = small(rename(name))
    topic = records(*map(encode_prediction, answers(contract, 4)))
    assert list(report(topic, contract=contract, by=[name]).summary.segments) == [name]


def test_report_has_a_segment_when_all_values_are_missing() -> None:
    contract = CONTRACTS["carried columns"]
    topic = records(*map(encode_prediction, answers(contract, 1)))
    assert list(report(topic, contract=contract, by=["City"]).summary.segments["City"]) == ["(missing)"]


def test_report_has_empty_segments_when_the_period_is_empty() -> None:
    assert report([], by=["PaymentMethod"]).summary.segments == {"PaymentMethod": {}}


def test_report_sums_the_revenue_at_risk_of_the_newest_predictions() -> None:
    """A customer without a numeric charge counts as 0; later predictions replace earlier ones."""
    topic = records(
        carrying("a", 0.9, MonthlyCharges=10),
        carrying("a", 0.5, MonthlyCharges=80.5),
        carrying("b", 0.25, MonthlyCharges=100),
        carrying("c", 0.5, MonthlyCharges="100"),
        carrying("d", 0.5, MonthlyCharges=True),
    )
    assert report(topic).summary.revenue_at_risk == pytest.approx(40.25 + 25)
    assert report(records(value("a", 0.5))).summary.revenue_at_risk is None


def test_report_compares_with_the_period_before() -> None:
    times = ["2026-02-26T00:00:00Z", "2026-02-27T00:00:00Z", "2026-02-27T12:00:00Z", "2026-02-28T00:00:00Z"]
    topic = records(*(value(str(number // 2), 0.75 - number / 4, at=time) for number, time in enumerate(times)))
    period = parse_period("1d", None, NOW)
    summary = report(topic, criteria=PredictionFilter(period), previous=period.previous(NOW)).summary
    assert (summary.total, summary.customers) == (1, 1)
    assert summary.previous == PreviousPeriod("2026-02-27T00:00:00Z", "2026-02-28T00:00:00Z", 2, 2, 0.75, 0.375, 1, 0.5)


def test_report_crosstab_adds_up_to_the_segments() -> None:
    result = report(records(value("a", 0.9), value("b", 0.1)))
    assert result.crosstab == {("One year", "DSL"): CustomerSegment(2, 1.0, 0.5, 1, 0.5)}
    assert result.summary.segments["Contract"]["One year"] == result.crosstab["One year", "DSL"]


def test_report_memory_does_not_grow_with_the_predictions() -> None:
    few, many = peak_memory(report_on, 2_000), peak_memory(report_on, 20_000)
    assert many < few + 20_000


def report(topic: Iterable[Record], **options: Any) -> Report:
    return predictions.report(topic, ReportOptions(**options))


def report_on(number: int) -> None:
    """Report on this number of predictions, of 100 customers."""
    report(stream(number))


def stream(predictions: int) -> Iterator[Record]:
    for number in range(predictions):
        yield FakeRecord(value(str(number % 100), 0.5))


def records(*values: bytes | None) -> list[Record]:
    return [FakeRecord(value) for value in values]


def carrying(name: str, probability: float, **columns: Any) -> bytes:
    return json.dumps({**json.loads(value(name, probability)), **columns}).encode()


def value(name: str, probability: float, at: str = "2026-01-01T00:00:00Z", version: str = "v1") -> bytes:
    event = "2026-01-01T00:00:00Z"
    churns = probability >= 0.5
    return encode_prediction(
        prediction_of(name, probability, "Yes" if churns else "No", event, at, version, "One year", "DSL")
    )
