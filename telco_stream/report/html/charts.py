"""The geometry of charts. `template/macros.html` draws it as SVG, in the colours and the font of the page."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from telco_stream.runtime.humanize import format_count, format_percent

#: Pixels of a chart in its own size, which is about the width of a phone.
WIDTH = 420.0
_HEIGHT = 220.0
#: Pixels above and beside the plot, for a line of text, and for a digit.
_TOP, _RIGHT, _LINE, _DIGIT = 10.0, 14.0, 18.0, 8.0
#: Bins with fewer predictions are drawn pale, because their rates are mostly chance.
FEW = 30
_CHART_HEIGHT = _TOP + _HEIGHT + 2 * _LINE + 6
#: Pixels of a horizontal bar, from its name to the next name, and beside it for its number.
_BAR_HEIGHT, _BAR_STEP, _BAR_NUMBER = 20.0, 52.0, 60.0
#: Pixels by which a column covers the next one, so that rounding leaves no gap.
_OVERLAP = 0.3
_MAX_TICKS = 4
#: The lowest top of an axis of rates, so that small rates look small.
_SMALLEST_TOP = 0.1


@dataclass(frozen=True, slots=True)
class Bar:
    """A rectangle; `style` is a class of the page's style sheet, as in all shapes."""

    x: float
    y: float
    width: float
    height: float
    style: str


@dataclass(frozen=True, slots=True)
class Line:
    """A line through points."""

    points: Sequence[tuple[float, float]]
    style: str

    @property
    def path(self) -> str:
        """The line as the commands of an SVG path."""
        return "M" + "L".join(f"{x:.1f},{y:.1f}" for x, y in self.points)


@dataclass(frozen=True, slots=True)
class Dot:
    """A circle."""

    x: float
    y: float
    radius: float
    style: str


@dataclass(frozen=True, slots=True)
class Label:
    """A text in one or more lines; `anchor` is the end of it that is at `x`: start, middle or end."""

    x: float
    y: float
    lines: Sequence[str]
    anchor: str = "start"
    style: str = "tick"


@dataclass(frozen=True, slots=True)
class Chart:
    """Shapes in the order in which they are drawn, and the legend as pairs of a style and a name."""

    height: float = _CHART_HEIGHT
    grid: Sequence[Line] = ()
    bars: Sequence[Bar] = ()
    lines: Sequence[Line] = ()
    dots: Sequence[Dot] = ()
    labels: Sequence[Label] = ()
    legend: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True, slots=True)
class _Plot:
    """A plot whose axes begin at 0, and where its values are in pixels."""

    columns: float
    top: float
    format_tick: Callable[[float], str]
    smallest_step: float = 0.0

    @property
    def ticks(self) -> list[float]:
        return round_ticks(self.top, self.smallest_step)

    @property
    def left(self) -> float:
        return 10 + _DIGIT * max(len(self.format_tick(tick)) for tick in self.ticks)

    def x(self, value: float) -> float:
        return self.left + (WIDTH - _RIGHT - self.left) * value / self.columns

    def y(self, value: float) -> float:
        return _TOP + _HEIGHT * (1 - value / self.top)

    def add_axes(self, chart: Chart, x_ticks: Mapping[float, str], x_title: str = "") -> Chart:
        """Return the chart with a grid and labelled axes."""
        left, right, bottom = self.x(0), self.x(self.columns), self.y(0)
        labels = [Label(left - 7, self.y(tick) + 4, [self.format_tick(tick)], "end") for tick in self.ticks]
        labels += [_tick_label(self.x(x), bottom + _LINE, text.split("\n")) for x, text in x_ticks.items()]
        if x_title:
            labels.append(Label((left + right) / 2, bottom + 2 * _LINE, [x_title], "middle"))
        grid = [Line([(left, self.y(tick)), (right, self.y(tick))], "grid") for tick in self.ticks]
        return replace(chart, grid=grid, labels=labels)

    def columns_of(self, counts: Sequence[int], bases: Sequence[int], totals: Sequence[int], style: str) -> list[Bar]:
        """Return a bar for each count that is not 0, on top of its base; `totals` are those of the whole columns."""
        width = self.x(1) - self.x(0) + _OVERLAP
        return [
            Bar(self.x(column), self.y(base + count), width, self.y(base) - self.y(base + count), _style(style, total))
            for column, (count, base, total) in enumerate(zip(counts, bases, totals, strict=True))
            if count
        ]


def is_few(total: int) -> bool:
    """Return whether a bin has predictions, but too few for a reliable rate."""
    return 0 < total < FEW


def rate_bars(rates: Sequence[tuple[str, float, int]]) -> Chart:
    """Draw a horizontal bar for each name with its share from 0 to 1; the number is the whole of the share."""
    scale = (WIDTH - _BAR_NUMBER) / max(_SMALLEST_TOP, *(rate for _, rate, _ in rates))
    bars, labels = [], []
    for row, (name, rate, total) in enumerate(rates):
        y = row * _BAR_STEP + _LINE + 4
        bars.append(Bar(0, y, rate * scale, _BAR_HEIGHT, _style("flagged", total)))
        labels.append(Label(0, y - 6, [name], style="name"))
        labels.append(Label(rate * scale + 6, y + 15, [format_percent(rate)], style="name"))
    return Chart(len(rates) * _BAR_STEP, bars=bars, labels=labels)


