import math
from collections import defaultdict
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telco_stream.messages.prediction import Prediction
from telco_stream.report.analytics import MAX_SEGMENTS, OTHER, Analytics, AtRisk, Segment, Summary, Window

CONTRACTS = ["Month-to-month", "One year", "Two year"]
SERVICES = ["DSL", "Fiber optic", "No"]
INSTANTS = [
    "2026-01-01T00:00:00Z",
    "2026-01-01T00:00:00.000001Z",
    "2026-01-01T02:00:00+02:00",  # the first once more, elsewhere
    "2025-12-31T23:30:00-01:00",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00",
]


def test_predictions_are_counted_by_segment_and_customers_once() -> None:
    summary = summary_of(
        answer("a", 0.9, contract="Two year", service="DSL"),
        answer("b", 0.2, contract="One year", service="DSL"),
        answer("a", 0.1, contract="Two year", service="No"),
        answer("c", 0.8, contract="Two year", service="DSL"),
    )
    assert (summary.total, summary.customers, summary.churners) == (4, 3, 2)
    assert summary.churn_rate == 0.5
    assert summary.mean_probability == pytest.approx(0.5)
    assert summary.by_contract == {"One year": Segment(1, 0, 0.0), "Two year": Segment(3, 2, 2 / 3)}
    assert summary.by_internet_service == {"DSL": Segment(3, 2, 2 / 3), "No": Segment(1, 0, 0.0)}


def test_no_predictions_give_numbers_that_json_can_hold() -> None:
    assert summary_of() == Summary(0, 0, 0, 0.0, 0.0, {}, {}, ())


def test_segments_stand_in_alphabetical_order_whatever_came_first() -> None:
    summary = summary_of(*(answer("a", 0.5, contract=name) for name in reversed(CONTRACTS)))
    assert list(summary.by_contract) == CONTRACTS


def test_top_holds_the_highest_and_equal_ones_by_id() -> None:
    answers = [answer(name, 0.5) for name in "dbca"] + [answer("z", 0.7), answer("y", 0.1)]
    assert [one.customerID for one in summary_of(*answers, top_k=4).top] == ["z", "a", "b", "c"]


def test_top_of_none_is_empty() -> None:
    assert summary_of(answer("a", 0.5), top_k=0).top == ()


def test_a_customer_stands_in_top_with_all_of_the_newest_prediction() -> None:
    summary = summary_of(
        answer("a", 0.9, INSTANTS[0], contract="Two year", service="DSL"),
        answer("a", 0.3, INSTANTS[1], contract="One year", service="No"),
    )
    assert summary.top == (AtRisk("a", 0.3, "One year", "No"),)


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
def test_the_newest_is_that_of_the_newest_event_in_any_order_of_arrival(earlier: str, later: str) -> None:
    """A replayed dead letter brings an old event late; and instants are compared, not texts."""
    old, new = answer("a", 0.9, earlier), answer("a", 0.3, later)
    assert [one.churn_probability for one in summary_of(old, new).top] == [0.3]
    assert [one.churn_probability for one in summary_of(new, old).top] == [0.3]


def test_of_one_event_answered_twice_the_last_answer_counts() -> None:
    """A topic scored again by another model holds the same events."""
    assert summary_of(answer("a", 0.9), answer("a", 0.3)).top[0].churn_probability == 0.3


def test_adding_in_parts_is_adding_at_once() -> None:
    answers = [answer(str(number % 7), number / 20, INSTANTS[number % 3]) for number in range(20)]
    parts = Analytics()
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
def test_the_fold_agrees_with_the_obvious_computation(answers: list[Prediction], top_k: int) -> None:
    summary, expected = summary_of(*answers, top_k=top_k), naive(answers, top_k)
    assert summary.mean_probability == pytest.approx(expected.pop("mean_probability"))
    assert {name: getattr(summary, name) for name in expected} == expected


@pytest.mark.parametrize("number", [MAX_SEGMENTS + 1, 100_000])
def test_analytics_counts_other_segments_together_when_there_are_many(number: int) -> None:
    answers = [answer(str(one), 0.5, contract=f"contract {one}") for one in range(number)]
    usual = [answer(f"usual {name}", 0.9, contract=name) for name in CONTRACTS]
    summary = summary_of(*answers, *usual, top_k=1)
    assert len(summary.by_contract) <= MAX_SEGMENTS + 1 + len(CONTRACTS)
    assert summary.by_contract[OTHER].total == number - MAX_SEGMENTS
    assert [summary.by_contract[name].total for name in CONTRACTS] == [1] * len(CONTRACTS)
    assert sum(one.total for one in summary.by_contract.values()) == summary.total == number + len(usual)


def test_analytics_counts_a_segment_as_other_when_its_name_is_long() -> None:
    summary = summary_of(answer("a", 0.5, contract="x" * 201, service="DSL"), answer("b", 0.5, contract="x" * 200))
    assert list(summary.by_contract) == [OTHER, "x" * 200]
    assert "DSL" in summary.by_internet_service


def test_analytics_tells_customers_apart_when_ids_are_long() -> None:
    long = "x" * 100_000
    summary = summary_of(answer(f"{long}a", 0.5), answer(f"{long}b", 0.6), answer(f"{long}a", 0.7))
    assert (summary.customers, [one.churn_probability for one in summary.top]) == (2, [0.7, 0.6])
    assert max(len(one.customerID) for one in summary.top) < 300


def test_a_window_without_predictions_has_no_churn() -> None:
    assert Window(1, 5, 0, 5, 0, 0.1).churn_rate == 0.0
    assert Window(1, 5, 4, 1, 1, 0.1).churn_rate == 0.25


def answer(
    name: str, share: float, time: str = INSTANTS[0], *, contract: str = CONTRACTS[0], service: str = SERVICES[0]
) -> Prediction:
    return Prediction(name, share, "Yes" if share >= 0.5 else "No", time, INSTANTS[0], "v1", contract, service)


def summary_of(*answers: Prediction, top_k: int = 10) -> Summary:
    analytics = Analytics()
    analytics.add_all(answers)
    return analytics.result(top_k)


def naive(answers: list[Prediction], top_k: int) -> dict[str, object]:
    newest: dict[str, Prediction] = {}
    for one in sorted(answers, key=lambda one: datetime.fromisoformat(one.event_ts)):  # stable: the last of equal ones
        newest[one.customerID] = one
    top = sorted(newest.values(), key=lambda one: (-one.churn_probability, one.customerID))[:top_k]
    churners = sum(one.prediction == "Yes" for one in answers)
    return {
        "total": len(answers),
        "customers": len({one.customerID for one in answers}),
        "churners": churners,
        "churn_rate": churners / max(1, len(answers)),
        "mean_probability": math.fsum(one.churn_probability for one in answers) / max(1, len(answers)),
        "by_contract": naive_segments(answers, "Contract"),
        "by_internet_service": naive_segments(answers, "InternetService"),
        "top": tuple(AtRisk(one.customerID, one.churn_probability, one.Contract, one.InternetService) for one in top),
    }


def naive_segments(answers: list[Prediction], field: str) -> dict[str, Segment]:
    groups: dict[str, list[bool]] = defaultdict(list)
    for one in answers:
        groups[getattr(one, field)].append(one.prediction == "Yes")
    return {name: Segment(len(group), sum(group), sum(group) / len(group)) for name, group in groups.items()}
