"""Charts as SVG to stand in a page: its fonts and colours are the page's own, so that light and dark both fit."""

import io
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from telco_stream.display.text import count, percent
from telco_stream.page.library import Axes, Figure, FigureCanvasSVG, FuncFormatter, MaxNLocator, mpl

#: Stand-ins that the drawing library takes for colours; the page's style sheet has the real ones.
INK, MUTED, LINE, STAY, CHURN, PAPER = (f"#0{number}0{number}0{number}" for number in range(1, 7))
_NAMES = {INK: "ink", MUTED: "muted", LINE: "line", STAY: "stay", CHURN: "churn", PAPER: "paper"}
#: Pixels where the chart is shown at its own size, which is about what a telephone has.
_WIDTH, _HEIGHT = 420, 250
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text
    "text.parse_math": False,  # a dollar in a name is a dollar
    "font.size": 12.5,
    "figure.dpi": 72,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "axes.edgecolor": LINE,
    "axes.labelcolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.axisbelow": True,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.pad": 7,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "text.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 12,
}


@dataclass(frozen=True, slots=True)
class Picture:
    """What stands inside of an `<svg>`, and its view box."""

    view_box: str
    shapes: str


def rate_bars(rates: Mapping[str, float]) -> Picture:
    """A bar for each name, from the top down, with its share from 0 to 1 as a percentage."""
    with _axes("bars", 60 + 44 * len(rates)) as (axes, svg):
        places = range(len(rates))
        axes.barh(places, list(rates.values()), height=0.62, color=CHURN)
        for place, rate in zip(places, rates.values(), strict=True):
            axes.annotate(percent(rate), (rate, place), (5, 0), textcoords="offset points", va="center")
        axes.set_yticks(places, list(rates), color=INK)
        axes.invert_yaxis()
        axes.set_xlim(0, max(0.1, *rates.values()) * 1.22)
        axes.xaxis.set_major_formatter(_PERCENT)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.grid(axis="x", color=LINE, linewidth=0.8)
        axes.spines["bottom"].set_visible(False)
    return svg()


def distribution(stay: Sequence[int], churn: Sequence[int], threshold: float | None) -> Picture:
    """Stacked columns of equal width from 0 to 1, and a line at the threshold, if there is one."""
    edges = [place / len(stay) for place in range(len(stay) + 1)]
    top = [low + high for low, high in zip(stay, churn, strict=True)]
    with _axes("distribution") as (axes, svg):
        axes.stairs(stay, edges, fill=True, color=STAY, label="stays")
        axes.stairs(top, edges, baseline=list(stay), fill=True, color=CHURN, label="churns")
        if threshold is not None:
            axes.axvline(threshold, color=INK, linewidth=1.4, linestyle=(0, (4, 3)), label=f"threshold {threshold:g}")
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3, borderaxespad=0.2, handlelength=1.2)
        axes.set_xlim(0, 1)
        axes.set_xlabel("probability of churn")
        _count_axis(axes)
    return svg()


def counts_over_time(totals: Sequence[int], ticks: Mapping[int, str]) -> Picture:
    """A column for each step of time."""
    with _axes("counts") as (axes, svg):
        axes.stairs(totals, fill=True, color=STAY)
        _time_axis(axes, len(totals), ticks)
        _count_axis(axes)
    return svg()


def rates_over_time(rates: Sequence[float | None], ticks: Mapping[int, str]) -> Picture:
    """A line through the steps that have a share; the others are gaps."""
    with _axes("rates") as (axes, svg):
        places = [place + 0.5 for place in range(len(rates))]
        shares = [float("nan") if rate is None else rate for rate in rates]
        size = max(2.0, 5 - len(rates) / 20)
        axes.plot(places, shares, color=CHURN, linewidth=2, marker="o", markersize=size)
        _time_axis(axes, len(rates), ticks)
        axes.set_ylim(0, max([0.1, *(rate for rate in rates if rate is not None)]) * 1.12)
        axes.yaxis.set_major_formatter(_PERCENT)
        _horizontal(axes)
    return svg()


def calibration(predicted: Sequence[float], observed: Sequence[float]) -> Picture:
    """A point for each pair of shares; on the diagonal both are equal."""
    with _axes("calibration") as (axes, svg):
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1.2, linestyle=(0, (4, 3)), label="as predicted")
        axes.plot(predicted, observed, color=CHURN, linewidth=0, marker="o", markersize=7, label="a tenth")
        axes.legend(loc="upper left", borderaxespad=0.2, handlelength=1.6)
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1)
        axes.set_xlabel("mean predicted probability")
        axes.xaxis.set_major_formatter(_PERCENT)
        axes.yaxis.set_major_formatter(_PERCENT)
        _horizontal(axes)
    return svg()


_PERCENT = FuncFormatter(lambda share, _: f"{share:.0%}")
_COUNT = FuncFormatter(lambda number, _: count(int(number)))


@contextmanager
def _axes(name: str, height: int = _HEIGHT) -> Iterator[tuple[Axes, Callable[[], Picture]]]:
    """Axes to draw on, and what gives the picture once they are done; the same numbers give the same bytes."""
    drawn: list[Picture] = []
    with mpl.rc_context({**_STYLE, "svg.hashsalt": name}), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a glyph that the measuring font lacks; the reader's has it
        figure = Figure(figsize=(_WIDTH / 72, height / 72), layout="constrained")
        FigureCanvasSVG(figure)
        yield figure.add_subplot(), lambda: drawn[0]
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
        drawn.append(_inline(file.getvalue()))


def _time_axis(axes: Axes, steps: int, ticks: Mapping[int, str]) -> None:
    axes.set_xlim(0, steps)
    axes.set_xticks(list(ticks), list(ticks.values()))


def _count_axis(axes: Axes) -> None:
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(_COUNT)
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.grid(axis="y", color=LINE, linewidth=0.8)


def _horizontal(axes: Axes) -> None:
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.grid(axis="y", color=LINE, linewidth=0.8)


def _inline(svg: str) -> Picture:
    """The picture alone, in the page's font and colours, without names that another picture may have too."""
    svg = svg[svg.index("<svg ") :]
    box = re.search(r'viewBox="([^"]+)"', svg)
    inner = svg[svg.index(">") + 1 : svg.rindex("</svg>")]
    inner = re.sub(r"<style.*?</style>|<metadata>.*?</metadata>|<clipPath.*?</clipPath>", "", inner, flags=re.DOTALL)
    inner = re.sub(r'(?<=<g) id="[^"]*"| clip-path="[^"]*"', "", inner)
    inner = re.sub(r' d="[^"]*"', lambda path: re.sub(r"(\.\d\d)\d+", r"\1", path[0]), inner)
    inner = re.sub(r"font-family: [^;\"]*;? ?|(?<= )font: ", "", inner)
    inner = re.sub(r' transform="rotate\(-0 [^)]*\)"', "", inner)
    for stand_in, name in _NAMES.items():
        inner = inner.replace(stand_in, f"var(--{name})")
    inner = re.sub(r"\s*\n\s*", " ", inner)
    inner = re.sub(r"<defs>\s*</defs>", "", inner)
    return Picture(box[1] if box else "", inner.strip())
