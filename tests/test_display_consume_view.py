"""The live view of `consume`: what it shows at which size, and its parts."""

from dataclasses import replace

import pytest
from rich.text import Text

from telco_stream.display.consume_view import (
    ConsumeRun,
    ConsumeView,
    customer_lines,
    describe_state,
    format_lag,
    reason_lines,
)
from telco_stream.display.widgets import bar, fit_words, progress_bar, rule, sparkline, table_row
from telco_stream.monitoring.snapshot import ConsumerSnapshot
from telco_stream.report.customers import AtRisk
from tests.support.telco import CONTRACT

RISKY = AtRisk("7590-VHVEG", 0.871, {"Contract": "Month-to-month", "InternetService": "Fiber optic"})
REASONED = replace(RISKY, main_reason="+tenure", meaning="Customers who joined less than a year ago leave more often.")
BUSY = ConsumerSnapshot(
    consumed=1_204_331,
    dead_lettered=331,
    reading=True,
    joined=True,
    lag={0: 4_001, 1: 4_003, 2: 4_000},
    flagged=449_092,
    at_risk=(RISKY,) * 9,
)


class Harness:
    """A view whose snapshot, time and stop request a test sets."""

    def __init__(
        self,
        snapshot: ConsumerSnapshot = BUSY,
        *,
        ends_with_topic: bool = False,
        max_messages: int | None = None,
        has_reasons: bool = False,
    ) -> None:
        self.snapshot, self.time, self.is_stopping = snapshot, 0.0, False
        run = ConsumeRun("consume", lambda: self.is_stopping, ends_with_topic, max_messages, has_reasons=has_reasons)
        self.view = ConsumeView(run, lambda: self.snapshot, lambda: self.time)

    def rows(self, columns: int = 80, rows: int = 24) -> list[str]:
        return self.view.render(columns, rows).plain.split("\n")


@pytest.mark.parametrize("columns", [20, 40, 60, 79, 80, 115, 116, 140, 200])
@pytest.mark.parametrize("rows", [3, 8, 12, 24])
@pytest.mark.parametrize("has_reasons", [True, False])
def test_consume_view_fits_the_terminal(columns: int, rows: int, has_reasons: bool) -> None:
    snapshot = replace(BUSY, at_risk=(REASONED,) * 9)
    shown = Harness(snapshot, ends_with_topic=True, has_reasons=has_reasons).view.render(columns, rows).split("\n")
    assert len(shown) <= rows
    assert max(line.cell_len for line in shown) <= columns


def test_consume_view_shows_counts_lag_and_customers() -> None:
    shown = "\n".join(Harness().rows())
    assert "── consume ─" in shown
    assert "reading ── 0:00:00 ──" in shown
    assert "Answered         1,204,331   0/s" in shown
    assert "Predictions      1,204,000   37.3% flagged" in shown
    assert "Dead letters           331   under 0.1%" in shown
    assert "Lag                 12,004   0: 4,001  1: 4,003  2: 4,000" in shown
    assert shown.count("7590-VHVEG             87.1% ███████▉   Month-to-month  Fiber optic") == 6


def test_consume_view_has_no_share_when_windows_have_it() -> None:
    """A batch prints the exact share of each window above the view."""
    assert "% flagged" not in "\n".join(Harness(ends_with_topic=True).rows())


def test_consume_view_has_two_columns_when_wide() -> None:
    assert any("Answered" in line and "Newest flagged" in line for line in Harness().rows(140))
    assert not any("Answered" in line and "Newest flagged" in line for line in Harness().rows(100))


