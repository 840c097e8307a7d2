"""A console for stderr with a live view below the lines that are printed.

A run can print hundreds of lines a second, and `rich.live.Live` draws the view again for each line. While a view is
shown, the lines are therefore queued, and the thread that draws prints them together, before the view, in one write.
"""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Lock

from rich.console import Console, ConsoleDimensions, ConsoleOptions, RenderableType, RenderResult
from rich.control import Control
from rich.live import Live
from rich.live_render import LiveRender
from rich.segment import ControlType, Segment
from rich.text import Text

_FRAMES_PER_SECOND = 4


class LiveConsole:
    """Prints lines, above a live view while one is shown; safe to call from any thread."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._lock = Lock()
        self._live: BatchingLive | None = None

    def print_line(self, line: Text) -> None:
        """Print a line, or queue it for the next frame; the terminal wraps a long line."""
        with self._lock:
            if self._live is not None:
                self._live.lines.append(line)
                return
        self._console.print(line, soft_wrap=True)

    @contextmanager
    def show(self, view: RenderableType) -> Iterator[None]:
        """Draw the view four times a second while the block runs, then erase it."""
        with BatchingLive(view, self._console) as live:
            self._live = live
            try:
                yield
            finally:
                with self._lock:
                    self._live = None


class BatchingLive(Live):
    """A `Live` that prints queued lines once per frame, and that ends quietly if the terminal has gone."""

    def __init__(self, view: RenderableType, console: Console) -> None:
        super().__init__(
            view,
            console=console,
            refresh_per_second=_FRAMES_PER_SECOND,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live_render = _WrapAwareRender(view, console)
        #: Lines to print above the view with the next frame.
        self.lines: deque[Text] = deque()

    def refresh(self) -> None:
        """Print the queued lines and draw the view, in one write."""
        lines = [self.lines.popleft() for _ in range(len(self.lines))]
        with suppress(OSError), self.console:
            if lines:
                self.console.print(*lines, sep="\n", soft_wrap=True)  # draws the view below them
            else:
                super().refresh()
            # At the end of a line the terminal's echo of ^C would wrap and move the view down by a row.
            self.console.control(Control(ControlType.CARRIAGE_RETURN))

    def stop(self) -> None:
        """Print the lines that are still queued, and erase the view."""
        with suppress(OSError):
            super().stop()


class _WrapAwareRender(LiveRender):
    """A `LiveRender` that erases all rows of a view whose lines have wrapped because the window became narrower."""

    def __init__(self, view: RenderableType, console: Console) -> None:
        super().__init__(view)
        self._console = console
        self._widths: list[int] = []

    def position_cursor(self) -> Control:
        """Return the control codes that erase the view."""
        columns = self._console.width
        rows = sum(max(1, -(-width // columns)) for width in self._widths)
        self._shape = (columns, rows) if rows else None
        return super().position_cursor()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw the view without the last column and the last row, in which writing would scroll the terminal."""
        self.vertical_overflow = "crop"
        columns, rows = max(1, options.size.width - 1), max(1, options.size.height - 1)
        options = options.update(width=columns)
        options.size = ConsoleDimensions(columns, rows)
        drawn = super().__rich_console__(console, options)
        segments = [segment for segment in drawn if isinstance(segment, Segment)]
        self._widths = [Segment.get_line_length(line) for line in Segment.split_lines(segments)]
        yield from segments
