"""What stands where: JSON alone on stdout, talk, complaints and progress on stderr."""

import io
import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pytest

from telco_stream.analytics import Analytics, Summary, Window
from telco_stream.batch import Outcome
from telco_stream.contracts.prediction import Prediction
from telco_stream.display.console import Output, Screen
from telco_stream.display.jsonlines import as_json
from telco_stream.display.windows import ProgressWatch, WindowWatch
from telco_stream.records import Message
from telco_stream.report import Report

KEYS = "total customers churners churn_rate mean_probability by_contract by_internet_service top"
NOTHING = Analytics().result(10)
TIME = "2026-01-01T00:00:00Z"
CHURNER = Prediction("a", 0.75, "Yes", TIME, TIME, "v1", "One year", "DSL")
STAYER = Prediction("b", 0.25, "No", TIME, TIME, "v1", "One year", "No")


@dataclass(frozen=True, slots=True)
class Run:
    mode: str
    resumed_from: int | None = None
    analytics: Summary | None = None


@dataclass(frozen=True, slots=True)
class Took:
    processing: float
    delivery: float


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


def test_json_of_a_report_has_the_keys_of_the_interface_in_their_order() -> None:
    desk, analytics = Desk("json"), Analytics()
    analytics.add_all([CHURNER, STAYER])
    desk.screen.show(Report(analytics.result(1), unreadable=0))
    told = json.loads(desk.out)
    assert list(told) == KEYS.split()
    assert told["by_contract"] == {"One year": {"total": 2, "churners": 1, "churn_rate": 0.5}}
    assert told["top"] == [
        {"customerID": "a", "churn_probability": 0.75, "Contract": "One year", "InternetService": "DSL"}
    ]
    assert desk.err == ""


def test_json_is_one_line_and_the_only_thing_on_stdout() -> None:
    desk = Desk("json", verbose=True, terminal=True)
    desk.screen.say("said")
    desk.screen.detail("detail")
    desk.screen.window(Window(1, 1, 1, 0, 0, 0.1))
    with desk.screen.progress("Reading"):
        desk.screen.show(Report(NOTHING, unreadable=1))
    desk.screen.complain(ValueError("wrong"))
    assert desk.out == as_json(NOTHING) + "\n"


def test_a_listing_is_json_lines() -> None:
    desk = Desk("json")
    desk.screen.show(iter([Run("batch", 1, NOTHING), Run("streaming", 2)]))
    assert [json.loads(line)["resumed_from"] for line in desk.out.splitlines()] == [1, 2]


def test_an_empty_listing_is_no_json_line() -> None:
    desk = Desk("json")
    desk.screen.show([])
    assert (desk.out, desk.err) == ("", "")


def test_analytics_are_a_key_in_batch_mode_only_and_other_keys_always() -> None:
    assert json.loads(as_json(Run("streaming"))) == {"mode": "streaming", "resumed_from": None}
    assert list(json.loads(as_json(Run("batch", 1, NOTHING)))["analytics"]) == KEYS.split()


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_json_knows_no_numbers_that_are_none(number: float) -> None:
    assert as_json({"rate": [number]}) == '{"rate": [null]}'


def test_json_is_ascii_and_gives_back_what_was_written() -> None:
    hostile = '\x1b[31m"\u202e漢\x9b\ud800'
    line = as_json({"customerID": hostile})
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line) == {"customerID": hostile}


def test_quiet_leaves_warnings_and_errors() -> None:
    desk = Desk(quiet=True, terminal=True, environ={"NO_COLOR": "1"})
    desk.screen.say("said")
    desk.screen.window(Window(1, 1, 1, 0, 0, 0.1))
    with desk.screen.progress("Sending") as progress:
        progress.advance(5)
    desk.screen.warn("careful")
    desk.screen.complain(ValueError("wrong"))
    assert desk.err == "Warning: careful\nError: wrong\n"


@pytest.mark.parametrize(("verbose", "expected"), [(True, "said\ndetail\n"), (False, "said\n")])
def test_verbose_adds_the_details(verbose: bool, expected: str) -> None:
    desk = Desk(verbose=verbose)
    desk.screen.say("said")
    desk.screen.detail("detail")
    assert desk.err == expected


def test_a_complaint_is_one_line_however_long_and_whatever_it_holds() -> None:
    desk = Desk(terminal=True, environ={"NO_COLOR": "1"})
    desk.screen.complain(ValueError("no\nway [red]\x1b[31m " + "and on " * 60))
    assert desk.err == "Error: no way [red]\\x1b[31m " + ("and on " * 60).strip() + "\n"


def test_colour_is_for_terminals_that_want_it() -> None:
    def told(**kinds: object) -> str:
        desk = Desk(**kinds)  # type: ignore[arg-type]
        desk.screen.complain(ValueError("wrong"))
        desk.screen.show(Report(NOTHING, unreadable=0))
        return desk.err + desk.out

    assert "\x1b[" in told(terminal=True)
    assert "\x1b[" in told(terminal=True, environ={"NO_COLOR": ""})
    assert "\x1b" not in told(terminal=True, environ={"NO_COLOR": "1"})
    assert "\x1b" not in told(terminal=True, environ={"TERM": "dumb"})
    assert "\x1b" not in told(terminal=False)


def test_progress_shows_rows_rate_and_errors_and_is_gone_afterwards() -> None:
    desk = Desk(terminal=True)
    with desk.screen.progress("Sending", 10_000) as progress:
        progress.advance(2_500, errors=3)
        wait_for(lambda: "2,500 rows" in desk.err)
    assert re.search(r"Sending.* 25\.0%  2,500 rows  [\d,]+/s  3 errors", plain(desk.err))
    assert desk.err.endswith("\x1b[2K")
    assert desk.out == ""


def test_progress_without_an_end_shows_no_share() -> None:
    desk = Desk(terminal=True)
    with desk.screen.progress("Sending") as progress:
        progress.advance(2_500)
        wait_for(lambda: "2,500 rows" in desk.err)
    assert "%" not in desk.err


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


def test_the_bar_moves_by_records_and_counts_dead_letters_as_errors() -> None:
    progress = Desk().screen.progress("Scoring")
    watch = ProgressWatch(progress)
    watch.turned()
    watch.delivered(outcome(), Took(0.25, 0.5))
    assert (progress.rows, progress.errors) == (3, 1)


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
