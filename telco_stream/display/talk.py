"""Lines on a terminal, and below them a picture that is drawn anew a few times a second and leaves nothing behind.

Rich's own Live draws once more for each line that is printed above it, and a window or a log may say hundreds a second.
Here the lines of a moment and the picture below them are one write, from one thread.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from rich.console import Console, RenderableType
from rich.control import Control
from rich.segment import ControlType, Segment, Segments
from rich.text import Text

#: Pictures a second.
_FRAMES = 4

#: What stands below the lines now, for a terminal of so many columns and rows.
Picture = Callable[[int, int], RenderableType]


class Talk:
    """Writes lines, above the picture if one is drawn; from any thread."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._drawing: _Drawing | None = None

    def line(self, line: Text) -> None:
        """A line; a long one is left to the terminal to wrap, so that it stays one in a log."""
        drawing = self._drawing
        if drawing is None:
            self._console.print(line, soft_wrap=True)
        else:
            drawing.above(line)

    @contextmanager
    def drawing(self, picture: Picture) -> Iterator[None]:
        """Draw the picture while the block runs; a terminal that can't move its cursor shows none."""
        if self._console.is_dumb_terminal:
            yield
            return
        self._drawing = _Drawing(self._console, picture)
        try:
            self._drawing.start()
            yield
        finally:
            drawing, self._drawing = self._drawing, None
            drawing.stop()


class _Drawing:
    """A thread that draws."""

    def __init__(self, console: Console, picture: Picture) -> None:
        self._console = console
        self._picture = picture
        self._waiting: deque[Text] = deque()
        self._widths: list[int] = []  # of the lines that are drawn
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="drawing", daemon=True)

    def start(self) -> None:
        """The cursor would jump about: it is hidden."""
        self._console.show_cursor(show=False)
        self._thread.start()

    def stop(self) -> None:
        """The lines stay, the picture goes."""
        self._over.set()
        self._thread.join()
        with suppress(OSError):
            self._draw([])
            self._console.show_cursor()

    def above(self, line: Text) -> None:
        """It is written with the next picture."""
        self._waiting.append(line)

    def _run(self) -> None:
        with suppress(OSError):  # a terminal that has gone is no reason to fail
            while not self._over.is_set():
                columns, rows = self._console.size
                self._draw(self._lines(columns, rows))
                self._over.wait(1 / _FRAMES)

    def _lines(self, columns: int, rows: int) -> list[list[Segment]]:
        """The last column and the last row stay free: to write there would scroll."""
        options = self._console.options.update(width=max(1, columns - 1))
        picture = self._picture(columns - 1, rows - 1)
        return self._console.render_lines(picture, options, pad=False)[: max(1, rows - 1)]

    def _draw(self, lines: list[list[Segment]]) -> None:
        with self._console:  # until its end nothing is written, then all at once
            self._console.control(self._way_back())
            for _ in range(len(self._waiting)):
                self._console.print(self._waiting.popleft(), soft_wrap=True)
            body = [segment for line in lines for segment in (*line, Segment.line())][:-1]
            self._console.print(Segments(body), end="")
            # From the line's end the terminal's own ^C would wrap, and the way back be one row too short.
            self._console.control(Control(ControlType.CARRIAGE_RETURN))
        self._widths = [Segment.get_line_length(line) for line in lines]

    def _way_back(self) -> Control:
        """To the picture's beginning, all of it erased; in a window that was made narrower its lines have wrapped."""
        columns = self._console.size.width
        rows = sum(max(1, -(-width // columns)) for width in self._widths)
        up = ((ControlType.CURSOR_UP, 1), (ControlType.ERASE_IN_LINE, 2))
        return Control(ControlType.CARRIAGE_RETURN, (ControlType.ERASE_IN_LINE, 2), *(up * max(0, rows - 1)))
