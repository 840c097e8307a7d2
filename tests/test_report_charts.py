"""The geometry of the charts in `report --html`."""

import pytest

from telco_stream.report.html import charts
from telco_stream.report.html.charts import Chart, round_ticks


@pytest.mark.parametrize(
    ("top", "smallest_step", "ticks"),
    [
        (1.0, 0, [0, 0.25, 0.5, 0.75, 1]),
        (0.1, 0, [0, 0.025, 0.05, 0.075, 0.1]),
        (0.78, 0, [0, 0.2, 0.4, 0.6]),
        (63, 1, [0, 20, 40, 60]),
        (1.04, 1, [0, 1]),
        (2.08, 1, [0, 1, 2]),
        (5_000_000, 1, [0, 2_000_000, 4_000_000]),
    ],
)
def test_round_ticks_are_at_most_five_from_zero(top: float, smallest_step: float, ticks: list[float]) -> None:
    assert round_ticks(top, smallest_step) == pytest.approx(ticks)


def test_rate_bars_are_as_long_as_their_rates() -> None:
    bars = charts.rate_bars([("a", 0.5, 99), ("b", 0.25, 99), ("c", 0.0, 99)]).bars
    assert [bar.width / bars[0].width for bar in bars] == [1, 0.5, 0]
    assert bars[0].width < charts.WIDTH
    assert len({bar.y for bar in bars}) == 3


def test_rate_bars_stay_small_when_all_rates_are_small() -> None:
    (bar,) = charts.rate_bars([("a", 0.01, 99)]).bars
    assert bar.width < charts.WIDTH / 9


def test_rate_bars_keep_names_that_are_equal() -> None:
    assert len(charts.rate_bars([("a…", 0.5, 99), ("a…", 0.25, 99)]).bars) == 2


def test_distribution_stacks_flagged_on_others() -> None:
    chart = charts.distribution([200, 0, 100], [0, 300, 100], 0.5, "churn probability")
    others, flagged = ([bar for bar in chart.bars if bar.style == style] for style in ("other", "flagged"))
    unit = others[0].height / 2
    assert [round(bar.height / unit) for bar in others] == [2, 1]
    assert [round(bar.height / unit) for bar in flagged] == [3, 1]
    assert flagged[1].y + flagged[1].height == pytest.approx(others[1].y)
    assert flagged[0].x == pytest.approx(others[0].x + others[0].width, abs=0.5)


@pytest.mark.parametrize(
    ("threshold", "names"), [(0.5, ["not flagged", "flagged", "threshold 0.5"]), (None, ["not flagged", "flagged"])]
)
def test_distribution_has_a_threshold_when_known(threshold: float | None, names: list[str]) -> None:
    chart = charts.distribution([1, 1], [1, 1], threshold, "churn probability")
    assert [name for _, name in chart.legend] == names
    assert len(chart.lines) == len(names) - 2
    for line in chart.lines:
        (x, _), _ = line.points
        assert x == pytest.approx(chart.bars[1].x)


def test_rates_over_time_are_interrupted_when_unknown() -> None:
    chart = charts.rates_over_time([1, 2, 0, 3, 0, 0], [10, 10, 0, 10, 0, 0], {0: "1 Jan\n2026"})
    assert [len(line.points) for line in chart.lines] == [2, 1]
    assert len(chart.dots) == 3
    assert ["1 Jan", "2026"] in [label.lines for label in chart.labels]


def test_counts_over_time_leave_out_empty_steps() -> None:
    chart = charts.counts_over_time([3, 0, 6], {})
    assert [round(bar.height / chart.bars[0].height) for bar in chart.bars] == [1, 2]


def test_calibration_dots_are_on_the_diagonal_when_equal() -> None:
    chart = charts.calibration([0.0, 0.5, 1.0], [0.0, 0.5, 1.0], [9, 9, 9])
    (start, end) = chart.lines[0].points
    middle = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2)
    assert [(dot.x, dot.y) for dot in chart.dots] == [pytest.approx(point) for point in (start, middle, end)]


@pytest.mark.parametrize(("total", "is_pale"), [(29, True), (30, False)])
def test_bins_are_pale_when_they_have_few_predictions(total: int, is_pale: bool) -> None:
    drawn = [
        charts.rate_bars([("a", 0.5, total)]),
        charts.distribution([1], [total - 1], None, "churn probability"),
        charts.counts_over_time([total], {}),
        charts.rates_over_time([1], [total], {}),
        charts.calibration([0.5], [0.5], [total]),
    ]
    styles = [shape.style for chart in drawn for shapes in (chart.bars, chart.dots) for shape in shapes]
    assert len(styles) == 6
    assert {style.endswith(" few") for style in styles} == {is_pale}


def test_lift_starts_at_zero_and_ends_at_the_top_right() -> None:
    chart = charts.lift([0.5, 1.0], [0.9, 1.0])
    diagonal, line = chart.lines
    assert (line.points[0], line.points[-1]) == (diagonal.points[0], diagonal.points[1])
    assert len(line.points) == 3
    assert len(chart.dots) == 2


@pytest.mark.parametrize(
    "chart",
    [
        charts.rate_bars([("x" * 30, 1.0, 99), ("y", 0.0, 1)]),
        charts.distribution([9_999_999] * 50, [1] * 50, 1.0, "churn probability"),
        charts.counts_over_time([1], {0: "a"}),
        charts.rates_over_time([1] * 400, [1] * 400, {399: "23:59:59\n31 Dec"}),
        charts.calibration([1.0], [1.0], [1]),
        charts.lift([0.5, 1.0], [0.9, 1.0]),
    ],
)
def test_shapes_are_inside_the_chart(chart: Chart) -> None:
    for bar in chart.bars:
        assert 0 <= bar.x <= bar.x + bar.width <= charts.WIDTH + 0.01
        assert 0 <= bar.y <= bar.y + bar.height <= chart.height
    for x, y in (point for line in [*chart.grid, *chart.lines] for point in line.points):
        assert 0 <= x <= charts.WIDTH
        assert 0 <= y <= chart.height
    for label in chart.labels:
        after = {"start": 1, "middle": 0.5, "end": 0}[label.anchor] * 8 * max(map(len, label.lines))
        assert 0 <= label.x <= label.x + after <= charts.WIDTH
        assert 0 <= label.y <= chart.height
