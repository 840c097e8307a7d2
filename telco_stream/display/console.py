"""The two streams of a command: results on stdout, everything else on stderr."""

import io
import os
import sys
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import is_dataclass
from typing import Literal, TextIO, TypeAlias

from rich.console import Console, RenderableType
from rich.text import Text

from telco_stream.analytics import Window
from telco_stream.display import accounts, letters, models  # noqa: F401 - they tell `tables` of their forms
from telco_stream.display.jsonlines import as_json
from telco_stream.display.progress import Progress, Stages
from telco_stream.display.tables import listing, table
from telco_stream.display.talk import Picture, Talk
from telco_stream.display.text import safe
from telco_stream.display.windows import window_lines
from telco_stream.redaction import redact
from telco_stream.report import Report

Output: TypeAlias = Literal["table", "json"]


class Screen:
    """Where a command's result and its talk go."""

    def __init__(
        self,
        output: Output = "table",
        *,
        quiet: bool = False,
        verbose: bool = False,
        streams: tuple[TextIO, TextIO] | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self._output = output
        self._quiet = quiet
        self._verbose = verbose
        stdout, stderr = streams or (sys.stdout, sys.stderr)
        self._stdout, self._stderr = _forgiving(stdout), _forgiving(stderr)
        self._drawn = False
        self._out = _console(self._stdout, environ)
        self._err = Talk(_console(self._stderr, environ))

    def show(self, result: object) -> None:
        """A result, or the rows of a listing, on stdout; what it says about itself on stderr."""
        if is_dataclass(result) or isinstance(result, Mapping):
            self._emit(result)
        elif isinstance(result, Iterable):
            self._emit_rows(result)
        if isinstance(result, Report) and result.unreadable:
            self.warn(f"{result.unreadable:,} values of the topic are not predictions and were not counted")

    def window(self, window: Window) -> None:
        """One line on stderr about a window that is done, below a heading once in a while; silent if quiet."""
        if not self._quiet:
            for line in window_lines(window):
                self._talk(line)

    def say(self, message: str) -> None:
        """What a user may want to know, on stderr; silent if quiet."""
        if not self._quiet:
            self._talk(safe(message))

    def detail(self, message: str) -> None:
        """What only an investigator wants to know, on stderr; silent unless verbose."""
        if self._verbose:
            self._talk(safe(message, "dim"))

    def warn(self, message: str) -> None:
        """What puts the result in another light: one line on stderr, quiet or not."""
        self._talk(Text("Warning: ", "yellow").append_text(_one_line(message)))

    def log(self, line: str) -> None:
        """A finished line of the log on stderr, above the bar if there is one."""
        if self._stderr.isatty():
            self._talk(Text(line))
        else:
            self._stderr.write(line + "\n")
            self._stderr.flush()

    def complain(self, error: Exception) -> None:
        """What went wrong and what to do: one line on stderr."""
        self._talk(Text("Error: ", "bold red").append_text(_one_line(str(error))))

    def progress(self, what: str, total: int | None = None) -> Progress:
        """Counts rows, drawn on stderr where that is a terminal and nobody asked for quiet."""
        return Progress(self._terminal(), what, total)

    def drawing(self, picture: Picture) -> AbstractContextManager[object]:
        """Draws the picture below whatever is said while the block runs; where `progress` is drawn."""
        talk = self._terminal()
        return talk.drawing(picture) if talk else nullcontext()

    @property
    def draws(self) -> bool:
        """Whether a picture would be seen."""
        return self._terminal() is not None

    def stages(self) -> Stages:
        """Names the stage of a job that has few and long steps; drawn where `progress` is."""
        return Stages(self._terminal())

    def _terminal(self) -> Talk | None:
        """Asks the stream, not rich: colours can be forced into a log, where a bar would be thousands of lines."""
        return self._err if self._stderr.isatty() and not self._quiet else None

    def _emit(self, result: object) -> None:
        if self._output == "json":
            self._write(as_json(result))
        else:
            self._draw(table(result))

    def _emit_rows(self, rows: Iterable[object]) -> None:
        if self._output == "json":
            for row in rows:
                self._write(as_json(row))
            return
        shown = list(rows)
        if shown:
            self._draw(listing(shown))
        else:
            self.say("Nothing to list.")

    def _draw(self, shown: RenderableType) -> None:
        """Tables of one command stand apart."""
        if self._drawn:
            self._out.print()
        self._out.print(shown)
        self._drawn = True

    def _write(self, line: str) -> None:
        self._stdout.write(line + "\n")

    def _talk(self, line: Text) -> None:
        self._err.line(line)


class _Console(Console):
    """Leaves it to the command line what a reader that has gone means; rich would end the process with 1."""

    def on_broken_pipe(self) -> None:
        """Let the error pass."""
        raise  # noqa: PLE0704 - rich calls this where it handles the error


def _console(stream: TextIO, environ: Mapping[str, str]) -> Console:
    """A console that adds no meaning to text; under NO_COLOR it adds nothing at all, not even bold."""
    return _Console(
        file=stream,
        color_system=None if environ.get("NO_COLOR") else "auto",
        markup=False,
        emoji=False,
        highlight=False,
        _environ=environ,
    )


def _one_line(message: str) -> Text:
    return safe(" ".join(redact(message).split()))


def _forgiving(stream: TextIO) -> TextIO:
    """The stream, which now spells out what its encoding lacks instead of failing on it."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")
    return stream
