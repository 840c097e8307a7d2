"""The standard streams as a command needs them: results that can't be written are an error, lost talk is none."""

import io
import os
import sys
from pathlib import Path
from typing import Any, TextIO

from telco_stream.errors import UsageError


def prepare() -> None:
    """Ready the process's own streams; those that somebody else has put in their place are left alone."""
    _open_what_is_closed()
    if sys.__stdout__ and sys.stdout is sys.__stdout__:
        sys.stdout = _with(_Results(sys.__stdout__.fileno(), "wb", closefd=False), sys.stdout)
    if sys.__stderr__ and sys.stderr is sys.__stderr__:
        sys.stderr = _with(_Talk(sys.__stderr__.fileno(), "wb", closefd=False), sys.stderr)


def give_up_stdout() -> None:
    """Forget what could not be written: Python flushes once more at its end, and would complain."""
    try:
        sys.stdout.flush()
    except (OSError, UsageError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _Results(io.FileIO):
    """What the system refuses is a UsageError; a reader that has gone is left to the command line."""

    def write(self, data: Any, /) -> int:  # noqa: ANN401 - any buffer
        """Write some of it."""
        try:
            return super().write(data)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise UsageError(f"Cannot write the result: {error.strerror or error}") from error


class _Talk(io.FileIO):
    """A line that is lost, on a full disk or for want of a reader, ends no command and changes no exit code."""

    def write(self, data: Any, /) -> int:  # noqa: ANN401 - any buffer
        """Write some of it, or lose it."""
        try:
            return super().write(data)
        except OSError:
            return len(memoryview(data))


def _with(raw: io.FileIO, stream: TextIO) -> TextIO:
    """The stream's like, with another way out."""
    buffered = getattr(stream, "line_buffering", False)
    return io.TextIOWrapper(
        io.BufferedWriter(raw), encoding=stream.encoding, errors=stream.errors, line_buffering=buffered
    )


def _open_what_is_closed() -> None:
    """What is written to a closed stream goes nowhere; else the next file would take its number, and be written to."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 - it stays open
