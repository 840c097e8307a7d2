from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telco_stream.report.trends import BINS, MAX_STEPS, Count, Distribution, Step, Timeline, TopCounter

TIMES = st.lists(st.tuples(st.floats(-6e10, 2.5e11), st.booleans()), max_size=60)


def test_distribution_bins_include_their_lower_edge() -> None:
    bins = distribution((0.0, False), (0.0499, False), (0.05, False), (0.3, True), (1.0, True)).bins(20)
    assert bins[0] == Count(2, 0)
    assert bins[1] == Count(1, 0)
    assert bins[6] == Count(1, 1)
    assert bins[19] == Count(1, 1)


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans())), st.sampled_from([1, 10, 20, 50, BINS]))
def test_distribution_counts_each_prediction_in_one_bin(answers: list[tuple[float, bool]], number: int) -> None:
    bins = distribution(*answers).bins(number)
    assert len(bins) == number
    assert sum(count.total for count in bins) == len(answers)
    assert sum(count.churners for count in bins) == sum(flags for _, flags in answers)


def test_timeline_has_empty_steps_between_predictions() -> None:
    line = timeline((10.2, True), (10.9, False), (13.0, False))
    assert line.width == 1
    assert line.steps() == [Step(10, 2, 1), Step(11, 0, 0), Step(12, 0, 0), Step(13, 1, 0)]


def test_timeline_has_no_steps_without_predictions() -> None:
    assert Timeline().steps() == []


def test_timeline_has_one_step_when_there_is_one_prediction() -> None:
    assert timeline((1_767_225_600.5, True)).steps() == [Step(1_767_225_600, 1, 1)]


@pytest.mark.parametrize(
    ("span", "width"),
    [
        (119, 1),
        (120, 5),
        (500, 5),
        (3_000, 30),
        (86_400, 900),
        (29 * 86_400, 21_600),
        (100 * 86_400, 86_400),
        (1e9, 9_676_800),
    ],
)
def test_timeline_steps_become_longer_with_its_span(span: float, width: int) -> None:
    assert timeline((0, True), (span, False)).width == width


@given(TIMES)
def test_timeline_counts_each_prediction_in_one_of_few_steps(answers: list[tuple[float, bool]]) -> None:
    line = timeline(*answers)
    steps = line.steps()
    assert len(steps) <= MAX_STEPS
    expected: Counter[int] = Counter()
    for time, _ in answers:
        expected[int(time // line.width) * line.width] += 1
    assert {step.start: step.total for step in steps if step.total} == expected
    assert sum(step.churners for step in steps) == sum(flags for _, flags in answers)


def test_top_counter_orders_names_by_frequency() -> None:
    counter = TopCounter()
    for name in "abcabbb":
        counter.add(name)
    assert counter.most_common() == [("b", 4), ("a", 2), ("c", 1)]
    assert counter.most_common(1) == [("b", 4)]


def test_top_counter_drops_rare_names_when_there_are_many() -> None:
    counter = TopCounter()
    for number in range(10_000):
        counter.add(f"rare {number}")
        counter.add("v1")
    assert counter.most_common(1) == [("v1", 10_000)]
    assert len(counter.most_common()) <= 2_000


def test_top_counter_cuts_a_name_when_it_is_long() -> None:
    counter = TopCounter()
    for end in "ab":
        counter.add("x" * 1_000_000 + end)
    assert counter.most_common() == [("x" * 200, 2)]


def distribution(*answers: tuple[float, bool]) -> Distribution:
    result = Distribution()
    for probability, flags in answers:
        result.add(probability, flags=flags)
    return result


def timeline(*answers: tuple[float, bool]) -> Timeline:
    result = Timeline()
    for time, flags in answers:
        result.add(time, flags=flags)
    return result
