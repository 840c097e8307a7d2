"""The pictures of running commands: what they say at which width, and how they are drawn and go."""

import re
from dataclasses import replace

import pytest
from rich.console import Console
from rich.text import Text

from telco_stream.analytics import AtRisk
from telco_stream.display.consuming import ConsumePicture, at_risk, partitions, state
from telco_stream.display.consuming import Running as Consuming
from telco_stream.display.lines import bar, clock, rate_text, row, rule, sparks
from telco_stream.display.pace import Pace
from telco_stream.display.producing import ProducePicture
from telco_stream.display.producing import Running as Producing
from telco_stream.display.talk import Talk
from telco_stream.errors import DataError
from telco_stream.observing.sight import Glimpse
from tests.support.desk import Desk, Terminal
from tests.support.waiting import wait_until

RISKY = AtRisk("7590-VHVEG", 0.871, "Month-to-month", "Fiber optic")
BUSY = Glimpse(
    consumed=1_204_331,
    dead_lettered=331,
    reading=True,
    joined=True,
    lag={0: 4_001, 1: 4_003, 2: 4_000},
    sampled=100,
    sampled_yes=26,
    at_risk=(RISKY,) * 9,
)


class Scene:
    """A glimpse, a clock, and the wish to stop, as a test sets them."""

    def __init__(self, glimpse: Glimpse = BUSY, *, to_the_end: bool = False, most: int | None = None) -> None:
        self.seen, self.time, self.stopping = glimpse, 0.0, False
        run = Consuming("consume", lambda: self.stopping, to_the_end, most)
        self.picture = ConsumePicture(run, self, lambda: self.time)

    def glimpse(self) -> Glimpse:
        return self.seen

    def rows(self, columns: int = 80, rows: int = 24) -> list[str]:
        return self.picture(columns, rows).plain.split("\n")


@pytest.mark.parametrize("columns", [20, 40, 60, 79, 80, 115, 116, 140, 200])
@pytest.mark.parametrize("rows", [3, 8, 12, 24])
def test_the_picture_is_never_larger_than_the_terminal(columns: int, rows: int) -> None:
    shown = Scene(to_the_end=True).picture(columns, rows).split("\n")
    assert len(shown) <= rows
    assert max(line.cell_len for line in shown) <= columns


def test_the_picture_says_what_there_is_to_know() -> None:
    shown = "\n".join(Scene().rows())
    assert "── consume ─" in shown
    assert "reading ── 0:00:00 ──" in shown
    assert "Answered         1,204,331   0/s" in shown
    assert "Predictions      1,204,000   about 26% of them at risk" in shown
    assert "Dead letters           331   under 0.1%" in shown
    assert "Lag                 12,004   0: 4,001  1: 4,003  2: 4,000" in shown
    assert shown.count("7590-VHVEG             87.1% ███████▉   Month-to-month  Fiber optic") == 6


def test_a_wide_terminal_has_the_customers_beside_the_numbers() -> None:
    assert any("Answered" in line and "Newest at risk" in line for line in Scene().rows(140))
    assert not any("Answered" in line and "Newest at risk" in line for line in Scene().rows(100))


def test_the_picture_keeps_its_height_before_there_are_customers() -> None:
    """Else everything above it would jump."""
    assert len(Scene(Glimpse()).rows()) == len(Scene().rows())


def test_a_run_with_an_end_says_how_far_it_is_and_how_long_it_takes() -> None:
    scene = Scene(replace(BUSY, consumed=0, dead_lettered=0, lag={0: 1_000}), to_the_end=True)
    scene.rows()
    scene.time, scene.seen = 4.0, replace(BUSY, consumed=250, dead_lettered=0, lag={0: 750})
    assert any("Done                 25.0%" in line and "0:00:12 left" in line for line in scene.rows())


def test_a_bound_is_an_end_too() -> None:
    scene = Scene(replace(BUSY, consumed=30, dead_lettered=0), most=40)
    assert any("Done                 75.0%" in line for line in scene.rows())


def test_a_stream_without_an_end_shows_no_way_to_it() -> None:
    assert not any("Done" in line for line in Scene().rows())


