"""A command on a pseudo-terminal, and what a person would see there."""

import fcntl
import os
import pty
import subprocess
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyte


class TerminalRun:
    """A command that runs while the block does; pyte turns its output into rows and colours."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        size: tuple[int, int] = (80, 24),
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self._command = command
        self._env = {name: text for name, text in os.environ.items() if name not in {"COLUMNS", "LINES", "NO_COLOR"}}
        self._env |= {"TERM": "xterm-256color", "COLORTERM": "truecolor", **(env or {})}
        self._cwd = cwd
        #: The emulated screen with its scrollback.
        self.emulated: Any = pyte.HistoryScreen(*size, history=5_000)
        self._stream: Any = pyte.ByteStream(self.emulated)
        self.raw = b""

    def __enter__(self) -> Self:
        self._master, slave = pty.openpty()
        termios.tcsetwinsize(self._master, (self.emulated.lines, self.emulated.columns))
        os.set_blocking(self._master, False)
        self.process = subprocess.Popen(
            self._command,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=self._env,
            cwd=self._cwd,
            start_new_session=True,
            preexec_fn=_take_terminal,  # noqa: PLW1509 - a system call that cannot block
        )
        os.close(slave)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._master)

    def press(self, keys: bytes) -> None:
        """Type keys; Ctrl-C is `b"\\x03"`."""
        os.write(self._master, keys)

    def resize(self, columns: int, rows: int) -> None:
        """Change the size of the window."""
        self.rows()
        termios.tcsetwinsize(self._master, (rows, columns))
        self.emulated.resize(rows, columns)

    def rows(self) -> list[str]:
        """Return the rows of the screen."""
        try:
            while data := os.read(self._master, 65_536):
                self.raw += data
                self._stream.feed(data)
        except OSError:  # nothing to read, or the command has closed it
            pass
        return [row.rstrip() for row in self.emulated.display]

    def everything(self) -> list[str]:
        """Return the rows of the scrollback and of the screen that are not empty."""
        shown = self.rows()
        width = self.emulated.columns
        past = ["".join(row[column].data for column in range(width)).rstrip() for row in self.emulated.history.top]
        return [row for row in [*past, *shown] if row]

    def wait_for(self, text: str, deadline: float = 30) -> None:
        """Wait until the text is on the screen; fail if the command ends before."""
        self.wait_until(lambda: any(text in row for row in self.rows()), deadline)

    def wait_until(self, condition: Callable[[], bool], deadline: float = 30) -> None:
        """Wait until the condition is true; fail with the screen if it is not in time or the command ends."""
        end = time.monotonic() + deadline
        while not condition():
            assert time.monotonic() < end, "\n".join(self.everything())
            assert self.process.poll() is None or condition(), "\n".join(self.everything())
            time.sleep(0.02)

    def end(self, deadline: float = 30) -> int:
        """Wait for the end and return the exit code; reads all output, since a full terminal blocks the command."""
        end = time.monotonic() + deadline
        while self.process.poll() is None:
            self.rows()
            assert time.monotonic() < end, "\n".join(self.everything())
            time.sleep(0.02)
        self.rows()
        return self.process.returncode


def _take_terminal() -> None:
    """Make the terminal the controlling one, so that Ctrl-C becomes a signal."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
