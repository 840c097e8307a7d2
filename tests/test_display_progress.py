"""Progress lines on a terminal and nowhere else, and the lines about windows."""

import io
import re
from collections.abc import Mapping

import pytest
from rich.console import Console

from telco_stream.display.progress import ProduceProgress, ProduceRun, RowProgress, StageProgress, WindowReporter
from telco_stream.errors import DataError
from telco_stream.messages.record import Message
from telco_stream.monitoring.protocols import BatchTimings, SendCounters
from telco_stream.report.analytics import Window
from telco_stream.scoring import Outcome
from tests.support.captured_screen import CapturedScreen
from tests.support.telco import prediction_of
from tests.support.waiting import wait_until

TIME = "2026-01-01T00:00:00Z"
CHURNER = prediction_of("a", 0.75, "Yes", TIME, TIME, "v1", "One year", "DSL")
STAYER = prediction_of("b", 0.25, "No", TIME, TIME, "v1", "One year", "No")


def test_progress_shows_rows_and_rate_and_is_erased() -> None:
    captured = CapturedScreen(terminal=True)
    with captured.screen.live(RowProgress("Sending", 10_000)) as progress:
        progress.advance(2_500)
        wait_until(lambda: "2,500 rows" in captured.stderr)
    assert re.search(r"Sending  ━+  25\.0%  2,500 rows  [\d,.]+/s", plain(captured.stderr))
    assert captured.stderr.endswith("\x1b[?25h\r\x1b[1A\x1b[2K")
    assert captured.stdout == ""


def test_progress_shows_no_share_when_it_has_no_total() -> None:
    captured = CapturedScreen(terminal=True)
    with captured.screen.live(RowProgress("Sending")) as progress:
        progress.advance(2_500)
        wait_until(lambda: "2,500 rows" in captured.stderr)
    assert "%" not in captured.stderr


def test_stages_show_the_stage_and_its_steps() -> None:
    captured = CapturedScreen(terminal=True)
    with captured.screen.live(StageProgress()) as stages:
        stages("reading", 0, 1)
        wait_until(lambda: "Reading" in captured.stderr)
        assert " of " not in captured.stderr
        stages("cross-validating", 13, 25)
        wait_until(lambda: "13 of 25" in captured.stderr)
    assert "Cross-validating" in captured.stderr


def test_stages_are_silent_when_stderr_is_a_file() -> None:
    captured = CapturedScreen()
    with captured.screen.live(StageProgress()) as stages:
        stages("reading", 0, 1)
    assert captured.stderr == ""


@pytest.mark.parametrize("environ", [{}, {"FORCE_COLOR": "1"}])
def test_progress_is_silent_when_stderr_is_a_file(environ: Mapping[str, str]) -> None:
    """Colours may be forced into a log file, where a bar would be thousands of lines."""
    captured = CapturedScreen(environ=environ)
    with captured.screen.live(RowProgress("Sending", 10)) as progress:
        progress.advance(5)
    assert captured.stderr == ""
    assert progress.rows == 5


def test_progress_is_silent_when_the_terminal_is_dumb() -> None:
    captured = CapturedScreen(terminal=True, environ={"TERM": "dumb"})
    with captured.screen.live(RowProgress("Sending", 10)) as progress:
        progress.advance(5)
    assert captured.stderr == ""


@pytest.mark.parametrize("columns", [5, 20, 40, 80, 200])
def test_progress_fits_the_terminal(columns: int) -> None:
    captured = CapturedScreen(terminal=True, environ={"COLUMNS": str(columns), "NO_COLOR": "1"})
    with captured.screen.live(RowProgress("Sending", 10_000_000)) as progress:
        progress.advance(9_999_999)
        wait_until(lambda: captured.stderr.count("Send") > 1)
    assert 0 < max(len(line) for line in re.split(r"[\r\n]", plain(captured.stderr))) < columns