@pytest.mark.parametrize(
    ("columns", "shown"),
    [
        (80, "Customers who joined less than a year ago…"),
        (93, "Customers who joined less than a year ago leave more often."),
        (139, "Customers who joined less than a year ago leave more often."),
        (140, "Customers who joined less than a year ago…"),
    ],
)
def test_consume_view_shows_sentences_cut_between_words(columns: int, shown: str) -> None:
    """Of the main reasons; beside the numbers only in a window that has the room."""
    rows = Harness(replace(BUSY, at_risk=(REASONED,)), has_reasons=True).rows(columns)
    (heading,), (line,) = ([row for row in rows if text in row] for text in ("Main reason", "7590-VHVEG"))
    assert ("Answered" in heading) is (columns >= 140)
    assert line.rstrip().endswith(f"7590-VHVEG             87.1%  {shown}")
    assert "Fiber" not in line


def test_reason_lines_name_the_feature_without_a_sentence() -> None:
    line = reason_lines([replace(REASONED, meaning=""), RISKY], CONTRACT, 80)[1]
    assert line.plain.rstrip().endswith("87.1%  +tenure")


def test_reason_lines_mark_what_is_approximate() -> None:
    """Only in the heading if all of them are."""
    approximate = replace(REASONED, main_reason="+tenure (approximate)")
    heading, line = (line.plain for line in reason_lines([approximate], CONTRACT, 80))
    assert "Approximate reason" in heading
    assert line.rstrip().endswith("Customers who joined less than a year ago…")
    heading, line, exact = (line.plain for line in reason_lines([approximate, REASONED], CONTRACT, 80))
    assert "Main reason" in heading
    assert line.rstrip().endswith("Customers who joined less than… (approximate)")
    assert "approximate" not in exact


@pytest.mark.parametrize(
    ("text", "width", "shown"),
    [
        ("as it is", 8, "as it is"),
        ("as it is", 7, "as it…"),
        ("as it is", 5, "as…"),
        ("unbreakable", 5, "unbreakable"),
        ("一 二 三", 7, "一 二…"),
        ("a\x1b[2J b", 99, "a\\x1b[2J b"),
        ("", 5, ""),
    ],
)
def test_fit_words_keeps_whole_words(text: str, width: int, shown: str) -> None:
    assert fit_words(text, width) == shown


@pytest.mark.parametrize("has_reasons", [True, False])
def test_consume_view_keeps_its_height_when_customers_arrive(has_reasons: bool) -> None:
    empty, busy = (Harness(snapshot, has_reasons=has_reasons).rows() for snapshot in (ConsumerSnapshot(), BUSY))
    assert len(empty) == len(busy)


def test_consume_view_shows_rate_and_history_when_time_passes() -> None:
    harness = Harness(replace(BUSY, consumed=0, dead_lettered=0))
    for second in range(6):
        harness.time, harness.snapshot = float(second), replace(BUSY, consumed=100 * second, dead_lettered=0)
        shown = harness.rows()
    assert any("Answered               500   100/s       █████" in line for line in shown)


def test_consume_view_has_no_history_when_nothing_was_read() -> None:
    harness = Harness(ConsumerSnapshot(reading=True))
    for second in range(6):
        harness.time = float(second)
        shown = harness.rows()
    assert any(line.rstrip().endswith("0/s") for line in shown)


def test_consume_view_shows_progress_when_it_ends_with_topic() -> None:
    harness = Harness(replace(BUSY, consumed=0, dead_lettered=0, lag={0: 1_000}), ends_with_topic=True)
    harness.rows()
    harness.time, harness.snapshot = 4.0, replace(BUSY, consumed=250, dead_lettered=0, lag={0: 750})
    assert any("Done                 25.0%" in line and "0:00:12 left" in line for line in harness.rows())


def test_consume_view_shows_progress_when_messages_are_limited() -> None:
    harness = Harness(replace(BUSY, consumed=30, dead_lettered=0), max_messages=40)
    assert any("Done                 75.0%" in line for line in harness.rows())


def test_consume_view_shows_no_progress_when_it_has_no_end() -> None:
    assert not any("Done" in line for line in Harness().rows())


