"""Lines about the windows of `consume --mode batch`, printed while it runs."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from rich.text import Text

from telco_stream.messages.prediction import CHURN
from telco_stream.report.analytics import Window
from telco_stream.runtime.humanize import format_count, format_percent
from telco_stream.scoring import Outcome

if TYPE_CHECKING:
    from telco_stream.monitoring.protocols import BatchTimings

_WIDTHS = (8, 11, 11, 14, 12, 9)
_TITLES = ("Window", "Consumed", "Predicted", "Dead letters", "Churn rate", "Seconds")
#: Windows per heading, so that one is always on the screen.
_HEADING_EVERY = 20


class WindowReporter:
    """Observer of `consume` that reports each committed window."""

    def __init__(self, report: Callable[[Window], None]) -> None:
        self._report = report
        self._number = 0

    def attach(self, partitions: object) -> None:
        """Ignore the partitions."""

    def on_poll(self) -> None:
        """Ignore polls."""

    def on_committed(self, outcome: Outcome, timings: "BatchTimings") -> None:
        """Report the window that this batch was."""
        self._number += 1
        churners = sum(answer.prediction == CHURN for answer in outcome.predictions)
        duration = timings.processing + timings.delivery
        predicted, dead_lettered = len(outcome.prediction_messages), len(outcome.dead_letter_messages)
        self._report(Window(self._number, outcome.consumed, predicted, dead_lettered, churners, duration))


def window_lines(window: Window) -> list[Text]:
    """Format a window as a line, with a heading before every twentieth."""
    counts = (window.number, window.consumed, window.predicted, window.dead_lettered)
    churn_rate = format_percent(window.churn_rate if window.predicted else None)
    line = Text(_align([*map(format_count, counts), churn_rate, f"{window.seconds:,.2f}"]))
    return [Text(_align(_TITLES), "bold"), line] if window.number % _HEADING_EVERY == 1 else [line]


def _align(cells: Sequence[str]) -> str:
    return "".join(cell.rjust(width) for cell, width in zip(cells, _WIDTHS, strict=True))
