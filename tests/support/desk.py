"""A screen, and what has been written to it."""

import io
from collections.abc import Mapping

from telco_stream.display.console import Output, Screen


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Desk:
    """A screen, and what has been written to it."""

    def __init__(
        self,
        output: Output = "table",
        *,
        terminal: bool = False,
        environ: Mapping[str, str] | None = None,
        quiet: bool = False,
        verbose: bool = False,
    ) -> None:
        self.streams = (Terminal(), Terminal()) if terminal else (io.StringIO(), io.StringIO())
        settings = {"TERM": "xterm-256color", **(environ or {})}
        self.screen = Screen(output, quiet=quiet, verbose=verbose, streams=self.streams, environ=settings)

    @property
    def out(self) -> str:
        return self.streams[0].getvalue()

    @property
    def err(self) -> str:
        return self.streams[1].getvalue()