@pytest.mark.parametrize(("columns", "width"), [(200, 30), (60, 30), (40, 10), (34, 0)])
def test_progress_shortens_its_bar_when_narrow(columns: int, width: int) -> None:
    progress = RowProgress("Sending", 100, lambda: 0.0)
    progress.advance(50)
    text = drawn(progress, columns)
    assert text.count("━") == width
    assert re.sub(r"━+  ", "", text) == "Sending  50.0%  50 rows  0/s"


def test_produce_progress_shows_rate_target_and_failures() -> None:
    time = iter([0.0, 0.0, 4.0])
    progress = ProduceProgress(ProduceRun(lambda: False, lambda: None, 50.0, 400), lambda: next(time))
    assert drawn(progress).startswith("connecting ")
    progress.attach(SendCounters(lambda: 3, dict))
    progress.advance(200)
    assert re.fullmatch(
        r"sending  ━+  50\.0%  200 rows  50\.0/s of 50\.0/s  3 failed  0:00:04 left", drawn(progress, 100)
    )


def test_produce_progress_shows_no_share_when_it_has_no_end() -> None:
    progress = ProduceProgress(ProduceRun(lambda: False, lambda: None, 50.0), lambda: 0.0)
    progress.attach(SendCounters(lambda: 0, dict))
    progress.advance(20)
    assert drawn(progress) == "sending  20 rows  0/s of 50.0/s"


@pytest.mark.parametrize(("rows", "limit", "share"), [(10, None, "60.0%"), (2, 20, "74.3%"), (10, 4_000, "60.0%")])
def test_produce_progress_counts_earlier_runs_when_resumed(rows: int, limit: int | None, share: str) -> None:
    """An earlier run sent 50 of 100 rows; a limit holds for this run only."""
    progress = ProduceProgress(ProduceRun(lambda: False, lambda: None, 0.0, limit, lambda: 100), lambda: 0.0)
    progress.resumed(50)
    progress.advance(rows)
    assert f"  {share}  {rows} rows" in drawn(progress)


def test_produce_progress_has_no_share_when_file_is_unreadable() -> None:
    """The run itself reports the error."""

    def refuse() -> int:
        raise DataError("no such file")

    progress = ProduceProgress(ProduceRun(lambda: False, lambda: 7.2, count_rows=refuse), lambda: 0.0)
    assert drawn(progress).startswith("waiting for Kafka for 7 s  0 rows")


def test_produce_progress_says_that_it_stops_when_asked() -> None:
    progress = ProduceProgress(ProduceRun(lambda: True, lambda: None), lambda: 0.0)
    assert drawn(progress).startswith("stopping")


def test_window_reporter_reports_each_window() -> None:
    reported: list[Window] = []
    reporter = WindowReporter(reported.append)
    for _ in range(2):
        reporter.on_poll()
        reporter.on_committed(outcome(), BatchTimings(0.25, 0.5))
    assert reported == [Window(1, 3, 2, 1, 1, 0.75), Window(2, 3, 2, 1, 1, 0.75)]


def test_window_reporter_merges_windows_when_there_are_many() -> None:
    """300 windows of a second each are 5 single ones, a line for every ten seconds, and one for the rest."""
    now, reported = 0.0, list[Window]()
    reporter = WindowReporter(reported.append, lambda: now)
    for _ in range(300):
        now += 1.0
        reporter.on_committed(outcome(), BatchTimings(0.25, 0.5))
    reporter.finish()
    assert [(window.number, window.last) for window in reported[:7]] == [
        *((number, None) for number in range(1, 6)),
        (6, 15),
        (16, 25),
    ]
    assert reported[-1] == Window(296, 15, 10, 5, 5, 3.75, last=300)
    assert len(reported) == 35
    assert sum(window.consumed for window in reported) == 900


def outcome() -> Outcome:
    """Two predictions, one of them of a churner, and a dead letter."""
    message: Message = ("a", b"", [])
    return Outcome([message] * 2, [message], [CHURNER, STAYER], [], {0: 3}, "Yes", 1, 0)


def drawn(progress: RowProgress, columns: int = 80) -> str:
    stream = io.StringIO()
    Console(file=stream, width=columns, _environ={}).print(progress)
    return stream.getvalue().strip()


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
