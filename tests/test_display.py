"""Results as tables of at most 80 columns, on stdout, whatever the data holds."""

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import pytest
from rich.cells import cell_len

from telco_stream.display.console import Screen
from telco_stream.model.artifact import read_manifest
from telco_stream.report.analytics import Analytics, PreviousPeriod, Summary, Window
from telco_stream.report.customers import ContactPlan
from telco_stream.report.predictions import Report
from telco_stream.runtime.files import bundled
from tests.support.captured_screen import FakeTerminal
from tests.support.report_data import MANIFEST
from tests.support.telco import CODEC, prediction_of

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


def test_summary_shows_totals_segments_and_customers() -> None:
    text = shown(summary_of("0001-AB", "0002-CD"))
    assert row(text, "Customers") == "Customers 2 each by its newest prediction"
    assert row(text, "Month-to-month") == "Month-to-month 2 1 70.0% 1"
    assert row(text, "1 ") == "1 0001-AB 95.0% Month-to-month Fiber optic"


def test_summary_aligns_numbers_with_separators() -> None:
    text = shown(summary_of(*(str(number) for number in range(1_234))))
    customers, leavers = (next(line for line in text.splitlines() if word in line) for word in (" 1,234", "Expected"))
    assert customers.index("1,234") + len("1,234") == leavers.index("556") + len("556")


def test_summary_has_no_rates_when_it_is_empty() -> None:
    text = shown(Analytics(CODEC.predictions).result(10))
    assert row(text, "Customers") == "Customers 0 each by its newest prediction"
    assert row(text, "Expected to leave") == "Expected to leave 0 - churn probability summed over the customers"
    assert row(text, "Flagged") == "Flagged 0 - churn probability at or above the threshold"
    assert row(text, "Predictions") == "Predictions 0 - of any age, and the share of Yes among them"


@pytest.mark.parametrize("hostile", HOSTILE, ids=range(len(HOSTILE)))
def test_tables_escape_hostile_text_on_a_terminal(hostile: str) -> None:
    """NO_COLOR removes the codes that rich itself would write."""
    for result in (summary_of(hostile), [Letter(0, 1, hostile, hostile, "raw/0/1")], Whole(hostile, 1, 1.0, 1.0)):
        text = shown(result, environ={"NO_COLOR": "1"}, terminal=True)
        assert all(char.isprintable() for char in text.replace("\n", ""))


@pytest.mark.parametrize("hostile", HOSTILE, ids=range(len(HOSTILE)))
def test_tables_fit_80_columns_when_text_is_hostile(hostile: str) -> None:
    for result in (summary_of(hostile), [Letter(0, 1, hostile, hostile, "raw/0/1")], Whole(hostile, 1, 1.0, 1.0)):
        assert max(cell_len(line) for line in shown(result).splitlines()) <= 80


def test_names_are_shown_verbatim_and_cut_when_long() -> None:
    assert "[red]markup[/red]" in shown(summary_of("[red]markup[/red]"))
    assert "\\x1b[31mred" in shown(summary_of("\x1b[31mred"))
    assert "xxx… " in shown(summary_of("x" * 50))


def test_tables_stay_small_when_characters_have_no_width() -> None:
    assert len(shown(summary_of("e" + "\u0301" * 100_000))) < 10_000


def test_result_table_shows_fields_and_nested_results() -> None:
    whole = Whole("raw", 7043, 1.234, 5707.4, None, {0: 1234, 1: 5}, (Part("a", 3, True), Part("b", 1, False)))
    text = shown(whole)
    assert [row(text, name) for name in ("Topic ", "Sent", "Seconds", "Rate", "Last", "End offsets")] == [
        *("Topic raw", "Sent 7,043", "Seconds 1.23 s", "Rate 5,707.4/s", "Last -"),
        "End offsets 0: 1234, 1: 5",
    ]
    assert [row(text, "a "), row(text, "b ")] == ["a 3 yes", "b 1 no"]


