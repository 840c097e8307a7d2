import math
from collections import defaultdict
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telco_stream.messages.prediction import Prediction
from telco_stream.report.analytics import Analytics, Segment, Summary, Window
from telco_stream.report.customers import MAX_SEGMENTS, OTHER, AtRisk, CustomerSegment
from tests.support.telco import CODEC, prediction_of

CONTRACTS = ["Month-to-month", "One year", "Two year"]
SERVICES = ["DSL", "Fiber optic", "No"]
INSTANTS = [
    "2026-01-01T00:00:00Z",
    "2026-01-01T00:00:00.000001Z",
    "2026-01-01T02:00:00+02:00",  # the first instant in another zone
    "2025-12-31T23:30:00-01:00",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00",
]


def test_analytics_counts_segments_and_each_customer_once() -> None:
    summary = summary_of(
        answer("a", 0.9, contract="Two year", service="DSL"),
        answer("b", 0.2, contract="One year", service="DSL"),
        answer("a", 0.1, contract="Two year", service="No"),
        answer("c", 0.8, contract="Two year", service="DSL"),
    )
    assert (summary.total, summary.customers, summary.churners) == (4, 3, 2)
    assert summary.churn_rate == 0.5
    assert summary.mean_probability == pytest.approx(0.5)
    assert summary.by["Contract"] == {"One year": Segment(1, 0, 0.0), "Two year": Segment(3, 2, 2 / 3)}
    assert summary.by["InternetService"] == {"DSL": Segment(3, 2, 2 / 3), "No": Segment(1, 0, 0.0)}


def test_analytics_result_is_zero_without_predictions() -> None:
    segments: dict[str, dict[str, CustomerSegment]] = {"Contract": {}, "InternetService": {}}
    assert summary_of() == Summary(
        0, 0, 0, 0.0, 0.0, {"Contract": {}, "InternetService": {}}, (), 0.0, 0.0, 0, 0.0, None, segments
    )


def test_analytics_counts_each_customer_by_its_newest_prediction() -> None:
    """Ten predictions of one customer say nothing about how many customers leave."""
    stays, leaves = INSTANTS[0], INSTANTS[1]
    summary = summary_of(*[answer("a", 0.9, stays)] * 10, answer("a", 0.4, leaves), answer("b", 0.6, stays))
    assert summary.churn_rate == 11 / 12
    assert (summary.customers, summary.flagged, summary.flagged_share) == (2, 1, 0.5)
    assert summary.expected_leavers == pytest.approx(1.0)
    assert summary.expected_share == pytest.approx(0.5)


def test_analytics_flags_by_the_recorded_prediction() -> None:
    """The threshold of the model that made a prediction decides, whatever the threshold is now."""
    flagged = prediction_of("a", 0.31, "Yes", INSTANTS[0], INSTANTS[0], "v1", "One year", "DSL")
    assert summary_of(flagged, answer("b", 0.31)).flagged == 1


def test_analytics_segments_have_customers_of_the_newest_prediction() -> None:
    summary = summary_of(
        answer("a", 0.9, INSTANTS[0], contract="One year"),
        answer("a", 0.6, INSTANTS[1], contract="Two year"),
        answer("b", 0.2, contract="Two year"),
    )
    assert summary.segments["Contract"] == {"Two year": CustomerSegment(2, 0.8, 0.4, 1, 0.5)}
    assert summary.by["Contract"]["One year"].total == 1


def test_contact_plan_has_the_most_profitable_threshold() -> None:
    """No other threshold earns more."""
    analytics = Analytics(CODEC.predictions)
    analytics.add_all(answer(str(number), number / 100) for number in range(101))
    plan = analytics.newest.contact_plan(5, 20)
    assert (plan.threshold, plan.customers) == (0.25, 76)
    assert plan.expected_leavers == pytest.approx(47.5)
    assert plan.expected_profit == pytest.approx(47.5 * 20 - 76 * 5)
    shares = [number / 100 for number in range(101)]
    profits = [sum(share * 20 - 5 for share in shares if share >= threshold) for threshold in shares]
    assert plan.expected_profit == pytest.approx(max(profits))


def test_analytics_orders_segments_by_name() -> None:
    summary = summary_of(*(answer("a", 0.5, contract=name) for name in reversed(CONTRACTS)))
    assert list(summary.by["Contract"]) == CONTRACTS


def test_analytics_orders_top_by_probability_and_id() -> None:
    answers = [answer(name, 0.5) for name in "dbca"] + [answer("z", 0.7), answer("y", 0.1)]
    assert [customer.key for customer in summary_of(*answers, top_k=4).top] == ["z", "a", "b", "c"]


def test_analytics_top_is_empty_when_top_k_is_0() -> None:
    assert summary_of(answer("a", 0.5), top_k=0).top == ()


def test_analytics_top_has_the_newest_prediction() -> None:
    summary = summary_of(
        answer("a", 0.9, INSTANTS[0], contract="Two year", service="DSL"),
        answer("a", 0.3, INSTANTS[1], contract="One year", service="No"),
    )
    assert summary.top == (AtRisk("a", 0.3, {"Contract": "One year", "InternetService": "No"}),)


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ("2026-01-01T10:00:00+09:00", "2026-01-01T02:00:00Z"),
        ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00.000001Z"),
        ("2026-01-01T00:00:00Z", "2026-01-01t00:00:01z"),
        ("2026-01-01T10:00:00", "2026-01-01T00:00:01Z"),
        ("yesterday", "0001-01-01T00:00:00Z"),
        ("", "2026-01-01T00:00:00Z"),
    ],
)
def test_analytics_newest_is_by_event_time_in_any_order(earlier: str, later: str) -> None:
    """Instants are compared, not texts; a replayed dead letter brings an old event late."""
    old, new = answer("a", 0.9, earlier), answer("a", 0.3, later)
    assert [customer.probability for customer in summary_of(old, new).top] == [0.3]
    assert [customer.probability for customer in summary_of(new, old).top] == [0.3]


