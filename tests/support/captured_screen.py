"""A screen that writes into memory."""

import io
from collections.abc import Mapping

from telco_stream.display.console import Screen
from telco_stream.runtime.choices import Output


class FakeTerminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class CapturedScreen:
    """A screen and what it has written to stdout and stderr, on request as on a terminal."""

    def __init__(
        self,
        output: Output = "table",
        *,
        terminal: bool = False,
        environ: Mapping[str, str] | None = None,
        quiet: bool = False,
    ) -> None:
        self.streams = (FakeTerminal(), FakeTerminal()) if terminal else (io.StringIO(), io.StringIO())
        settings = {"TERM": "xterm-256color", **(environ or {})}
        self.screen = Screen(output, quiet=quiet, streams=self.streams, environ=settings)

    @property
    def stdout(self) -> str:
        return self.streams[0].getvalue()

    @property
    def stderr(self) -> str:
        return self.streams[1].getvalue()
