"""Progress of a run: progress lines on a terminal, and lines about the windows of `consume --mode batch`.

Counting costs an addition; the live console draws a progress line four times a second.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from telco_stream.display.text import humanize, safe_text
from telco_stream.display.widgets import join_lines, progress_bar
from telco_stream.errors import DataError
from telco_stream.report.analytics import Window
from telco_stream.runtime.clock import RateMeter
from telco_stream.runtime.humanize import format_count, format_elapsed, format_percent, format_rate

if TYPE_CHECKING:
    from telco_stream.monitoring.protocols import BatchTimings, SendCounters
    from telco_stream.scoring import Outcome

#: Seconds over which the rate is taken, as in the metrics of `produce`, which confirms hundreds of rows at a time.
_RATE_WINDOW = 10.0
#: Largest and smallest number of columns of the bar; it is omitted if the smallest does not fit.
_MAX_BAR, _MIN_BAR = 30, 5
#: Windows that are reported one by one, and seconds after which later ones are reported together.
_SINGLE_WINDOWS, _WINDOWS_EVERY = 5, 10.0
#: Titles and widths of the columns of a window.
_WINDOW_COLUMNS = {"Window": 15, "Consumed": 11, "Predicted": 11, "Dead letters": 14, "Flagged": 12, "Seconds": 9}


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
        """Return the parts of the line that describe the rows done."""
        return [f"{format_count(self.rows)} rows", format_rate(rate)]

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw the line."""
        now, total = self._clock(), self.total()
        self._meter.update(now, self.rows)
        rate = self._meter.rate(now)
        share, details = None, self.details(rate)
        if total:
            rows_done = min(total, self.earlier_rows + self.rows)
            share, left = rows_done / total, total - rows_done
            time_left = [f"{format_elapsed(left / rate)} left"] if left and rate else []
            details = [format_percent(share), *details, *time_left]
        yield _draw_line(self.label(), share, details, options.max_width)


@dataclass(frozen=True, slots=True)
class ProduceRun:
    """Properties of a run; `is_stopping` returns whether a stop has been requested."""

    is_stopping: Callable[[], bool]
    #: Returns the seconds for which Kafka has been unavailable, or None.
    unavailable_for: Callable[[], float | None]
    #: Target rate in rows per second; 0 is as fast as possible.
    target: float = 0.0
    limit: int | None = None
    #: Counts the rows of a file that is sent once.
    count_rows: Callable[[], int] | None = None


class ProduceProgress(RowProgress):
    """Observer of `produce` that draws the confirmed rows, their rate beside the target, and the failed rows."""

    def __init__(self, run: ProduceRun, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__("", clock=clock)
        self._run = run
        self._counters: SendCounters | None = None

    def attach(self, counters: "SendCounters") -> None:
        """Draw the failed rows from the counters of the writer."""
        self._counters = counters

    def resumed(self, rows: int) -> None:
        """Count rows of the file that earlier runs have sent."""
        self.earlier_rows = rows

    def label(self) -> Text:
        """Return the state of the run."""
        unavailable_for = self._run.unavailable_for()
        if unavailable_for is not None:
            return Text(f"waiting for Kafka for {unavailable_for:.0f} s", "bold yellow")
        if self._run.is_stopping():
            return Text("stopping", "bold yellow")
        return Text("sending", "green") if self._counters else Text("connecting", "yellow")

    def total(self) -> int | None:
        """Return the rows of the file or the limit, if that is lower."""
        limit = self.earlier_rows + self._run.limit if self._run.limit else None
        return min((bound for bound in (self._file_rows, limit) if bound is not None), default=None)

    def details(self, rate: float) -> list[str]:
        """Return the rows confirmed and failed, and the rate beside its target."""
        target, failed = self._run.target, self._counters.failed() if self._counters else 0
        return [
            f"{format_count(self.rows)} rows",
            f"{format_rate(rate)} of {format_rate(target)}" if target else format_rate(rate),
            *([f"{format_count(failed)} failed"] if failed else []),
        ]

    @cached_property
    def _file_rows(self) -> int | None:
        """Count the rows of the file once, in the thread that draws; the run reports an unreadable file."""
        with suppress(DataError):
            return self._run.count_rows() if self._run.count_rows else None
        return None


class StageProgress:
    """A line with the current stage of a long job, called with the stage, its steps done, and its steps in total."""

    def __init__(self, stage: str = "") -> None:
        self._stage = (stage, 0, 1)

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Set the current stage."""
        self._stage = (stage, done, total)

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw the line; omit the bar for a stage of one step."""
        stage, done, total = self._stage
        label = safe_text(humanize(stage), "bold")
        share, details = (done / total, [f"{format_count(done)} of {format_count(total)}"]) if total > 1 else (None, [])
        yield _draw_line(label, share, details, options.max_width)


def _draw_line(label: Text, share: float | None, details: Sequence[str], columns: int) -> Text:
    line, end = Text().append_text(label), "".join(f"  {detail}" for detail in details)
    width = min(_MAX_BAR, columns - label.cell_len - 2 - len(end))
    if share is not None and width >= _MIN_BAR:
        line.append("  ").append_text(progress_bar(share, width))
    return join_lines([line.append(end)], columns)


class WindowReporter:
    """Observer of `consume` that reports the first windows one by one, and the later ones together every 10 s."""

    def __init__(self, report: Callable[[Window], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._report = report
        self._clock = clock
        self._number = 0
        self._unreported: Window | None = None
        self._reported_at = clock()

    def attach(self, partitions: object) -> None:
        """Ignore the partitions."""

    def on_poll(self) -> None:
        """Ignore polls."""

    def on_delivering(self, outcome: object) -> None:
        """Ignore batches that are not committed yet."""

    def on_committed(self, outcome: "Outcome", timings: "BatchTimings") -> None:
        """Report the window that this batch was, or add it to the windows that are reported together."""
        self._number += 1
        duration = timings.processing + timings.delivery
        predicted, dead_lettered = len(outcome.prediction_messages), len(outcome.dead_letter_messages)
        window = Window(self._number, outcome.consumed, predicted, dead_lettered, outcome.flagged, duration)
        self._unreported = self._unreported.merge(window) if self._unreported else window
        now = self._clock()
        if self._number <= _SINGLE_WINDOWS or now - self._reported_at >= _WINDOWS_EVERY:
            self._reported_at = now
            self.finish()

    def finish(self) -> None:
        """Report the windows that have not been reported yet."""
        if self._unreported:
            self._report(self._unreported)
            self._unreported = None


def window_lines(window: Window, *, with_heading: bool) -> list[Text]:
    """Format a window, or several together, as a line."""
    number = format_count(window.number)
    numbers = f"{number}-{format_count(window.last)}" if window.last else number
    counts = map(format_count, (window.consumed, window.predicted, window.dead_lettered))
    rate = format_percent(window.churn_rate if window.predicted else None)
    line = Text(_align([numbers, *counts, rate, f"{window.seconds:,.2f}"]))
    return [Text(_align(_WINDOW_COLUMNS), "bold"), line] if with_heading else [line]


def _align(cells: Iterable[str]) -> str:
    return "".join(cell.rjust(width) for cell, width in zip(cells, _WINDOW_COLUMNS.values(), strict=True))
