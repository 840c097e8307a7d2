"""Standard streams of a command: failed writes to stdout are errors, and those to stderr are ignored."""

import io
import os
import sys
from pathlib import Path
from typing import Any, TextIO

from telco_stream.errors import UsageError


def prepare() -> None:
    """Wrap stdout and stderr, unless a test or caller has replaced them, and open closed streams."""
    _open_closed_streams()
    if sys.__stdout__ and sys.stdout is sys.__stdout__:
        sys.stdout = _replace_raw(_ResultFile(sys.__stdout__.fileno(), "wb", closefd=False), sys.stdout)
    if sys.__stderr__ and sys.stderr is sys.__stderr__:
        sys.stderr = _replace_raw(_MessageFile(sys.__stderr__.fileno(), "wb", closefd=False), sys.stderr)


def discard_stdout() -> None:
    """Flush stdout, or discard what cannot be written, so that the flush when Python exits cannot fail."""
    try:
        sys.stdout.flush()
    except (OSError, UsageError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _ResultFile(io.FileIO):
    """A file that raises `UsageError` if it cannot be written, and BrokenPipeError if its reader has gone."""

    def write(self, data: Any, /) -> int:  # noqa: ANN401 - any buffer
        """Write part of the buffer; return its length."""
        try:
            return super().write(data)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise UsageError(f"Cannot write the result: {error.strerror or error}") from error


class _MessageFile(io.FileIO):
    """A file that ignores failed writes, so that a full disk or a missing reader does not end a command."""

    def write(self, data: Any, /) -> int:  # noqa: ANN401 - any buffer
        """Write part of the buffer, or drop it; return its length."""
        try:
            return super().write(data)
        except OSError:
            return len(memoryview(data))


def _replace_raw(raw: io.FileIO, stream: TextIO) -> TextIO:
    """Return a stream with the same options that writes to `raw`."""
    buffered = getattr(stream, "line_buffering", False)
    return io.TextIOWrapper(
        io.BufferedWriter(raw), encoding=stream.encoding, errors=stream.errors, line_buffering=buffered
    )


def _open_closed_streams() -> None:
    """Open closed streams on the null device; otherwise the next opened file would get their number and output."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 - stays open
