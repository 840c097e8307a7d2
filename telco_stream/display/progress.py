"""A bar on a terminal, nothing elsewhere. Counting costs two additions; a thread of rich draws a few times a second."""

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from telco_stream.display.text import count, percent_of, safe

#: Pictures a second.
_FRAMES = 8
#: Columns of the bar; with the numbers beside it the line stays within 80.
_BAR_WIDTH = 20


class Progress:
    """Rows and errors so far, shown while the `with` block runs, and gone after it."""

    def __init__(
        self, console: Console | None, what: str, total: int | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.rows = 0
        self.errors = 0
        self._what = what
        self._total = total
        self._clock = clock
        self._started = clock()
        self._live = console and Live(
            get_renderable=self._picture,
            console=console,
            refresh_per_second=_FRAMES,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def advance(self, rows: int = 1, errors: int = 0) -> None:
        """Count rows that are done, and errors."""
        self.rows += rows
        self.errors += errors

    def __enter__(self) -> Self:
        if self._live:
            self._live.start(refresh=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def _picture(self) -> Table:
        line = Table.grid(padding=(0, 2, 0, 0))
        cells = [safe(self._what, "bold")]
        if self._total:
            line.add_row(*cells, ProgressBar(self._total, self.rows, width=_BAR_WIDTH), *self._numbers())
        else:
            line.add_row(*cells, *self._numbers())
        return line

    def _numbers(self) -> list[str]:
        seconds = self._clock() - self._started
        share = [percent_of(self.rows / self._total, self._total)] if self._total else []
        rate = self.rows / seconds if seconds > 0 else 0.0
        return [*share, f"{count(self.rows)} rows", f"{rate:,.0f}/s", f"{count(self.errors)} errors"]