def test_a_list_of_customers_stays_long_enough_to_be_read() -> None:
    scene = Scene(replace(BUSY, at_risk=(replace(RISKY, customerID="first"),)))
    assert any("first" in line for line in scene.rows())
    scene.time, scene.seen = 0.25, replace(BUSY, at_risk=(replace(RISKY, customerID="second"),))
    assert not any("second" in line for line in scene.rows())
    scene.time, scene.seen = 1.25, replace(BUSY, at_risk=())
    listed = [line.split()[0] for line in scene.rows() if "Fiber" in line]
    assert listed == ["second", "first"]


def test_the_lag_of_unknown_partitions_is_not_taken_for_none() -> None:
    shown = "\n".join(Scene(replace(BUSY, lag={0: 5, 1: None})).rows())
    assert "Lag                     5+   0: 5  1: -" in shown
    assert "Lag                      -   0: -" in "\n".join(Scene(replace(BUSY, lag={0: None})).rows())


@pytest.mark.parametrize(
    ("glimpse", "stopping", "words"),
    [
        (Glimpse(), False, "connecting"),
        (Glimpse(reading=True), False, "joining the group"),
        (Glimpse(reading=True, joined=True), False, "no partition: other members have them all"),
        (BUSY, False, "reading"),
        (replace(BUSY, lag={0: 0, 1: None}), False, "reading"),
        (replace(BUSY, lag={0: 0}), False, "up to date"),
        (BUSY, True, "stopping"),
        (replace(BUSY, away=12.4), True, "waiting for Kafka, away for 12 s"),
    ],
)
def test_the_state_is_one_of_few_words(glimpse: Glimpse, stopping: bool, words: str) -> None:
    assert state(glimpse, stopping=stopping)[0] == words


def test_of_many_partitions_those_with_the_most_lag_are_named() -> None:
    lag = {number: number * 1_000 for number in range(30)}
    line = partitions(lag, 48)
    assert line == "27: 27,000  28: 28,000  29: 29,000  and 27 more"
    assert partitions(lag, 400).startswith("0: 0  1: 1,000")
    assert partitions(lag, 5) == ""


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
def test_ids_of_strangers_are_harmless_and_cut(name: str, shown: str) -> None:
    line = at_risk([replace(RISKY, customerID=name)], 1)[1]
    assert line.plain.split("  ")[1].strip() == shown
    assert line.cell_len == at_risk([RISKY], 1)[1].cell_len


def test_produce_says_its_rate_its_target_and_how_far_it_is() -> None:
    time = iter([0.0, 0.0, 4.0, 4.0])
    picture = ProducePicture(Producing("produce", lambda: False, lambda: None, 50.0, 400), lambda: next(time))
    assert "connecting" in picture(80, 24).plain
    picture.on(Failing(3))
    picture.advance(200)
    shown = picture(80, 24).plain
    assert "sending ── 0:00:04 ──" in shown
    assert "Confirmed              200   50.0/s of 50.0/s" in shown
    assert "Done                 50.0%" in shown
    assert "0:00:04 left" in shown
    assert "Failed                   3" in shown


@pytest.mark.parametrize(("most", "share"), [(None, "60.0%"), (20, "75.0%"), (4_000, "60.0%")])
def test_a_pass_that_goes_on_counts_what_was_sent_before(most: int | None, share: str) -> None:
    """100 rows, 50 of them sent by an earlier run and 10 by this one; a limit is this run's own."""
    picture = ProducePicture(Producing("produce", lambda: False, lambda: None, 0.0, most, lambda: 100), lambda: 0.0)
    picture.resumed(50)
    picture.advance(10 if most != 20 else 2)
    shown = picture(80, 24).plain
    assert f"Done                 {'74.3%' if most == 20 else share}" in shown


def test_a_file_that_cannot_be_counted_is_the_runs_to_complain_of() -> None:
    def refuse() -> int:
        raise DataError("no such file")

    picture = ProducePicture(Producing("produce", lambda: False, lambda: 7.2, size=refuse), lambda: 0.0)
    shown = picture(80, 24).plain
    assert "Done" not in shown
    assert "waiting for Kafka, away for 7 s" in shown


class Failing:
    def __init__(self, number: int) -> None:
        self._number = number

    def failed(self) -> int:
        return self._number

    def outcomes(self) -> dict[str, int]:
        return {}


def test_the_pace_is_that_of_the_last_seconds() -> None:
    pace = Pace(0.0)
    for second in range(1, 11):
        pace.look(float(second), 100 * second if second <= 5 else 500 + 10 * (second - 5))
    assert pace.rate() == 10
    assert list(pace.bars) == [100.0] * 5 + [10.0] * 5


