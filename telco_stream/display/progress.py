"""Progress lines on a terminal. Counting costs an addition; the live console draws the line four times a second."""

import time
from collections.abc import Callable, Sequence

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from telco_stream.display.text import humanize, safe_text
from telco_stream.display.widgets import join_lines, progress_bar
from telco_stream.runtime.clock import RateMeter
from telco_stream.runtime.humanize import format_count, format_elapsed, format_percent, format_rate

#: Seconds over which the rate is taken, as in the metrics of `produce`, which confirms hundreds of rows at a time.
_RATE_WINDOW = 10.0
#: Columns of the bar, which is left out where there is no space for the smallest.
_MAX_BAR, _MIN_BAR = 30, 5


class RowProgress:
    """A line with the rows done and their rate; with a total also a bar, the share and the time left."""

    def __init__(self, label: str, total: int | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        #: Rows done by this run, and by earlier runs whose rows count towards the total.
        self.rows = self.earlier_rows = 0
        self._label = label
        self._total = total
        self._clock = clock
        self._meter = RateMeter(clock(), _RATE_WINDOW)

    def advance(self, rows: int = 1) -> None:
        """Count rows that are done."""
        self.rows += rows

    def label(self) -> Text:
        """Return the start of the line."""
        return safe_text(self._label, "bold")

    def total(self) -> int | None:
        """Return how many rows there are, if that is known."""
        return self._total

    def details(self, rate: float) -> list[str]:
        """Return what the line says of the rows done."""
        return [f"{format_count(self.rows)} rows", format_rate(rate)]

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw the line."""
        now, total = self._clock(), self.total()
        self._meter.update(now, self.rows)
        rate = self._meter.rate(now)
        share, details = None, self.details(rate)
        if total:
            done = min(total, self.earlier_rows + self.rows)
            share, left = done / total, total - done
            time_left = [f"{format_elapsed(left / rate)} left"] if left and rate else []
            details = [format_percent(share), *details, *time_left]
        yield _draw_line(self.label(), share, details, options.max_width)


class StageProgress:
    """A line with the current stage of a long job, called with the stage, its steps done, and its steps in total."""

    def __init__(self) -> None:
        self._stage = ("", 0, 1)

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Set the current stage."""
        self._stage = (stage, done, total)

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw the line; a stage of one step has no bar."""
        stage, done, total = self._stage
        label = safe_text(humanize(stage), "bold")
        share, details = (done / total, [f"{done} of {total}"]) if total > 1 else (None, [])
        yield _draw_line(label, share, details, options.max_width)


def _draw_line(label: Text, share: float | None, details: Sequence[str], columns: int) -> Text:
    line, end = Text().append_text(label), "".join(f"  {detail}" for detail in details)
    width = min(_MAX_BAR, columns - label.cell_len - 2 - len(end))
    if share is not None and width >= _MIN_BAR:
        line.append("  ").append_text(progress_bar(share, width))
    return join_lines([line.append(end)], columns)
