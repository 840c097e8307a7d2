"""The two streams of a command: results on stdout, everything else on stderr."""

import io
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import is_dataclass
from itertools import islice
from typing import TextIO, TypeVar

from rich.console import Console, RenderableType
from rich.text import Text

from telco_stream.contract.schema import Contract
from telco_stream.display.live_console import LiveConsole
from telco_stream.display.progress import window_lines
from telco_stream.display.reason_tables import explanation_tables, lookup_reasons
from telco_stream.display.tables import result_table, rows_table
from telco_stream.display.text import as_json, contract_file, describe_lookup, safe_text
from telco_stream.model.reasons.sentences import Sentences
from telco_stream.report.analytics import Window
from telco_stream.report.explanation import Explanation
from telco_stream.report.lookup import Lookup
from telco_stream.report.predictions import Report
from telco_stream.runtime.choices import Output
from telco_stream.runtime.redaction import redact

View = TypeVar("View", bound=RenderableType)
#: Rows of one table: a longer listing is several of them, so that it is shown as it arrives.
_TABLE_ROWS = 1_000
#: Lines about windows per heading, so that one is always on the screen.
_HEADING_EVERY = 20


class Screen:
    """Writes a command's results to stdout, and its messages and, if `live`, its live view to stderr.

    Results are not shown if `output` is None: the command itself writes to stdout.
    """

    def __init__(
        self,
        output: Output | None = "table",
        *,
        quiet: bool = False,
        live: bool = True,
        streams: tuple[TextIO, TextIO] | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self._output = output
        self._quiet = quiet
        stdout, stderr = streams or (sys.stdout, sys.stderr)
        self._stdout, self._stderr = _escape_unencodable(stdout), _escape_unencodable(stderr)
        self._has_drawn = False
        self._windows = 0
        self._out, err = _console(self._stdout, environ), _console(self._stderr, environ)
        self._err = LiveConsole(err)
        #: Whether a live view is drawn. Asks the stream, since rich takes a log for a terminal if colours are forced.
        self.has_live_view = live and not quiet and self._stderr.isatty() and not err.is_dumb_terminal

    def show(self, result: object, *, in_place: bool = False) -> None:
        """Write a result, or the rows of a listing, to stdout, and warnings about it to stderr.

        With `in_place` a table replaces everything on the terminal.
        """
        if in_place and self._output == "table" and self._stdout.isatty():
            self._out.clear()
            self._has_drawn = False
        if isinstance(result, Report):
            self._show_one(result.summary)
            if result.unreadable:
                advice = "" if result.summary.total else "; --model names the model that made them, if it was another"
                self.warn(f"{result.unreadable:,} values of the topic are not predictions and were not counted{advice}")
        elif isinstance(result, Lookup):
            self._show_rows(result.predictions)
            if self._output == "table" and (reasons := lookup_reasons(result)) is not None:
                self._draw(reasons)
            self.say(describe_lookup(result))
        elif is_dataclass(result) or isinstance(result, Contract):
            self._show_one(result)
        elif isinstance(result, Iterable):
            self._show_rows(result)
            if self._output == "table" and not self._has_drawn:
                self.say("Nothing to list.")
        self._stdout.flush()

    def show_explanation(self, explanation: Explanation, sentences: Mapping[str, Sentences]) -> None:
        """Write an explanation to stdout, with the sentences about the features of its model."""
        if self._output == "table":
            self._draw(explanation_tables(explanation, sentences))
            self._stdout.flush()
        else:
            self.show(explanation)

    def window(self, window: Window) -> None:
        """Print a line about a finished window, or several together, to stderr, unless quiet."""
        if not self._quiet:
            for line in window_lines(window, with_heading=self._windows % _HEADING_EVERY == 0):
                self._err.print_line(line)
            self._windows += 1

    def say(self, message: str) -> None:
        """Print a message to stderr, unless quiet."""
        if not self._quiet:
            self._err.print_line(safe_text(message))

    def warn(self, message: str) -> None:
        """Print a warning to stderr as one line, even if quiet."""
        self._err.print_line(Text("Warning: ", "yellow").append_text(_one_line(message)))

    def error(self, error: Exception) -> None:
        """Print an error to stderr as one line, even if quiet."""
        self._err.print_line(Text("Error: ", "bold red").append_text(_one_line(str(error))))

    def log(self, line: str) -> None:
        """Write a formatted log line to stderr, above the live view if there is one."""
        if self._stderr.isatty():
            text = Text(line)
            text.highlight_words(["Warning:"], "yellow")
            self._err.print_line(text)
        else:
            self._stderr.write(line + "\n")
            self._stderr.flush()

    @contextmanager
    def live(self, view: View) -> Iterator[View]:
        """Draw the view below the lines on stderr while the block runs, if `has_live_view`."""
        with self._err.show(view) if self.has_live_view else nullcontext():
            yield view

    def _show_one(self, result: object) -> None:
        if self._output == "json" and isinstance(result, Contract):
            self._stdout.write(contract_file(result, self._stdout.encoding))
        elif self._output == "json":
            self._stdout.write(f"{as_json(result)}\n")
        elif self._output == "table":
            self._draw(result_table(result))

    def _show_rows(self, rows: Iterable[object]) -> None:
        if self._output == "json":
            for row in rows:
                self._stdout.write(f"{as_json(row)}\n")
            return
        remaining = iter(rows)
        while shown := list(islice(remaining, _TABLE_ROWS)):
            self._draw(rows_table(shown))

    def _draw(self, table: RenderableType) -> None:
        """Draw a table on stdout, after an empty line if it is not the command's first."""
        if self._has_drawn:
            self._out.print()
        self._out.print(table, crop=False)  # a checksum may be longer than the line
        self._has_drawn = True


class _Console(Console):
    """A console that raises when its reader has gone, where rich would end the process with exit code 1."""

    def on_broken_pipe(self) -> None:
        """Raise the error, which the command line handles."""
        raise  # noqa: PLE0704 - rich calls this where it handles the error


def _console(stream: TextIO, environ: Mapping[str, str]) -> Console:
    """Return a console that interprets nothing in text, and that uses no styles at all under NO_COLOR."""
    return _Console(
        file=stream,
        color_system=None if environ.get("NO_COLOR") else "auto",
        markup=False,
        emoji=False,
        highlight=False,
        _environ=environ,
    )


def _one_line(message: str) -> Text:
    return safe_text(" ".join(redact(message).split()))


def _escape_unencodable(stream: TextIO) -> TextIO:
    """Let the stream escape characters that its encoding lacks instead of raising an error."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")
    return stream