@pytest.mark.parametrize("columns", ["60", "80"])
def test_model_has_readable_labels_and_whole_checksums(columns: str) -> None:
    manifest = read_manifest(bundled("models/churn"))
    lines = [line.strip() for line in shown(manifest, environ={"COLUMNS": columns}).splitlines()]
    for checksum in (manifest.training_data.sha256, *manifest.artifacts.values()):
        assert any(line.endswith(checksum) for line in lines), checksum
    for label in ("ROC AUC ", "ROC AUC, std. deviation ", "pipeline.onnx", "scikit-learn ", "Compiled model (ONNX)"):
        assert any(line.startswith(label) for line in lines), label
    assert not any(line.startswith(("Sha256", "Roc", "Onnx", "Pipeline.onnx")) for line in lines)


def test_listing_uses_blocks_when_rows_do_not_fit() -> None:
    """Nothing is cut, because the offset and the source identify a dead letter."""
    narrow, wide = Letter(0, 1_234_567, "k", "why", "raw/0/1"), Letter(0, 1_234_567, "k", "why " * 20, "raw/0/1")
    assert row(shown([narrow]), "0") == "0 1234567 k why raw/0/1"
    assert row(shown([narrow, wide]), "Offset") == "Offset 1234567"


def test_listing_says_so_on_stderr_when_it_is_empty() -> None:
    out, err = streams()
    Screen(streams=(out, err), environ={}).show([])
    assert (out.getvalue(), err.getvalue()) == ("", "Nothing to list.\n")


def test_listing_is_shown_as_it_arrives_when_it_is_long() -> None:
    """What a listing holds must not wait in memory for its end."""
    out, err = streams()
    shown_before: list[int] = []

    def rows() -> Iterator[Letter]:
        for number in range(2_500):
            yield Letter(0, number, "k", "why", "raw/0/1")
            shown_before.append(out.getvalue().count("raw/0/1"))

    Screen(streams=(out, err), environ={}).show(rows())
    assert [shown_before[number] for number in (999, 1_000, 2_000)] == [1_000, 1_000, 2_000]
    assert out.getvalue().count("raw/0/1") == 2_500


def test_tables_are_separated_when_a_command_shows_two() -> None:
    out, err = streams()
    screen = Screen(streams=(out, err), environ={})
    screen.show(Whole("a", 1, 1.0, 1.0))
    screen.show(Whole("b", 1, 1.0, 1.0))
    assert out.getvalue().count("\n\n") == 1


def test_report_warns_of_unreadable_values_when_quiet() -> None:
    out, err = streams()
    Screen(quiet=True, streams=(out, err), environ={}).show(Report(summary_of("a"), 1_234, {}))
    assert err.getvalue() == "Warning: 1,234 values of the topic are not predictions and were not counted\n"
    assert "Warning" not in out.getvalue()


def test_summary_leads_with_customers_and_explains_each_number() -> None:
    text = shown(summary_of("a", "b", "c"))
    assert row(text, "Expected to leave") == "Expected to leave 2 61.7% churn probability summed over the customers"
    assert row(text, "Flagged") == "Flagged 1 33.3% churn probability at or above the threshold"
    assert row(text, "Predictions") == "Predictions 3 33.3% of any age, and the share of Yes among them"
    assert [line.split()[0] for line in text.splitlines()[:4]] == ["Customers", "Expected", "Flagged", "Predictions"]
    assert row(text, "Month-to-month") == "Month-to-month 3 2 61.7% 1"


@pytest.mark.parametrize("columns", [60, 80])
def test_summary_keeps_whole_headings_when_narrow(columns: int) -> None:
    plan = ContactPlan(5, 100, 0.05, 1_234_567, 1_234_567.0, 1e9)
    summary = replace(summary_of("7590-VHVEG", "x" * 300), lift=MANIFEST.metrics.lift, contact_plan=plan)
    lines = shown(summary, {"COLUMNS": str(columns)}).splitlines()
    assert max(map(len, lines)) <= columns
    heading = next(line for line in lines if "#" in line)
    assert heading.split() == ["#", "Customer", "Probability", "Contract", "InternetService"]
    by_model = replace(
        summary, segments={"model_version": {"2026-11-23-9cebc992": summary.segments["Contract"]["Month-to-month"]}}
    )
    assert max(map(len, shown(by_model, {"COLUMNS": str(columns)}).splitlines())) <= columns
    assert any(line.split()[-4:] == ["Customers", "Expected", "Share", "Flagged"] for line in lines)


