"""A line on a terminal and nothing elsewhere, and what `consume` and `produce` tell whoever looks on."""

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pytest

from telco_stream.analytics import Window
from telco_stream.batch import Outcome
from telco_stream.contracts.prediction import Prediction
from telco_stream.display.windows import WindowWatch
from telco_stream.records import Message
from tests.support.desk import Desk

TIME = "2026-01-01T00:00:00Z"
CHURNER = Prediction("a", 0.75, "Yes", TIME, TIME, "v1", "One year", "DSL")
STAYER = Prediction("b", 0.25, "No", TIME, TIME, "v1", "One year", "No")


@dataclass(frozen=True, slots=True)
class Took:
    processing: float
    delivery: float


def test_progress_shows_rows_rate_and_errors_and_is_gone_afterwards() -> None:
    desk = Desk(terminal=True)
    with desk.screen.progress("Sending", 10_000) as progress:
        progress.advance(2_500, errors=3)
        wait_for(lambda: "2,500 rows" in desk.err)
    assert re.search(r"Sending.* 25\.0%  2,500 rows  [\d,]+/s  3 errors", plain(desk.err))
    assert desk.err.endswith("\x1b[2K\r\x1b[?25h")
    assert desk.out == ""


def test_progress_without_an_end_shows_no_share() -> None:
    desk = Desk(terminal=True)
    with desk.screen.progress("Sending") as progress:
        progress.advance(2_500)
        wait_for(lambda: "2,500 rows" in desk.err)
    assert "%" not in desk.err


def test_stages_show_which_one_and_how_far() -> None:
    desk = Desk(terminal=True)
    with desk.screen.stages() as told:
        told("reading", 0, 1)
        wait_for(lambda: "Reading" in desk.err)
        assert " of " not in desk.err
        told("cross-validating", 13, 25)
        wait_for(lambda: "13 of 25" in desk.err)
    assert "Cross-validating" in desk.err


def test_stages_are_silent_where_there_is_no_terminal() -> None:
    desk = Desk()
    with desk.screen.stages() as told:
        told("reading", 0, 1)
    assert desk.err == ""


@pytest.mark.parametrize("environ", [{}, {"FORCE_COLOR": "1"}])
def test_progress_is_silent_where_there_is_no_terminal(environ: Mapping[str, str]) -> None:
    """Colour may be forced into a log; a bar there would be thousands of lines."""
    desk = Desk(environ=environ)
    with desk.screen.progress("Sending", 10) as progress:
        progress.advance(5)
    assert desk.err == ""
    assert progress.rows == 5


def test_progress_is_silent_on_a_dumb_terminal() -> None:
    desk = Desk(terminal=True, environ={"TERM": "dumb"})
    with desk.screen.progress("Sending", 10) as progress:
        progress.advance(5)
    assert desk.err == ""


def test_the_line_of_progress_fits_80_columns() -> None:
    desk = Desk(terminal=True, environ={"COLUMNS": "80", "NO_COLOR": "1"})
    with desk.screen.progress("Sending", 10_000_000) as progress:
        progress.advance(9_999_999, errors=12)
        wait_for(lambda: "9,999,999 rows" in desk.err)
    assert max(len(line) for line in re.split(r"[\r\n]", plain(desk.err))) <= 80


def test_a_window_is_told_from_its_outcome() -> None:
    told: list[Window] = []
    watch = WindowWatch(told.append)
    for _ in range(2):
        watch.turned()
        watch.delivered(outcome(), Took(0.25, 0.5))
    assert told == [Window(1, 3, 2, 1, 1, 0.75), Window(2, 3, 2, 1, 1, 0.75)]


def outcome() -> Outcome:
    """Two predictions, one of them of a churner, and a dead letter."""
    message: Message = ("a", b"", [])
    return Outcome([message] * 2, [message], [CHURNER, STAYER], [], {0: 3}, 1, 0)


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


def wait_for(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "nothing was drawn"
        time.sleep(0.01)
