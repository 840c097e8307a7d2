"""`consume` and `produce` on a terminal, as a person sees them; nothing of the picture is left at the end."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.cli import ROOT
from tests.support.mock_cluster import MockCluster
from tests.support.records import good
from tests.support.running import customers
from tests.support.terminal import TerminalRun
from tests.support.topics import Outgoing, Topics, send

pytestmark = pytest.mark.slow

STREAM = ("consume", "--delivery", "at-least-once")
#: Parts of the pictures, none of which may stand after the end.
DRAWN = ("── consume", "── produce", "Ctrl-C", "Newest at risk", "Confirmed")


@contextmanager
def telco_stream(
    topics: Topics, bootstrap: str, *words: str, size: tuple[int, int] = (80, 30)
) -> Iterator[TerminalRun]:
    command = [sys.executable, "-m", "telco_stream", *words]
    with TerminalRun(command, size=size, env={**topics.env(bootstrap), "PYTHONPATH": str(ROOT)}) as terminal:
        yield terminal


def leftovers(terminal: TerminalRun) -> list[str]:
    """Rows of the picture, wherever they stand."""
    return [row for row in terminal.everything() if any(part in row for part in DRAWN)]


def at_risk(number: int, name: str = "c{}") -> Outgoing:
    """A customer whom the shipped model takes for a churner."""
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


def test_consume_shows_counts_lag_and_customers_and_is_gone_after_ctrl_c(
    embedded: MockCluster, embedded_topics: Topics
) -> None:
    bad: list[Outgoing] = [("x", b"no JSON", [])]
    send(embedded.bootstrap, embedded_topics.raw, [*map(at_risk, range(30)), *bad])
    with telco_stream(embedded_topics, embedded.bootstrap, *STREAM) as terminal:
        terminal.wait_for("up to date")
        terminal.wait_for("Answered                31")
        shown = "\n".join(terminal.rows())
        assert "Dead letters             1   3.2%" in shown
        assert "Predictions             30   about 100% of them at risk" in shown
        assert "Lag                      0   0: 0  1: 0  2: 0" in shown
        assert re.search(r"  c\d+ +[\d.]+% █", shown)
        assert "Month-to-month  Fiber optic" in shown
        terminal.press(b"\x03")
        assert terminal.end() == 0
        assert leftovers(terminal) == []
        assert any("Stopped by     signal" in row for row in terminal.rows())
        assert terminal.raw.endswith(b"\n")
        assert terminal.raw.rfind(b"\x1b[?25h") > terminal.raw.rfind(b"\x1b[?25l"), "the cursor is back"


def test_lines_of_the_log_stand_above_the_picture_whole_and_each_once(
    embedded: MockCluster, embedded_topics: Topics
) -> None:
    with telco_stream(embedded_topics, embedded.bootstrap, *STREAM, size=(160, 40)) as terminal:
        terminal.wait_for("assigned")
        for number in range(5):
            send(embedded.bootstrap, embedded_topics.raw, [("a", b"no JSON", [])])
            terminal.wait_for(f"Dead letters {number + 1:>13,}")
        rows = terminal.rows()
        head = next(place for place, row in enumerate(rows) if row.startswith("── consume"))
        assert sum("WARNING dead letter" in row for row in rows[:head]) == 5
        assert not any("WARNING" in row for row in rows[head:])
        terminal.press(b"\x03")
        assert terminal.end() == 0
        assert sum("WARNING dead letter" in row for row in terminal.everything()) == 5


def test_windows_scroll_above_the_picture_and_stay(embedded: MockCluster, embedded_topics: Topics) -> None:
    send(embedded.bootstrap, embedded_topics.raw, customers(range(4_000)))
    words = ("consume", "--mode", "batch", "--window-size", "100", "--delivery", "at-least-once")
    with telco_stream(embedded_topics, embedded.bootstrap, *words) as terminal:
        terminal.wait_for("Ctrl-C")
        assert terminal.end() == 0
        rows = terminal.everything()
        assert [row.split()[0] for row in rows if row.endswith(tuple("0123456789")) and " 100 " in row] == [
            str(number) for number in range(1, 41)
        ]
        assert leftovers(terminal) == []


def test_the_picture_follows_the_size_of_the_window(embedded: MockCluster, embedded_topics: Topics) -> None:
    """Beside each other where there is room, below each other where not, and never more than fits."""
    send(embedded.bootstrap, embedded_topics.raw, map(at_risk, range(30)))
    with telco_stream(embedded_topics, embedded.bootstrap, *STREAM) as terminal:
        terminal.wait_for("up to date")
        for columns, rows, beside in ((140, 30, True), (80, 30, False), (40, 8, False)):
            terminal.resize(columns, rows)
            terminal.wait_until(lambda beside=beside: _beside(terminal) is beside and _fits(terminal))  # type: ignore[misc]
        terminal.press(b"\x03")
        assert terminal.end() == 0


def _beside(terminal: TerminalRun) -> bool:
    return any("Answered" in row and "Newest at risk" in row for row in terminal.rows())


def _fits(terminal: TerminalRun) -> bool:
    """Its first and its last line stand there once, and the first reaches from one edge to the other."""
    rules = [row for row in terminal.rows() if "── consume" in row or "Ctrl-C" in row]
    return len(rules) == 2 and len(rules[0]) == terminal.emulated.columns - 1


def test_ids_that_would_move_the_cursor_are_spelt_out(embedded: MockCluster, embedded_topics: Topics) -> None:
    send(embedded.bootstrap, embedded_topics.raw, [at_risk(1, "\x1b[2J{}"), at_risk(2, "[red]{}[/red]")])
    with telco_stream(embedded_topics, embedded.bootstrap, *STREAM) as terminal:
        terminal.wait_for("\\x1b[2J1")
        terminal.wait_for("[red]2[/red]")
        assert b"\x1b[2J" not in terminal.raw


@pytest.mark.parametrize("words", [("--no-live",), ("--quiet",), ("--log-format", "json")])
def test_no_picture_where_nobody_wants_one(
    words: tuple[str, ...], embedded: MockCluster, embedded_topics: Topics
) -> None:
    send(embedded.bootstrap, embedded_topics.raw, customers(range(10)))
    with telco_stream(embedded_topics, embedded.bootstrap, *STREAM, *words, "--max-messages", "10") as terminal:
        assert terminal.end() == 0
        assert any("Predicted      10" in row for row in terminal.rows())
        assert b"\x1b[?25l" not in terminal.raw
        assert leftovers(terminal) == []


def test_produce_shows_the_rate_beside_its_target_and_how_far_it_is(
    embedded: MockCluster, embedded_topics: Topics, tmp_path: Path
) -> None:
    words = ["produce", "--mode", "streaming", "--events-per-sec", "50", "--limit", "200"]
    words += ["--checkpoint-file", str(tmp_path / "p.json")]
    with telco_stream(embedded_topics, embedded.bootstrap, *words) as terminal:
        terminal.wait_for("/s of 50.0/s")
        terminal.wait_for("Done")
        assert terminal.end() == 0
        assert leftovers(terminal) == []
        assert any("Sent          200" in row for row in terminal.rows())


def test_workers_are_drawn_together_and_their_log_above_them(kafka: str, topics: Topics) -> None:
    """On a real Kafka: the lag of all, the sums of all, and what each of them says."""
    send(kafka, topics.raw, map(at_risk, range(300)))
    with telco_stream(topics, kafka, "consume", "--workers", "2", size=(160, 40)) as terminal:
        terminal.wait_for("2 workers")
        terminal.wait_for("Answered               300")
        terminal.wait_for("0: 0  1: 0  2: 0")
        terminal.wait_for("Fiber optic")
        rows = terminal.rows()
        head = next(place for place, row in enumerate(rows) if row.startswith("── consume"))
        assert sum("INFO started" in row for row in rows[:head]) == 2
        terminal.press(b"\x03")
        assert terminal.end() == 0
        assert leftovers(terminal) == []
        assert any("Consumed       300" in row for row in terminal.rows())


def test_a_pass_over_a_file_shows_how_much_of_it_kafka_has(kafka: str, topics: Topics, tmp_path: Path) -> None:
    """On a real Kafka, exactly once; gone at the end, and the summary stands."""
    words = ("produce", "--mode", "batch", "--checkpoint-file", str(tmp_path / "p.json"))
    with telco_stream(topics, kafka, *words) as terminal:
        terminal.wait_for("Done")
        assert terminal.end() == 0
        assert leftovers(terminal) == []
        assert any("Failed        0" in row for row in terminal.rows())


def test_a_broker_that_goes_away_is_named_in_the_picture(embedded: MockCluster, embedded_topics: Topics) -> None:
    send(embedded.bootstrap, embedded_topics.raw, map(at_risk, range(3)))
    with telco_stream(embedded_topics, embedded.bootstrap, *STREAM) as terminal:
        terminal.wait_for("up to date")
        embedded.take_down()
        terminal.wait_for("waiting for Kafka, away for")
        embedded.bring_up()
        terminal.wait_for("up to date")
