"""What `consume` says while it runs in batch mode: a line a window."""

from collections.abc import Callable
from typing import Protocol

from rich.text import Text

from telco_stream.analytics import Window
from telco_stream.batch import Outcome
from telco_stream.display.text import count, percent_of

_WIDTHS = (8, 11, 11, 14, 12, 9)
_TITLES = ("Window", "Consumed", "Predicted", "Dead letters", "Churn rate", "Seconds")
#: Windows between two headings, so that one is always in sight.
_HEADING_EVERY = 20


class Halves(Protocol):
    """Seconds that a batch took."""

    @property
    def processing(self) -> float:
        """To decode, score and encode."""

    @property
    def delivery(self) -> float:
        """To send and commit."""


class WindowWatch:
    """Looks on in batch mode: tells of each window once it is committed."""

    def __init__(self, tell: Callable[[Window], None]) -> None:
        self._tell = tell
        self._number = 0

    def on(self, source: object) -> None:
        """Nothing to tell."""

    def turned(self) -> None:
        """Nothing to tell."""

    def delivered(self, outcome: Outcome, seconds: Halves) -> None:
        """One window more."""
        self._number += 1
        churners = sum(answer.prediction == "Yes" for answer in outcome.answers)
        took = seconds.processing + seconds.delivery
        predicted, letters = len(outcome.predictions), len(outcome.letters)
        self._tell(Window(self._number, outcome.consumed, predicted, letters, churners, took))


def window_lines(window: Window) -> list[Text]:
    """The window's line, and before the first and every twentieth one the headings."""
    rate = percent_of(window.churn_rate, window.predicted)
    numbers = [count(one) for one in (window.number, window.consumed, window.predicted, window.dead_lettered)]
    line = Text(_columns([*numbers, rate, f"{window.seconds:,.2f}"]))
    headed = window.number % _HEADING_EVERY == 1
    return [Text(_columns(_TITLES), "bold"), line] if headed else [line]


def _columns(cells: list[str] | tuple[str, ...]) -> str:
    return "".join(cell.rjust(width) for cell, width in zip(cells, _WIDTHS, strict=True))
