from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telco_stream.report.trends import BINS, MAX_STEPS, Count, Distribution, Step, Timeline, TopCounter

TIMES = st.lists(st.tuples(st.floats(-6e10, 2.5e11), st.booleans()), max_size=60)


def test_a_probability_is_counted_in_the_bin_that_it_reaches() -> None:
    bins = distribution((0.0, False), (0.0499, False), (0.05, False), (0.3, True), (1.0, True)).bins(20)
    assert bins[0] == Count(2, 0)
    assert bins[1] == Count(1, 0)
    assert bins[6] == Count(1, 1)
    assert bins[19] == Count(1, 1)


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans())), st.sampled_from([1, 10, 20, 50, BINS]))
def test_bins_of_any_size_hold_every_prediction_once(answers: list[tuple[float, bool]], number: int) -> None:
    bins = distribution(*answers).bins(number)
    assert len(bins) == number
    assert sum(one.total for one in bins) == len(answers)
    assert sum(one.churners for one in bins) == sum(churns for _, churns in answers)


def test_a_short_time_is_told_second_by_second_with_those_between() -> None:
    line = timeline((10.2, True), (10.9, False), (13.0, False))
    assert line.width == 1
    assert line.steps() == [Step(10, 2, 1), Step(11, 0, 0), Step(12, 0, 0), Step(13, 1, 0)]


def test_nothing_predicted_is_no_step() -> None:
    assert Timeline().steps() == []


def test_one_prediction_is_one_step() -> None:
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
def test_steps_grow_with_the_time_that_they_span(span: float, width: int) -> None:
    assert timeline((0, True), (span, False)).width == width


@given(TIMES)
def test_in_any_order_every_prediction_is_in_one_of_few_steps(answers: list[tuple[float, bool]]) -> None:
    line = timeline(*answers)
    steps = line.steps()
    assert len(steps) <= MAX_STEPS
    expected: Counter[int] = Counter()
    for time, _ in answers:
        expected[int(time // line.width) * line.width] += 1
    assert {step.start: step.total for step in steps if step.total} == expected
    assert sum(step.churners for step in steps) == sum(churns for _, churns in answers)


def test_names_are_tallied_the_most_frequent_first() -> None:
    tally = TopCounter()
    for name in "abcabbb":
        tally.add(name)
    assert tally.most_common() == [("b", 4), ("a", 2), ("c", 1)]
    assert tally.most_common(1) == [("b", 4)]


def test_names_without_end_take_no_memory_without_end_and_the_frequent_ones_stay() -> None:
    tally = TopCounter()
    for number in range(10_000):
        tally.add(f"stranger {number}")
        tally.add("v1")
    assert tally.most_common(1) == [("v1", 10_000)]
    assert len(tally.most_common()) <= 2_000


def test_tally_cuts_a_name_when_it_is_long() -> None:
    tally = TopCounter()
    for end in "ab":
        tally.add("x" * 1_000_000 + end)
    assert tally.most_common() == [("x" * 200, 2)]


def distribution(*answers: tuple[float, bool]) -> Distribution:
    folded = Distribution()
    for probability, churns in answers:
        folded.add(probability, churns=churns)
    return folded


def timeline(*answers: tuple[float, bool]) -> Timeline:
    folded = Timeline()
    for time, churns in answers:
        folded.add(time, churns=churns)
    return folded
