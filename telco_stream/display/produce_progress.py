"""The progress line of `produce`."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property

from rich.text import Text

from telco_stream.display.progress import RowProgress
from telco_stream.errors import DataError
from telco_stream.monitoring.protocols import SendCounters
from telco_stream.runtime.humanize import format_count, format_rate


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

    def __init__(self, run: ProduceRun, clock: Callable[[], float]) -> None:
        super().__init__("", clock=clock)
        self._run = run
        self._counters: SendCounters | None = None

    def attach(self, counters: SendCounters) -> None:
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