def distribution(others: Sequence[int], flagged: Sequence[int], threshold: float | None, probability: str) -> Chart:
    """Draw stacked columns of equal width from 0 to 1, and a line at the threshold if there is one."""
    bins, totals = len(others), [low + high for low, high in zip(others, flagged, strict=True)]
    plot = _count_plot(bins, totals)
    bars = plot.columns_of(others, [0] * bins, totals, "other") + plot.columns_of(flagged, others, totals, "flagged")
    lines, legend = [], [("other", "not flagged"), ("flagged", "flagged")]
    if threshold is not None:
        x = plot.x(threshold * bins)
        lines.append(Line([(x, _TOP - 6), (x, plot.y(0))], "threshold"))
        legend.append(("threshold", f"threshold {threshold:g}"))
    ticks = {bins * tenth / 10: f"{tenth / 10:.1f}" for tenth in range(0, 11, 2)}
    return plot.add_axes(Chart(bars=bars, lines=lines, legend=legend), ticks, probability)


def counts_over_time(totals: Sequence[int], ticks: Mapping[float, str]) -> Chart:
    """Draw a column for each step of time."""
    plot = _count_plot(len(totals), totals)
    return plot.add_axes(Chart(bars=plot.columns_of(totals, [0] * len(totals), totals, "other")), ticks)


def rates_over_time(flagged: Sequence[int], totals: Sequence[int], ticks: Mapping[float, str]) -> Chart:
    """Draw a line through each step's share of flagged predictions; a step without predictions interrupts it."""
    rates = [part / total if total else None for part, total in zip(flagged, totals, strict=True)]
    plot = _Plot(len(rates), 1.12 * max([_SMALLEST_TOP, *filter(None, rates)]), _format_tick)
    radius = max(1.0, 2.5 - len(rates) / 40)
    lines, dots = [list[tuple[float, float]]()], []
    for step, (rate, total) in enumerate(zip(rates, totals, strict=True)):
        if rate is None:
            lines.append([])
        else:
            lines[-1].append((plot.x(step + 0.5), plot.y(rate)))
            dots.append(_dot(*lines[-1][-1], radius, total))
    return plot.add_axes(Chart(lines=[Line(points, "rate") for points in lines if points], dots=dots), ticks)


def calibration(predicted: Sequence[float], observed: Sequence[float], totals: Sequence[int]) -> Chart:
    """Draw a dot for each pair of shares of these numbers of predictions; both are equal on the diagonal."""
    plot, diagonal, ticks = _share_plot()
    dots = [_dot(plot.x(x), plot.y(y), 3.5, total) for x, y, total in zip(predicted, observed, totals, strict=True)]
    legend = [("diagonal", "as predicted"), ("flagged", "a tenth")]
    return plot.add_axes(Chart(lines=[diagonal], dots=dots, legend=legend), ticks, "mean predicted probability")


def lift(contacted: Sequence[float], reached: Sequence[float]) -> Chart:
    """Draw a line from 0 through the pairs of shares; contacts chosen at random are on the diagonal."""
    plot, diagonal, ticks = _share_plot()
    points = [(plot.x(x), plot.y(y)) for x, y in zip((0, *contacted), (0, *reached), strict=True)]
    dots = [Dot(x, y, 3.5, "flagged") for x, y in points[1:]]
    legend = [("flagged", "highest first"), ("diagonal", "at random")]
    chart = Chart(lines=[diagonal, Line(points, "rate")], dots=dots, legend=legend)
    return plot.add_axes(chart, ticks, "share contacted")


def round_ticks(top: float, smallest_step: float = 0.0) -> list[float]:
    """Return up to five round numbers from 0 to `top`, which is above 0."""
    magnitude = 10.0 ** math.floor(math.log10(top / _MAX_TICKS))
    step = next(size for factor in (1, 2, 2.5, 5, 10) if (size := magnitude * factor) * _MAX_TICKS >= top)
    step = max(step, smallest_step)
    return [number * step for number in range(math.floor(top / step + 1e-9) + 1)]


def _style(style: str, total: int) -> str:
    return f"{style} few" if is_few(total) else style


def _dot(x: float, y: float, radius: float, total: int) -> Dot:
    return Dot(x, y, radius + 0.7 if is_few(total) else radius, _style("flagged", total))


def _tick_label(x: float, y: float, lines: Sequence[str]) -> Label:
    """Return a label in the middle below its tick, or as far to the right as it fits."""
    fits = x + _DIGIT * max(map(len, lines)) / 2 <= WIDTH
    return Label(x, y, lines, "middle") if fits else Label(WIDTH, y, lines, "end")


def _count_plot(columns: int, totals: Sequence[int]) -> _Plot:
    return _Plot(columns, 1.04 * max(totals), lambda number: format_count(round(number)), smallest_step=1.0)


def _share_plot() -> tuple[_Plot, Line, dict[float, str]]:
    """Return a plot of one share over another, its diagonal, and its horizontal ticks."""
    plot = _Plot(1, 1, _format_tick)
    diagonal = Line([(plot.x(0), plot.y(0)), (plot.x(1), plot.y(1))], "diagonal")
    return plot, diagonal, {tick: _format_tick(tick) for tick in plot.ticks}


def _format_tick(share: float) -> str:
    return f"{100 * share:.3g}%"