def test_consume_view_keeps_customers_for_a_second() -> None:
    harness = Harness(replace(BUSY, at_risk=(replace(RISKY, key="first"),)))
    assert any("first" in line for line in harness.rows())
    harness.time, harness.snapshot = 0.25, replace(BUSY, at_risk=(replace(RISKY, key="second"),))
    assert not any("second" in line for line in harness.rows())
    harness.time, harness.snapshot = 1.25, replace(BUSY, at_risk=())
    listed = [line.split()[0] for line in harness.rows() if "Fiber" in line]
    assert listed == ["second", "first"]


def test_consume_view_marks_the_lag_when_a_partition_is_unknown() -> None:
    shown = "\n".join(Harness(replace(BUSY, lag={0: 5, 1: None})).rows())
    assert "Lag                     5+   0: 5  1: -" in shown
    assert "Lag                      -   0: -" in "\n".join(Harness(replace(BUSY, lag={0: None})).rows())


@pytest.mark.parametrize(
    ("snapshot", "is_stopping", "state"),
    [
        (ConsumerSnapshot(), False, "connecting"),
        (ConsumerSnapshot(reading=True), False, "joining the group"),
        (ConsumerSnapshot(reading=True, joined=True), False, "no partition assigned: other members have all of them"),
        (BUSY, False, "reading"),
        (replace(BUSY, lag={0: 0, 1: None}), False, "reading"),
        (replace(BUSY, lag={0: 0}), False, "up to date"),
        (BUSY, True, "stopping"),
        (replace(BUSY, unavailable_for=12.4), True, "waiting for Kafka for 12 s"),
    ],
)
def test_describe_state_says_what_consumers_do(snapshot: ConsumerSnapshot, is_stopping: bool, state: str) -> None:
    assert describe_state(snapshot, is_stopping=is_stopping)[0] == state


def test_format_lag_shows_the_highest_when_not_all_fit() -> None:
    lag = {number: number * 1_000 for number in range(30)}
    assert format_lag(lag, 48) == "27: 27,000  28: 28,000  29: 29,000  and 27 more"
    assert format_lag(lag, 400).startswith("0: 0  1: 1,000")
    assert format_lag(lag, 5) == ""


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("\x1b[2J", "\\x1b[2J"),
        ("a\u202eb", "a\\u202eb"),
        ("[red]x[/red]", "[red]x[/red]"),
        ("x" * 900, "x" * 19 + "…"),
        ("客户" * 20, "客户客户客户客户客 …"),
    ],
)
def test_customer_lines_escape_and_cut_ids(name: str, shown: str) -> None:
    line = customer_lines([replace(RISKY, key=name)], CONTRACT)[1]
    assert line.plain.split("  ")[1].strip() == shown
    assert line.cell_len == customer_lines([RISKY], CONTRACT)[1].cell_len


@pytest.mark.parametrize(
    ("share", "drawn"), [(0, ""), (0.5, "████"), (1, "████████"), (0.56, "████▌"), (7, "████████")]
)
def test_bar_is_drawn_in_eighths(share: float, drawn: str) -> None:
    assert bar(share, 8) == drawn


@pytest.mark.parametrize(("share", "done"), [(0, 0), (0.4, 3), (1, 8), (7, 8)])
def test_progress_bar_keeps_its_width(share: float, done: int) -> None:
    drawn = progress_bar(share, 8)
    assert drawn.plain == "━" * 8
    assert str(drawn.style) == ""
    assert {span.end - span.start: str(span.style) for span in drawn.spans} == {
        width: style for width, style in ((done, "green"), (8 - done, "dim")) if width
    }


def test_sparkline_is_relative_to_the_highest() -> None:
    assert sparkline([0, 1, 2, 4], 3) == "▂▄█"
    assert sparkline([], 3) == ""
    assert sparkline([0, 0], 3) == "▁▁"


def test_table_row_and_rule_have_their_width() -> None:
    assert table_row([("abc", ""), ("abcdef", "")], (5, 4)).plain == "  abc    abc…  "
    assert rule(30, "left", Text("right")).plain == "── left ───────────── right ──"
