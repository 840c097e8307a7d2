"""The two streams: JSON alone on stdout, messages and errors on stderr."""

import json
from dataclasses import dataclass

import pytest

from telco_stream.display.progress import RowProgress
from telco_stream.display.text import as_json
from telco_stream.report.analytics import Analytics, Summary, Window
from telco_stream.report.predictions import Report
from tests.support.captured_screen import CapturedScreen
from tests.support.telco import CODEC, prediction_of

KEYS = (
    "total customers churners churn_rate mean_probability by_contract by_internet_service top"
    " expected_leavers expected_share flagged flagged_share revenue_at_risk segments control"
)
NOTHING = Analytics(CODEC.predictions).result(10)
TIME = "2026-01-01T00:00:00Z"
CHURNER = prediction_of("a", 0.75, "Yes", TIME, TIME, "v1", "One year", "DSL")
STAYER = prediction_of("b", 0.25, "No", TIME, TIME, "v1", "One year", "No")


@dataclass(frozen=True, slots=True)
class Run:
    mode: str
    resumed_from: int | None = None
    analytics: Summary | None = None


def test_report_json_has_the_documented_keys_in_order() -> None:
    captured, analytics = CapturedScreen("json"), Analytics(CODEC.predictions)
    analytics.add_all([CHURNER, STAYER])
    captured.screen.show(Report(analytics.result(1), unreadable=0, crosstab={}))
    written = json.loads(captured.stdout)
    assert list(written) == KEYS.split()
    assert written["by_contract"] == {"One year": {"total": 2, "churners": 1, "churn_rate": 0.5}}
    assert written["top"] == [
        {"customerID": "a", "churn_probability": 0.75, "Contract": "One year", "InternetService": "DSL"}
    ]
    assert captured.stderr == ""


def test_json_is_one_line_and_alone_on_stdout() -> None:
    captured = CapturedScreen("json", terminal=True)
    captured.screen.say("said")
    captured.screen.window(Window(1, 1, 1, 0, 0, 0.1))
    with captured.screen.live(RowProgress("Reading")):
        captured.screen.show(Report(NOTHING, unreadable=1, crosstab={}))
    captured.screen.error(ValueError("wrong"))
    assert captured.stdout == as_json(NOTHING) + "\n"


def test_listing_is_json_lines_when_json() -> None:
    captured = CapturedScreen("json")
    captured.screen.show(iter([Run("batch", 1, NOTHING), Run("streaming", 2)]))
    assert [json.loads(line)["resumed_from"] for line in captured.stdout.splitlines()] == [1, 2]


def test_listing_writes_nothing_when_json_and_empty() -> None:
    captured = CapturedScreen("json")
    captured.screen.show([])
    assert (captured.stdout, captured.stderr) == ("", "")


def test_json_has_analytics_only_in_batch_mode() -> None:
    assert json.loads(as_json(Run("streaming"))) == {"mode": "streaming", "resumed_from": None}
    assert list(json.loads(as_json(Run("batch", 1, NOTHING)))["analytics"]) == KEYS.split()


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_json_is_null_when_a_number_is_not_finite(number: float) -> None:
    assert as_json({"rate": [number]}) == '{"rate": [null]}'


def test_json_is_ascii_and_keeps_hostile_text() -> None:
    hostile = '\x1b[31m"\u202e漢\x9b\ud800'
    line = as_json({"customerID": hostile})
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line) == {"customerID": hostile}


def test_screen_shows_warnings_and_errors_when_quiet() -> None:
    captured = CapturedScreen(quiet=True, terminal=True, environ={"NO_COLOR": "1"})
    captured.screen.say("said")
    captured.screen.window(Window(1, 1, 1, 0, 0, 0.1))
    with captured.screen.live(RowProgress("Sending")) as progress:
        progress.advance(5)
    captured.screen.warn("careful")
    captured.screen.error(ValueError("wrong"))
    assert captured.stderr == "Warning: careful\nError: wrong\n"


def test_error_is_one_line_when_it_is_long_or_hostile() -> None:
    captured = CapturedScreen(terminal=True, environ={"NO_COLOR": "1"})
    captured.screen.error(ValueError("no\nway [red]\x1b[31m " + "and on " * 60))
    assert captured.stderr == "Error: no way [red]\\x1b[31m " + ("and on " * 60).strip() + "\n"


def test_screen_uses_colours_only_when_the_terminal_may() -> None:
    def written(**kinds: object) -> str:
        captured = CapturedScreen(**kinds)  # type: ignore[arg-type]
        captured.screen.error(ValueError("wrong"))
        captured.screen.show(Report(NOTHING, unreadable=0, crosstab={}))
        return captured.stderr + captured.stdout

    assert "\x1b[" in written(terminal=True)
    assert "\x1b[" in written(terminal=True, environ={"NO_COLOR": ""})
    assert "\x1b" not in written(terminal=True, environ={"NO_COLOR": "1"})
    assert "\x1b" not in written(terminal=True, environ={"TERM": "dumb"})
    assert "\x1b" not in written(terminal=False)
