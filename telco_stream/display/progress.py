"""A bar on a terminal, nothing elsewhere. Counting costs two additions; a thread draws a few times a second."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from types import TracebackType
from typing import Self

from rich.console import RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table

from telco_stream.display.talk import Talk
from telco_stream.display.text import count, percent, safe, words

#: Columns of the bar; with the numbers beside it the line stays within 80.
_BAR_WIDTH = 20


class _Drawn(ABC):
    """A line drawn anew while the `with` block runs, and gone after it."""

    def __init__(self, talk: Talk | None) -> None:
        self._drawing = talk.drawing(self._line) if talk else nullcontext()

    def __enter__(self) -> Self:
        self._drawing.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._drawing.__exit__(kind, error, trace)

    def _line(self, _columns: int, _rows: int) -> Table:
        line = Table.grid(padding=(0, 2, 0, 0))
        line.add_row(*self._cells())
        return line

    @abstractmethod
    def _cells(self) -> Iterable[RenderableType]:
        """What stands in the line now."""


class Progress(_Drawn):
    """Rows and errors so far; with a `total`, a bar too."""

    def __init__(
        self, talk: Talk | None, what: str, total: int | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.rows = 0
        self.errors = 0
        self._what = what
        self._total = total
        self._clock = clock
        self._started = clock()
        super().__init__(talk)

    def advance(self, rows: int = 1, errors: int = 0) -> None:
        """Count rows that are done, and errors."""
        self.rows += rows
        self.errors += errors

    def _cells(self) -> Iterator[RenderableType]:
        yield safe(self._what, "bold")
        if self._total:
            yield ProgressBar(self._total, self.rows, width=_BAR_WIDTH)
            yield percent(self.rows / self._total)
        seconds = self._clock() - self._started
        yield f"{count(self.rows)} rows"
        yield f"{self.rows / seconds if seconds > 0 else 0:,.0f}/s"
        yield f"{count(self.errors)} errors"


class Stages(_Drawn):
    """The stage that a long job is in, and how far: called with the stage's name, steps done, and steps in all."""

    def __init__(self, talk: Talk | None) -> None:
        self._stage = ("", 0, 1)
        super().__init__(talk)

    def __call__(self, what: str, done: int, total: int) -> None:
        """The job has come this far."""
        self._stage = (what, done, total)

    def _cells(self) -> Iterator[RenderableType]:
        what, done, total = self._stage
        yield safe(words(what), "bold")
        if total > 1:
            yield ProgressBar(total, done, width=_BAR_WIDTH)
            yield f"{done} of {total}"
