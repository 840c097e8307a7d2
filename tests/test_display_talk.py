"""What stands where: JSON alone on stdout, talk, complaints on stderr."""

import json
from dataclasses import dataclass

import pytest

from telco_stream.analytics import Analytics, Summary, Window
from telco_stream.contracts.prediction import Prediction
from telco_stream.display.jsonlines import as_json
from telco_stream.report import Report
from tests.support.desk import Desk

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
