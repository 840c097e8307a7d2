"""Goals as ratios of figures of one session, with the least accepted value and the aim."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.figures import Figures

Value = Callable[[Figures], float]


@dataclass(frozen=True, slots=True)
class Goal:
    """A ratio with its goal; with `at_most` smaller is better."""

    name: str
    value: Value
    least: float
    aim: float | None = None
    at_most: bool = False

    def evaluate(self, figures: Figures) -> tuple[float, str] | None:
        """Return the ratio and the verdict, or None if a figure was not measured."""
        try:
            value = self.value(figures)
        except (KeyError, ValueError, ZeroDivisionError):
            return None
        sign = -1 if self.at_most else 1
        if self.aim is not None and sign * value >= sign * self.aim:
            return value, "aim"
        return value, "pass" if sign * value >= sign * self.least else "falls short"


def _of(name: str, measure: str) -> Value:
    return lambda figures: figures[name][measure].median


def _ratio(one: str, other: str, measure: str = "rate") -> Value:
    return lambda figures: figures[one][measure].median / figures[other][measure].median


def _peers(figures: Figures) -> float:
    return figures["telco-stream onnx"]["rate"].median / max(
        figures[peer]["rate"].median for peer in ("faststream", "quix streams") if peer in figures
    )


def _growth(figures: Figures) -> float:
    return _ratio("consume 2,000,000", "consume 100,000", "rss_mb")(figures) - 1


def _longer_pause(figures: Figures) -> float:
    return figures["promotions"]["pause_ms"].median - figures["folder"]["pause_ms"].median


def _latency(measure: str, own: str, other: str) -> Value:
    return _ratio(f"latency {own} at 1000", f"latency {other} at 1000", measure)


OWN = "telco-stream onnx"
GOALS: Sequence[Goal] = (
    Goal("consume ÷ raw copy in transactions", _ratio(OWN, "raw copy in transactions"), 0.6, 0.8),
    Goal("consume ÷ raw copy", _ratio(OWN, "raw copy"), 0.45, 0.65),
    Goal("consume at-least-once ÷ raw copy", _ratio("telco-stream onnx alo", "raw copy"), 0.2),
    Goal("consume ÷ naive micro-batch pandas", _ratio(OWN, "naive micro-batch pandas"), 1.3, 2),
    Goal("consume ÷ row by row", _ratio(OWN, "row by row"), 300, 500),
    Goal("consume ÷ the better of the peers", _peers, 5, 10),
    Goal("CPU a record ÷ raw copy's", _ratio(OWN, "raw copy", "cpu_us"), 2.6, 2, at_most=True),
    *(
        Goal(
            f"CPU a record with reasons ({number}) ÷ without",
            _ratio(f"telco-stream onnx reasons {number}", OWN, "cpu_us"),
            1.15,
            at_most=True,
        )
        for number in (1, 2, 3)
    ),
    Goal("consume with drift ÷ without", _ratio(OWN, "telco-stream onnx no drift"), 0.98),
    Goal("produce ÷ prepared payloads", _ratio("produce batch", "prepared payloads"), 0.33, 0.5),
    Goal("produce alo ÷ prepared payloads", _ratio("produce batch alo", "prepared payloads"), 0.25),
    *(
        Goal(f"{measure[:3]} {own} ÷ {other}", _latency(measure, own, other), 1.5, 1.2, at_most=True)
        for own, other in (("telco-stream", "copy in transactions"), ("telco-stream alo", "copy"))
        for measure in ("p50_ms", "p99_ms")
    ),
    Goal("consumer's memory, MB", _of("consume 2,000,000", "rss_mb"), 150, 120, at_most=True),
    Goal("its growth from 100,000 records", _growth, 0.03, at_most=True),
    Goal("seconds to the first prediction", _of("start", "seconds"), 0.6, at_most=True),
    Goal("the same, in 19 of 20 starts", _of("19 of 20 starts", "seconds"), 0.6, at_most=True),
    Goal("--help ÷ one Typer command's", _ratio("help", "help of one Typer command", "seconds"), 1.3, at_most=True),
    # For information only.
    Goal("2 workers ÷ 1", _ratio("2 workers", "1 worker"), 1.0),
    Goal("with metrics ÷ without", _ratio("telco-stream onnx metrics", OWN), 0.95),
    Goal("drawn ÷ not drawn", _ratio("telco-stream onnx drawn", "telco-stream onnx --no-live"), 0.98),
)
#: Goals of `benchmarks.promotions`.
PROMOTION_GOALS: Sequence[Goal] = (
    Goal("longest pause with promotions, ms longer", _longer_pause, 100, at_most=True),
    Goal("drained with promotions ÷ without", _ratio("drained, promotions", "drained, folder"), 0.95),
    Goal("CPU a record with a shadow ÷ without", _ratio("shadow", "folder", "cpu_us"), 1.4, at_most=True),
    Goal("the same, drained", _ratio("drained, shadow", "drained, folder", "cpu_us"), 1.4, at_most=True),
    Goal("memory's growth over promotions, %", _of("promotions", "growth_percent"), 3, at_most=True),
)
