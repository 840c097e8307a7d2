"""The console that prints lines above a live view: how the view is drawn, and that it is gone at the end."""

import re
from itertools import count
from threading import Event, Thread

import pytest
from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from telco_stream.display.live_console import LiveConsole
from tests.support.captured_screen import CapturedScreen, FakeTerminal
from tests.support.waiting import wait_until


class CountingView:
    """A view that records the size of the terminal each time that it is drawn."""

    def __init__(self, *lines: str) -> None:
        self.lines = lines
        self.sizes: list[tuple[int, int]] = []

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        self.sizes.append((options.max_width, options.size.height))
        yield Text("\n".join(self.lines))


class BrokenTerminal(FakeTerminal):
    """A terminal that goes away."""

    is_gone = False

    def write(self, text: str) -> int:
        if self.is_gone:
            raise OSError("gone")
        return super().write(text)


@pytest.fixture
def captured() -> CapturedScreen:
    return CapturedScreen(terminal=True, environ={"COLUMNS": "40", "LINES": "10"})


def test_live_console_prints_queued_lines_with_one_frame(captured: CapturedScreen) -> None:
    view = CountingView("one", "two")
    with captured.screen.live(view):
        wait_until(lambda: len(view.sizes) == 1)
        for number in range(100):
            captured.screen.say(f"line {number}.")
        wait_until(lambda: "line 99." in captured.stderr)
        assert len(view.sizes) <= 4, "not drawn again for each line"
    assert [int(number) for number in re.findall(r"line (\d+)\.", captured.stderr)] == list(range(100))
    assert captured.stderr.rindex("line 99.") < captured.stderr.rindex("one")


def test_live_console_prints_lines_when_the_view_ends(captured: CapturedScreen) -> None:
    with captured.screen.live(CountingView("one")):
        captured.screen.say("last words")
    assert "last words" in captured.stderr
    captured.screen.say("after it")
    assert captured.stderr.endswith("after it\n")


def test_live_console_loses_no_line_when_threads_print() -> None:
    """Views begin and end while three threads print."""
    stream, is_over = FakeTerminal(), Event()
    console = LiveConsole(Console(file=stream, force_terminal=True, width=40, height=10))
    printed: list[str] = []

    def print_lines(name: str) -> None:
        for number in count():
            line = f"line {name}{number}."
            console.print_line(Text(line))
            printed.append(line)
            if is_over.wait(0.0005):
                return

    threads = [Thread(target=print_lines, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for _ in range(50):
        with console.show(CountingView("one")):
            before = len(printed)
            wait_until(lambda before=before: len(printed) > before)  # type: ignore[misc]
    is_over.set()
    for thread in threads:
        thread.join()
    assert sorted(re.findall(r"line \w+\.", stream.getvalue())) == sorted(printed)


def test_live_console_shows_the_cursor_when_the_block_raises(captured: CapturedScreen) -> None:
    with pytest.raises(ValueError, match="a bug"), captured.screen.live(CountingView("one")):
        raise ValueError("a bug")
    assert captured.stderr.rindex("\x1b[?25h") > captured.stderr.rindex("\x1b[?25l")


def test_live_console_ends_quietly_when_the_terminal_has_gone() -> None:
    stream, view = BrokenTerminal(), CountingView("one")
    with LiveConsole(Console(file=stream, force_terminal=True, width=40, height=10)).show(view):
        wait_until(lambda: len(view.sizes) == 1)
        stream.is_gone = True
        wait_until(lambda: len(view.sizes) >= 3)


def test_live_console_erases_wrapped_rows_when_narrowed() -> None:
    """A line of 38 columns takes four rows of ten."""
    stream, view = FakeTerminal(), CountingView("x" * 38, "y")
    console = Console(file=stream, force_terminal=True, width=40, height=10)
    with LiveConsole(console).show(view):
        wait_until(lambda: len(view.sizes) == 2)
        console.width = 10
        wait_until(lambda: len(view.sizes) > 2 and view.sizes[-2] == (9, 9))
    ups = [codes.count("\x1b[1A") for codes in re.findall(r"(?:\r|\x1b\[[0-9]*[AK])+", stream.getvalue())]
    assert 4 in ups
    assert {0, 1} & set(ups)


def test_live_console_uses_no_styles_when_no_color_is_set() -> None:
    captured = CapturedScreen(terminal=True, environ={"NO_COLOR": "1"})
    with captured.screen.live(Text("styled", "bold red")):
        wait_until(lambda: "styled" in captured.stderr)
    assert not re.search(r"\x1b\[[0-9;]*m", captured.stderr)


def test_live_console_draws_nothing_when_the_terminal_is_dumb() -> None:
    captured = CapturedScreen(terminal=True, environ={"TERM": "dumb"})
    with captured.screen.live(Text("view")):
        captured.screen.say("line")
    assert captured.stderr == "line\n"


def test_live_console_cuts_the_view_when_it_is_too_high(captured: CapturedScreen) -> None:
    view = CountingView(*map(str, range(50)))
    with captured.screen.live(view):
        wait_until(lambda: len(view.sizes) >= 2)
    assert "\n8" in captured.stderr
    assert "\n9" not in captured.stderr


def test_live_console_leaves_the_cursor_at_the_line_start(captured: CapturedScreen) -> None:
    """A terminal echoes ^C there instead of wrapping it behind a full line."""
    view = CountingView("x" * 39)
    with captured.screen.live(view):
        wait_until(lambda: len(view.sizes) >= 1)
        wait_until(lambda: captured.stderr.endswith("x\r"))
