"""`consume` and `produce` on a terminal: the live view, and that nothing of it is left at the end."""

import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.cli import ROOT
from tests.support.consumer_harness import customers
from tests.support.mock_cluster import MockCluster
from tests.support.model_folder import copy_model
from tests.support.records import good
from tests.support.terminal import TerminalRun
from tests.support.topics import Outgoing, Topics, send

pytestmark = pytest.mark.slow

STREAM = ("consume", "--delivery", "at-least-once")
#: Parts of the live views, none of which may be left at the end.
DRAWN = ("── consume", "Ctrl-C finishes", "Newest flagged", "━", "sending", "connecting")


@contextmanager
def telco_stream(topics: Topics, bootstrap: str, *args: str, size: tuple[int, int] = (80, 30)) -> Iterator[TerminalRun]:
    command = [sys.executable, "-m", "telco_stream", *args]
    with TerminalRun(command, size=size, env={**topics.env(bootstrap), "PYTHONPATH": str(ROOT)}) as terminal:
        yield terminal


def leftovers(terminal: TerminalRun) -> list[str]:
    """Return the rows on the screen and in its history that show parts of a live view."""
    return [row for row in terminal.everything() if any(part in row for part in DRAWN)]


def at_risk(number: int, name: str = "c{}") -> Outgoing:
    """Return a customer for whom the bundled model predicts churn."""
    return f"c{number}", good(**{**_CHURNER, "customerID": name.format(number)}), []


_CHURNER = {
    "tenure": 1,
    "Contract": "Month-to-month",
    "InternetService": "Fiber optic",
    "OnlineSecurity": "No",
    "TechSupport": "No",
    "PaymentMethod": "Electronic check",
    "MonthlyCharges": 95.0,
    "TotalCharges": 95.0,
}


def test_consume_erases_its_live_view_when_stopped(embedded: MockCluster, embedded_topics: Topics) -> None:
    bad: list[Outgoing] = [("x", b"no JSON", [])]
    send(embedded.bootstrap, embedded_topics.raw, [*map(at_risk, range(30)), *bad])
    with telco_stream(embedded_topics, embedded.bootstrap, *STREAM) as terminal:
        terminal.wait_for("up to date")
        terminal.wait_for("Answered                31")
        shown = "\n".join(terminal.rows())
        assert "Dead letters             1   3.2%" in shown
        assert "Predictions             30   100.0% flagged" in shown
        assert "Lag                      0   0: 0  1: 0  2: 0" in shown
        assert re.search(r"  c\d+ +[\d.]+% █", shown)
        assert "Month-to-month  Fiber optic" in shown
        terminal.press(b"\x03")
        assert terminal.end() == 0
        assert leftovers(terminal) == []
        assert any("Stopped by     signal" in row for row in terminal.rows())
        assert terminal.raw.endswith(b"\n")
        assert terminal.raw.rfind(b"\x1b[?25h") > terminal.raw.rfind(b"\x1b[?25l"), "the cursor is back"


def test_consume_view_shows_the_sentence_of_the_main_reason(
    embedded: MockCluster, embedded_topics: Topics, tmp_path: Path
) -> None:
    """As the owner of the model has edited it, cut between words where it is too long."""
    folder = copy_model(tmp_path)
    sentences = json.loads((folder / "reasons.json").read_text())
    edited = "{} is one of those signs that we see in customers who leave us."
    sentences = {name: {"raises": edited.format(name), "lowers": "Unlike them."} for name in sentences}
    (folder / "reasons.json").write_text(json.dumps(sentences))
    send(embedded.bootstrap, embedded_topics.raw, map(at_risk, range(30)))
    with telco_stream(embedded_topics, embedded.bootstrap, *STREAM, "--model", str(folder), "--reasons", "1") as shown:
        shown.wait_for("Answered                30")
        shown.wait_until(lambda: any("% " in row and "is one of those signs that we" in row for row in shown.rows()))
        assert any(re.search(r"^  Newest flagged +Churn +Main reason *$", row) for row in shown.rows())
        pattern = r"^  c\d+ +\d+\.\d%  \w+ is one of those signs that we( see( in)?)?…$"
        assert sum(bool(re.search(pattern, row.rstrip())) for row in shown.rows()) == 6
        shown.press(b"\x03")
        assert shown.end() == 0