def test_seconds_before_the_first_record_are_no_bars() -> None:
    pace = Pace(0.0)
    for second, so_many in ((1, 0), (2, 0), (3, 30)):
        pace.look(float(second), so_many)
    assert list(pace.bars) == [30.0]
    assert Pace(0.0).rate() == 0.0


@pytest.mark.parametrize(
    ("share", "drawn"), [(0, ""), (0.5, "████"), (1, "████████"), (0.56, "████▌"), (7, "████████")]
)
def test_a_bar_has_eighths(share: float, drawn: str) -> None:
    assert bar(share, 8) == drawn


def test_sparks_rise_to_the_highest() -> None:
    assert sparks([0, 1, 2, 4], 3) == "▂▄█"
    assert sparks([], 3) == ""
    assert sparks([0, 0], 3) == "▁▁"


@pytest.mark.parametrize(("rate", "text"), [(0, "0/s"), (9.94, "9.9/s"), (99.9, "99.9/s"), (1234.4, "1,234/s")])
def test_a_rate_has_a_decimal_where_it_matters(rate: float, text: str) -> None:
    assert rate_text(rate) == text


def test_time_is_told_in_hours() -> None:
    assert [clock(seconds) for seconds in (0, 59.9, 61, 36_000)] == ["0:00:00", "0:00:59", "0:01:01", "10:00:00"]


def test_cells_and_rules_are_as_wide_as_they_are_to_be() -> None:
    assert row([("abc", ""), ("abcdef", "")], (5, 4)).plain == "  abc    abc…  "
    assert rule(30, "left", Text("right")).plain == "── left ───────────── right ──"


class Drawn:
    """A picture that counts how often it is drawn."""

    def __init__(self, *lines: str) -> None:
        self.lines, self.times, self.sizes = lines, 0, list[tuple[int, int]]()

    def __call__(self, columns: int, rows: int) -> Text:
        self.times += 1
        self.sizes.append((columns, rows))
        return Text("\n".join(self.lines))


@pytest.fixture
def desk() -> Desk:
    return Desk(terminal=True, environ={"COLUMNS": "40", "LINES": "10"})


def test_lines_said_meanwhile_come_above_the_picture_in_one_go(desk: Desk) -> None:
    picture = Drawn("one", "two")
    with desk.screen.drawing(picture):
        wait_until(lambda: picture.times == 1)
        for number in range(100):
            desk.screen.say(f"line {number}.")
        wait_until(lambda: "line 99." in desk.err)
        assert picture.times <= 4, "not drawn anew for each line"
    assert [int(number) for number in re.findall(r"line (\d+)\.", desk.err)] == list(range(100))
    assert desk.err.rindex("line 99.") < desk.err.rindex("one")


def test_lines_that_nobody_has_drawn_yet_are_there_at_the_end(desk: Desk) -> None:
    with desk.screen.drawing(Drawn("one")):
        desk.screen.say("last words")
    assert "last words" in desk.err
    desk.screen.say("after it")
    assert desk.err.endswith("after it\n")


def test_the_cursor_comes_back_whatever_happens_inside(desk: Desk) -> None:
    with pytest.raises(ValueError, match="a bug"), desk.screen.drawing(Drawn("one")):
        raise ValueError("a bug")
    assert desk.err.endswith("\x1b[?25h")


def test_the_way_back_counts_lines_that_a_narrower_window_has_wrapped() -> None:
    """A line of 38 columns takes four rows of ten."""
    stream, picture = Terminal(), Drawn("x" * 38, "y")
    console = Console(file=stream, force_terminal=True, width=40, height=10)
    with Talk(console).drawing(picture):
        wait_until(lambda: picture.times == 2)
        console.width = 10
        wait_until(lambda: len(picture.sizes) > 2 and picture.sizes[-2] == (9, 9))
    ups = [piece.count("\x1b[1A") for piece in re.findall(r"(?:\r|\x1b\[[0-9]*[AK])+", stream.getvalue())]
    assert 4 in ups
    assert {0, 1} & set(ups)


def test_a_picture_that_is_too_high_is_cut(desk: Desk) -> None:
    picture = Drawn(*map(str, range(50)))
    with desk.screen.drawing(picture):
        wait_until(lambda: picture.times >= 2)
    assert "\n8" in desk.err
    assert "\n9" not in desk.err