def test_analytics_newest_is_the_last_when_events_are_equal() -> None:
    """A topic that another model has scored again has the same events."""
    assert summary_of(answer("a", 0.9), answer("a", 0.3)).top[0].probability == 0.3


def test_analytics_result_is_equal_when_added_in_parts() -> None:
    answers = [answer(str(number % 7), number / 20, INSTANTS[number % 3]) for number in range(20)]
    parts = Analytics(CODEC.predictions)
    parts.add_all(answers[:5])
    parts.result(3)
    parts.add_all(iter(answers[5:]))
    assert parts.result(3) == summary_of(*answers, top_k=3)


@given(
    st.lists(
        st.builds(
            lambda name, share, time, contract, service: answer(name, share, time, contract=contract, service=service),
            st.sampled_from("abcdefgh"),
            st.floats(0, 1),
            st.sampled_from(INSTANTS),
            st.sampled_from(CONTRACTS),
            st.sampled_from(SERVICES),
        )
    ),
    st.integers(0, 9),
)
def test_analytics_equals_a_naive_computation(answers: list[Prediction], top_k: int) -> None:
    summary, expected = summary_of(*answers, top_k=top_k), naive(answers, top_k)
    assert summary.mean_probability == pytest.approx(expected.pop("mean_probability"))
    assert {name: getattr(summary, name) for name in expected} == expected


@pytest.mark.parametrize("number", [MAX_SEGMENTS + 1, 100_000])
def test_analytics_groups_other_segments_when_there_are_many(number: int) -> None:
    answers = [answer(str(index), 0.5, contract=f"contract {index}") for index in range(number)]
    known = [answer(f"known {name}", 0.9, contract=name) for name in CONTRACTS]
    summary = summary_of(*answers, *known, top_k=1)
    assert len(summary.by["Contract"]) <= MAX_SEGMENTS + 1 + len(CONTRACTS)
    assert summary.by["Contract"][OTHER].total == number - MAX_SEGMENTS
    assert [summary.by["Contract"][name].total for name in CONTRACTS] == [1] * len(CONTRACTS)
    assert sum(segment.total for segment in summary.by["Contract"].values()) == summary.total == number + len(known)


def test_analytics_counts_a_segment_as_other_when_name_is_long() -> None:
    summary = summary_of(answer("a", 0.5, contract="x" * 201, service="DSL"), answer("b", 0.5, contract="x" * 200))
    assert list(summary.by["Contract"]) == [OTHER, "x" * 200]
    assert "DSL" in summary.by["InternetService"]


def test_analytics_tells_customers_apart_when_ids_are_long() -> None:
    long = "x" * 100_000
    summary = summary_of(answer(f"{long}a", 0.5), answer(f"{long}b", 0.6), answer(f"{long}a", 0.7))
    assert (summary.customers, [customer.probability for customer in summary.top]) == (2, [0.7, 0.6])
    assert max(len(customer.key) for customer in summary.top) < 300


def test_window_churn_rate_is_0_without_predictions() -> None:
    assert Window(1, 5, 0, 5, 0, 0.1).churn_rate == 0.0
    assert Window(1, 5, 4, 1, 1, 0.1).churn_rate == 0.25


SEGMENTS = ("Contract", "InternetService")


def answer(
    name: str, share: float, time: str = INSTANTS[0], *, contract: str = CONTRACTS[0], service: str = SERVICES[0]
) -> Prediction:
    return prediction_of(name, share, "Yes" if share >= 0.5 else "No", time, INSTANTS[0], "v1", contract, service)


def summary_of(*answers: Prediction, top_k: int = 10) -> Summary:
    analytics = Analytics(CODEC.predictions)
    analytics.add_all(answers)
    return analytics.result(top_k)


def naive(answers: list[Prediction], top_k: int) -> dict[str, object]:
    newest: dict[str, Prediction] = {}
    for prediction in sorted(
        answers, key=lambda prediction: datetime.fromisoformat(prediction.event_ts)
    ):  # stable: the last of equal times
        newest[prediction.key] = prediction
    top = sorted(newest.values(), key=lambda prediction: (-prediction.probability, prediction.key))[:top_k]
    churners = sum(prediction.prediction == "Yes" for prediction in answers)
    return {
        "total": len(answers),
        "customers": len({prediction.key for prediction in answers}),
        "churners": churners,
        "churn_rate": churners / max(1, len(answers)),
        "mean_probability": math.fsum(prediction.probability for prediction in answers) / max(1, len(answers)),
        "expected_leavers": math.fsum(prediction.probability for prediction in newest.values()),
        "flagged": sum(prediction.prediction == "Yes" for prediction in newest.values()),
        "by": {name: naive_segments(answers, name) for name in SEGMENTS},
        "top": tuple(
            AtRisk(prediction.key, prediction.probability, {name: segment(prediction, name) for name in SEGMENTS})
            for prediction in top
        ),
    }


def segment(prediction: Prediction, name: str) -> str:
    value: str = getattr(prediction, CODEC.predictions.attributes[name])
    return value


def naive_segments(answers: list[Prediction], field: str) -> dict[str, Segment]:
    groups: dict[str, list[bool]] = defaultdict(list)
    for prediction in answers:
        groups[segment(prediction, field)].append(prediction.prediction == "Yes")
    return {name: Segment(len(group), sum(group), sum(group) / len(group)) for name, group in groups.items()}