def test_consume_prints_log_lines_once_above_the_view(embedded: MockCluster, embedded_topics: Topics) -> None:
    with telco_stream(embedded_topics, embedded.bootstrap, *STREAM, size=(160, 40)) as terminal:
        terminal.wait_for("Assigned partitions")
        for number in range(5):
            send(embedded.bootstrap, embedded_topics.raw, [("a", b"no JSON", [])])
            terminal.wait_for(f"Dead letters {number + 1:>13,}")
        rows = terminal.rows()
        head = next(number for number, row in enumerate(rows) if row.startswith("── consume"))
        assert sum("Warning: Dead letter for" in row for row in rows[:head]) == 5
        assert not any("Warning" in row for row in rows[head:])
        terminal.press(b"\x03")
        assert terminal.end() == 0
        assert sum("Warning: Dead letter for" in row for row in terminal.everything()) == 5


def test_consume_logs_facts_on_a_terminal_when_asked(embedded: MockCluster, embedded_topics: Topics) -> None:
    with telco_stream(embedded_topics, embedded.bootstrap, *STREAM, "--log-format", "text") as terminal:
        terminal.wait_for("INFO started command=consume")
        terminal.wait_for("INFO assigned partitions")
        terminal.press(b"\x03")
        assert terminal.end() == 0


def test_consume_prints_window_lines_above_the_view(embedded: MockCluster, embedded_topics: Topics) -> None:
    send(embedded.bootstrap, embedded_topics.raw, customers(range(4_000)))
    args = ("consume", "--mode", "batch", "--window-size", "100", "--delivery", "at-least-once")
    with telco_stream(embedded_topics, embedded.bootstrap, *args) as terminal:
        assert terminal.end() == 0
        assert b"Ctrl-C finishes" in terminal.raw, "the view was drawn, if only for a moment"
        rows = terminal.everything()
        numbers = [found[1] for row in rows if (found := re.match(r" +(\d+(?:-\d+)?) .*% +[\d.]+$", row))]
        assert numbers[:5] == ["1", "2", "3", "4", "5"]
        ranges = [(int(first), int(last or first)) for first, _, last in (number.partition("-") for number in numbers)]
        assert [window for first, last in ranges for window in range(first, last + 1)] == list(range(1, 41))
        assert leftovers(terminal) == []


def test_consume_view_follows_the_window_when_resized(embedded: MockCluster, embedded_topics: Topics) -> None:
    """Two columns in a wide window, one in a narrow one, and never more than fits."""
    send(embedded.bootstrap, embedded_topics.raw, map(at_risk, range(30)))
    with telco_stream(embedded_topics, embedded.bootstrap, *STREAM) as terminal:
        terminal.wait_for("up to date")
        for columns, rows, is_wide in ((140, 30, True), (80, 30, False), (40, 8, False)):
            terminal.resize(columns, rows)
            terminal.wait_until(lambda is_wide=is_wide: _has_two_columns(terminal) is is_wide and _fits(terminal))  # type: ignore[misc]
        terminal.press(b"\x03")
        assert terminal.end() == 0


def _has_two_columns(terminal: TerminalRun) -> bool:
    return any("Answered" in row and "Newest flagged" in row for row in terminal.rows())


def _fits(terminal: TerminalRun) -> bool:
    """Return whether the first and last line of the view are there once, the first one in the window's width."""
    rules = [row for row in terminal.rows() if "── consume" in row or "Ctrl-C finishes" in row]
    return len(rules) == 2 and len(rules[0]) == terminal.emulated.columns - 1


