"""What people see: tables of at most 80 columns, on stdout, whatever the data holds."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pytest
from rich.cells import cell_len

from telco_stream.analytics import Analytics, Summary, Window
from telco_stream.contracts.prediction import Prediction
from telco_stream.display.console import Screen
from telco_stream.report import Report
from tests.support.desk import Terminal

HOSTILE = [
    "[red]markup[/red]",
    "[/]",
    "[link=file:///etc]x[/link]",
    ":bomb:",
    "\x1b[31mcolour\x1b[0m",
    "\x1b]0;title\x07",
    "\x9b31mone byte",
    "line\nbreak\r\n",
    "tab\tbell\a",
    "right\u202eto left",
    "\ud800 half a character",
    "漢字" * 40,
    "👩\u200d🚀" * 30,
    "e" + "\u0301" * 5_000,
    "x" * 100_000,
    "no\u00a0break",
]


@dataclass(frozen=True, slots=True)
class Part:
    name: str
    partitions: int
    created: bool


@dataclass(frozen=True, slots=True)
class Whole:
    topic: str
    sent: int
    seconds: float
    rate: float
    last: str | None = None
    end_offsets: Mapping[int, int] = field(default_factory=dict)
    topics: Sequence[Part] = ()


@dataclass(frozen=True, slots=True)
class Letter:
    partition: int
    offset: int
    key: str
    error_message: str
    source: str


def test_a_summary_shows_totals_segments_and_customers_at_risk() -> None:
    text = shown(summary_of("0001-AB", "0002-CD"))
    assert "2 2 1 50.0% 70.0%" in [" ".join(line.split()) for line in text.splitlines()]
    assert row(text, "Month-to-month") == "Month-to-month 2 1 50.0%"
    assert row(text, "1 ") == "1 0001-AB 95.0% Month-to-month Fiber optic"


def test_numbers_have_thousands_separators_and_stand_aligned() -> None:
    text = shown(summary_of(*(str(number) for number in range(1_234))))
    heading, line = (next(one for one in text.splitlines() if word in one) for word in ("Predictions", "1,234"))
    assert heading.index("Predictions") + len("Predictions") == line.index("1,234") + len("1,234")


def test_a_summary_of_nothing_has_no_rates() -> None:
    assert row(shown(Analytics().result(10)), "0") == "0 0 0 - -"


@pytest.mark.parametrize("hostile", HOSTILE, ids=range(len(HOSTILE)))
def test_nothing_that_customers_write_reaches_the_terminal_as_a_command(hostile: str) -> None:
    """On a terminal; NO_COLOR takes away what rich itself would write there."""
    for result in (summary_of(hostile), [Letter(0, 1, hostile, hostile, "raw/0/1")], Whole(hostile, 1, 1.0, 1.0)):
        text = shown(result, environ={"NO_COLOR": "1"}, terminal=True)
        assert all(one.isprintable() for one in text.replace("\n", ""))


@pytest.mark.parametrize("hostile", HOSTILE, ids=range(len(HOSTILE)))
def test_no_line_is_longer_than_80_columns(hostile: str) -> None:
    for result in (summary_of(hostile), [Letter(0, 1, hostile, hostile, "raw/0/1")], Whole(hostile, 1, 1.0, 1.0)):
        assert max(cell_len(line) for line in shown(result).splitlines()) <= 80


def test_a_name_is_shown_as_written_and_cut_with_an_ellipsis() -> None:
    assert "[red]markup[/red]" in shown(summary_of("[red]markup[/red]"))
    assert "\\x1b[31mred" in shown(summary_of("\x1b[31mred"))
    assert "xxx… " in shown(summary_of("x" * 50))


def test_characters_without_width_cannot_swell_a_line() -> None:
    assert len(shown(summary_of("e" + "\u0301" * 100_000))) < 10_000


def test_a_result_without_a_table_of_its_own_shows_its_fields_and_parts() -> None:
    whole = Whole("raw", 7043, 1.234, 5707.4, None, {0: 1234, 1: 5}, (Part("a", 3, True), Part("b", 1, False)))
    text = shown(whole)
    assert [row(text, name) for name in ("Topic ", "Sent", "Seconds", "Rate", "Last", "End offsets")] == [
        *("Topic raw", "Sent 7,043", "Seconds 1.23 s", "Rate 5,707.4/s", "Last -"),
        "End offsets 0: 1234, 1: 5",
    ]
    assert [row(text, "a "), row(text, "b ")] == ["a 3 yes", "b 1 no"]


def test_a_listing_has_a_row_each_where_they_fit_and_a_block_each_where_not() -> None:
    """Nothing of a letter may be cut: its offset and its source are what finds it again."""
    narrow, wide = Letter(0, 1_234_567, "k", "why", "raw/0/1"), Letter(0, 1_234_567, "k", "why " * 20, "raw/0/1")
    assert row(shown([narrow]), "0") == "0 1234567 k why raw/0/1"
    assert row(shown([narrow, wide]), "Offset") == "Offset 1234567"


def test_a_listing_of_nothing_says_so_on_stderr() -> None:
    out, err = streams()
    Screen(streams=(out, err), environ={}).show([])
    assert (out.getvalue(), err.getvalue()) == ("", "Nothing to list.\n")


def test_tables_of_one_command_stand_apart() -> None:
    out, err = streams()
    screen = Screen(streams=(out, err), environ={})
    screen.show(Whole("a", 1, 1.0, 1.0))
    screen.show(Whole("b", 1, 1.0, 1.0))
    assert out.getvalue().count("\n\n") == 1


def test_a_report_tells_of_foreign_values_on_stderr_even_if_quiet() -> None:
    out, err = streams()
    Screen(quiet=True, streams=(out, err), environ={}).show(Report(summary_of("a"), 1_234))
    assert err.getvalue() == "Warning: 1,234 values of the topic are not predictions and were not counted\n"
    assert "Warning" not in out.getvalue()


def test_an_encoding_without_the_characters_spells_them_out() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    Screen(streams=(stream, io.StringIO()), environ={}).show(summary_of("漢字", "x" * 50))
    stream.seek(0)
    assert "\\u6f22\\u5b57" in stream.read()


def test_windows_show_a_line_each_below_a_heading_every_twentieth() -> None:
    out, err = streams()
    screen = Screen("json", streams=(out, err), environ={})
    for number in range(1, 22):
        screen.window(Window(number, 100_000, 99_998, 2, 26_499, 1.5))
    lines = err.getvalue().splitlines()
    assert [place for place, line in enumerate(lines) if "Consumed" in line] == [0, 21]
    assert lines[1].split() == ["1", "100,000", "99,998", "2", "26.5%", "1.50"]
    assert max(map(len, lines)) <= 80
    assert out.getvalue() == ""


def shown(result: object, environ: Mapping[str, str] | None = None, *, terminal: bool = False) -> str:
    """What stands on stdout, and that nothing stands on stderr."""
    out, err = (Terminal(), Terminal()) if terminal else streams()
    Screen(streams=(out, err), environ={"COLUMNS": "80", **(environ or {})}).show(result)
    assert err.getvalue() == ""
    return out.getvalue()


def streams() -> tuple[io.StringIO, io.StringIO]:
    return io.StringIO(), io.StringIO()


def row(text: str, start: str) -> str:
    """The last line that starts so, its columns joined by one space."""
    return next(" ".join(line.split()) for line in reversed(text.splitlines()) if line.strip().startswith(start))


def summary_of(*names: str) -> Summary:
    """Predictions of these customers: the first at 95 % is a churner, the others at 45 % are not."""
    analytics, time = Analytics(), "2026-01-01T00:00:00Z"
    for place, name in enumerate(names):
        share = 0.45 if place else 0.95
        verdict = "No" if place else "Yes"
        analytics.add(
            Prediction(name, share, verdict, time, time, "v1", "Month-to-month", "Fiber optic")  # type: ignore[arg-type]
        )
    return analytics.result(10)