def test_summary_shows_the_change_from_the_period_before() -> None:
    before = PreviousPeriod("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", 4, 4, 1.6, 0.4, 0, 0.0)
    lines = [" ".join(line.split()) for line in shown(replace(summary_of("a", "b", "c"), previous=before)).splitlines()]
    assert "Against the period before, 2026-01-01 00:00 to 2026-01-02 00:00 UTC:" in lines
    assert "Expected to leave 2 2 +0 +0.0%" in lines
    assert "Flagged 0 1 +1 -" in lines
    assert "Customers 4 3 -1 -25.0%" in lines


def test_summary_says_so_when_the_period_before_is_empty() -> None:
    before = PreviousPeriod("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", 0, 0, 0.0, 0.0, 0, 0.0)
    text = shown(replace(summary_of("a"), previous=before))
    assert " No predictions in the period before, 2026-01-01 00:00 to 2026-01-02 00:00 UTC." in text
    assert "Percent" not in text


def test_summary_shows_lift_and_the_best_threshold() -> None:
    plan = ContactPlan(5, 100, 0.05, 2, 1.4, 130.0)
    text = shown(replace(summary_of("a", "b", "c"), lift=MANIFEST.metrics.lift, contact_plan=plan))
    assert row(text, "10%") == "10% 29.0%"
    assert row(text, "Best threshold") == "Best threshold 0.05 cost 5 / value 100 of a contact"
    assert row(text, "Expected profit").startswith("Expected profit 130 ")


def test_screen_escapes_characters_when_encoding_lacks_them() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    Screen(streams=(stream, io.StringIO()), environ={}).show(summary_of("漢字", "x" * 50))
    stream.seek(0)
    assert "\\u6f22\\u5b57" in stream.read()


def test_window_lines_have_a_heading_every_twentieth() -> None:
    out, err = streams()
    screen = Screen("json", streams=(out, err), environ={})
    for number in range(1, 22):
        screen.window(Window(number, 100_000, 99_998, 2, 26_499, 1.5))
    lines = err.getvalue().splitlines()
    assert [number for number, line in enumerate(lines) if "Consumed" in line] == [0, 21]
    assert lines[1].split() == ["1", "100,000", "99,998", "2", "26.5%", "1.50"]
    assert max(map(len, lines)) <= 80
    assert out.getvalue() == ""


def shown(result: object, environ: Mapping[str, str] | None = None, *, terminal: bool = False) -> str:
    """Return what is written to stdout, and check that nothing is written to stderr."""
    out, err = (FakeTerminal(), FakeTerminal()) if terminal else streams()
    Screen(streams=(out, err), environ={"COLUMNS": "80", **(environ or {})}).show(result)
    assert err.getvalue() == ""
    return out.getvalue()


def streams() -> tuple[io.StringIO, io.StringIO]:
    return io.StringIO(), io.StringIO()


def row(text: str, start: str) -> str:
    """Return the last line with this start, with one space between its columns."""
    return next(" ".join(line.split()) for line in reversed(text.splitlines()) if line.strip().startswith(start))


def summary_of(*names: str) -> Summary:
    """Summarize a prediction for each customer: churn at 95 % for the first, no churn at 45 % for the others."""
    analytics, time = Analytics(CODEC.predictions), "2026-01-01T00:00:00Z"
    for number, name in enumerate(names):
        share = 0.45 if number else 0.95
        verdict = "No" if number else "Yes"
        analytics.add(prediction_of(name, share, verdict, time, time, "v1", "Month-to-month", "Fiber optic"))
    return analytics.result(10)