def test_consume_view_escapes_ids(embedded: MockCluster, embedded_topics: Topics) -> None:
    send(embedded.bootstrap, embedded_topics.raw, [at_risk(1, "\x1b[2J{}"), at_risk(2, "[red]{}[/red]")])
    with telco_stream(embedded_topics, embedded.bootstrap, *STREAM) as terminal:
        terminal.wait_for("\\x1b[2J1")
        terminal.wait_for("[red]2[/red]")
        assert b"\x1b[2J" not in terminal.raw


@pytest.mark.parametrize("options", [("--no-live",), ("--quiet",), ("--log-format", "json")])
def test_consume_draws_no_view_when_options_disable_it(
    options: tuple[str, ...], embedded: MockCluster, embedded_topics: Topics
) -> None:
    send(embedded.bootstrap, embedded_topics.raw, customers(range(10)))
    with telco_stream(embedded_topics, embedded.bootstrap, *STREAM, *options, "--max-messages", "10") as terminal:
        assert terminal.end() == 0
        assert any("Predicted      10" in row for row in terminal.rows())
        assert b"\x1b[?25l" not in terminal.raw
        assert leftovers(terminal) == []


def test_produce_shows_its_rate_target_and_progress(
    embedded: MockCluster, embedded_topics: Topics, tmp_path: Path
) -> None:
    args = ["produce", "--mode", "streaming", "--events-per-sec", "50", "--limit", "200"]
    args += ["--checkpoint-file", str(tmp_path / "p.json")]
    with telco_stream(embedded_topics, embedded.bootstrap, *args) as terminal:
        terminal.wait_for("/s of 50.0/s")
        terminal.wait_for("%")
        assert terminal.end() == 0
        assert leftovers(terminal) == []
        assert any("Sent          200" in row for row in terminal.rows())


def test_consume_shows_one_view_when_it_has_workers(kafka: str, topics: Topics) -> None:
    """The view has the lag and the sums of all workers, and the log has the lines of each."""
    send(kafka, topics.raw, map(at_risk, range(300)))
    with telco_stream(topics, kafka, "consume", "--workers", "2", "--reasons", "1", size=(160, 40)) as terminal:
        terminal.wait_for("2 workers")
        terminal.wait_for("Answered               300")
        terminal.wait_for("0: 0  1: 0  2: 0")
        terminal.wait_for(" raises the probability.")
        rows = terminal.rows()
        head = next(number for number, row in enumerate(rows) if row.startswith("── consume"))
        started = sorted(found[1] for row in rows[:head] if (found := re.search(r" worker (\d+): Consuming ", row)))
        assert started == ["0", "1"]
        terminal.press(b"\x03")
        assert terminal.end() == 0
        assert leftovers(terminal) == []
        assert any("Consumed       300" in row for row in terminal.rows())


def test_produce_erases_its_progress_when_a_pass_ends(kafka: str, topics: Topics, tmp_path: Path) -> None:
    """The summary is left."""
    args = ("produce", "--mode", "batch", "--checkpoint-file", str(tmp_path / "p.json"))
    with telco_stream(topics, kafka, *args) as terminal:
        terminal.wait_for("%")
        assert terminal.end() == 0
        assert leftovers(terminal) == []
        assert any("Failed        0" in row for row in terminal.rows())


def test_consume_view_says_so_when_kafka_is_unavailable(embedded: MockCluster, embedded_topics: Topics) -> None:
    send(embedded.bootstrap, embedded_topics.raw, map(at_risk, range(3)))
    with telco_stream(embedded_topics, embedded.bootstrap, *STREAM) as terminal:
        terminal.wait_for("up to date")
        embedded.take_down()
        terminal.wait_for("waiting for Kafka for")
        embedded.bring_up()
        terminal.wait_for("up to date")
