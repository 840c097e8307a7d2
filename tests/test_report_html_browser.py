"""The page of `report --html` in a real browser."""

import csv
import io
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import pytest

from telco_stream.messages.prediction import Prediction, Reason
from telco_stream.report.customers import shorten_id
from telco_stream.report.html import render
from telco_stream.report.run import ReportData
from tests.support.browser import AXE, chromium, open_page, running_browser, violations
from tests.support.cli import ROOT
from tests.support.in_process import run_in_process
from tests.support.records import good
from tests.support.report_data import (
    HOSTILE,
    MANIFEST,
    OWN_VERSION,
    drift_result,
    many_predictions,
    prediction,
    report_data,
    with_quality,
    with_reasons,
    write_page,
)
from tests.support.topics import Topics, send
from tests.support.worded_contracts import data_of

pytestmark = pytest.mark.slow

#: Pages by what they show.
PAGES: dict[str, Callable[[], ReportData]] = {
    "many": lambda: report_data(many_predictions(3_000), letters={"json": 3, "validation": 2}),
    "reasons": lambda: report_data(
        [with_reasons(each, Reason("tenure", 1.0), Reason("Contract", -0.5)) for each in many_predictions(50)]
    ),
    "drift": lambda: report_data(many_predictions(50), drift=drift_result("x" * 60)),
    "one": lambda: report_data([prediction()]),
    "none": lambda: report_data([]),
    "long names": lambda: report_data(long_names(60), letters={"json": 1}),
    **{name: partial(data_of, name) for name in ("other value", "no verb", "four segments", "long contract")},
    "outcomes": lambda: with_quality(report_data(many_predictions(300)), OWN_VERSION, "2026-12-24-9b1c3d5e"),
    "hostile outcomes": lambda: with_quality(report_data([prediction()]), *HOSTILE, weeks=1, positive=0.0),
    "hostile": lambda: report_data(prediction(name, 0.9 - rank / 99) for rank, name in enumerate(HOSTILE)),
}
#: Pages that are checked on each device.
DETAILED = ("many", "hostile", "four segments", "long contract", "outcomes", "drift", "reasons")
#: Long and unbreakable names of segments, and IDs like e-mail addresses.
LONG = ("Month-to-month with a discount for students", "Donaudampfschifffahrtsgesellschaftskapitänsvertrag")
DEVICES = {"light": (1280, "light"), "dark": (1280, "dark"), "phone": (390, "light"), "dark phone": (320, "dark")}
PHONES = (320, 375, 390)
#: Sections that the page has if it is asked for them.
SECTIONS = ("reasons", "drift", "quality")
A4_WIDTH = 794
#: Returns the elements that end right of the window, or of the region that would scroll sideways for them.
PAST_THE_EDGE = """[...document.querySelectorAll('body *')].filter(element => {
  const box = element.getBoundingClientRect();
  const isShown = box.width > 0 && !element.closest('.unseen, .skip, bdi');
  const scrolls = element.matches('.scroll') && element.scrollWidth > element.clientWidth;
  return isShown && (scrolls || box.right > document.documentElement.clientWidth + 0.5);
}).map(element => element.outerHTML.slice(0, 80))"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    program = chromium()
    if program is None:
        _skip("there is no Chromium; on Debian: apt install chromium")
    with running_browser(program) as running:
        yield running


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {name: write_page(tmp_path_factory.mktemp(name), render(facts(), MANIFEST)) for name, facts in PAGES.items()}


@pytest.mark.parametrize(
    ("name", "device"),
    [
        ("one", "light"),
        ("none", "phone"),
        *((name, device) for name in DETAILED for device in DEVICES),
        ("hostile outcomes", "phone"),
    ],
)
def test_page_is_accessible_and_fits_the_window(browser: Any, pages: dict[str, Path], name: str, device: str) -> None:
    """It makes no request, logs nothing, does not scroll sideways, and axe finds nothing."""
    check_accessibility(browser, pages[name], device)


def check_accessibility(browser: Any, file: Path, device: str) -> None:
    """Open the page on a device with all details, and check it."""
    if not AXE.is_file():
        _skip("axe-core is not installed: make axe")
    width, scheme = DEVICES[device]
    with open_page(browser, file, width=width, scheme=scheme) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate("window.harmed") is None
        page.evaluate("document.querySelectorAll('details').forEach(details => (details.open = true))")
        assert violations(page) == []


def test_page_with_reasons_drift_and_quality_is_accessible(
    browser: Any, kafka: str, topics: Topics, tmp_path: Path
) -> None:
    """Written by the commands; on each device."""
    file = write_whole_page(topics.env(kafka), topics, kafka, tmp_path)
    with open_page(browser, file) as page:
        assert [name for name in SECTIONS if not page.locator(f"#{name} table tbody tr").count()] == []
    for device in DEVICES:
        check_accessibility(browser, file, device)


def write_whole_page(env: dict[str, str], topics: Topics, kafka: str, folder: Path) -> Path:
    """Report on 1,000 real customers with outcomes, a tenth in the control group, and 1,500 others who are alike."""
    page, sample = folder / "report.html", ROOT / "data/sample_customers.csv"
    known = (datetime.now(UTC) + timedelta(days=7)).isoformat()
    with sample.open() as file:
        lines = [f"{row['customerID']},{row['Churn']},{known}" for row in csv.DictReader(file)]
    (folder / "outcomes.csv").write_text("\n".join(["customer,outcome,time", *lines]))
    assert run_in_process("produce", "--mode", "batch", "--data-path", str(sample), env=env).code == 0
    send(kafka, topics.raw, [(f"c{number}", good(customerID=f"c{number}"), []) for number in range(1_500)])
    for command in (
        ("consume", "--mode", "batch", "--reasons", "3", "--holdout-percent", "10"),
        ("report", "--drift", "--outcomes", str(folder / "outcomes.csv"), "--html", str(page)),
    ):
        done = run_in_process(*command, env=env)
        assert done.code == 0, done.err
    return page


@pytest.mark.parametrize("name", PAGES)
def test_page_has_nothing_past_the_right_edge(browser: Any, pages: dict[str, Path], name: str) -> None:
    with open_page(browser, pages[name]) as page:
        page.evaluate("document.querySelectorAll('details').forEach(details => (details.open = true))")
        assert [(width, past) for width in PHONES if (past := past_the_edge(page, width))] == []


def past_the_edge(page: Any, width: int) -> Any:
    page.set_viewport_size({"width": width, "height": 900})
    return page.evaluate(PAST_THE_EDGE)


def test_customers_have_two_lines_on_a_phone(browser: Any, pages: dict[str, Path]) -> None:
    line = "parseFloat(getComputedStyle(document.querySelector('.sortable')).lineHeight)"
    rows = "[...document.querySelectorAll('.sortable tbody tr')].map(row => row.getBoundingClientRect().height)"
    with open_page(browser, pages["many"]) as page:
        for width in PHONES:
            page.set_viewport_size({"width": width, "height": 900})
            lines = [height / page.evaluate(line) for height in page.evaluate(rows)]
            assert lines
            assert all(2 <= count < 3 for count in lines), width


def test_page_follows_the_colour_scheme(browser: Any, pages: dict[str, Path]) -> None:
    seen = []
    for scheme in ("light", "dark"):
        with open_page(browser, pages["many"], scheme=scheme) as page:
            seen.append(
                [
                    page.locator(where).first.evaluate(f"element => getComputedStyle(element).{what}")
                    for where, what in [
                        ("body", "backgroundColor"),
                        ("svg .flagged", "fill"),
                        ("svg text", "fill"),
                    ]
                ]
            )
    assert all(light != dark for light, dark in zip(*seen, strict=True))


def test_page_sorts_a_column_by_keyboard_and_says_so(browser: Any, pages: dict[str, Path]) -> None:
    with open_page(browser, pages["hostile"]) as page:
        ranks = "[...document.querySelectorAll('table.sortable tbody tr')].map(row => Number(row.cells[0].textContent))"
        initial = page.evaluate(ranks)
        assert initial == sorted(initial)
        head = page.get_by_role("columnheader", name="Probability")
        assert head.get_attribute("aria-sort") == "descending"
        head.get_by_role("button").focus()
        page.keyboard.press("Enter")
        assert (head.get_attribute("aria-sort"), page.evaluate(ranks)) == ("ascending", initial[::-1])
        assert page.get_by_role("status").text_content() == "Sorted by Probability, ascending."
        page.keyboard.press("Space")
        assert (head.get_attribute("aria-sort"), page.evaluate(ranks)) == ("descending", initial)
        page.get_by_role("columnheader", name="Customer").get_by_role("button").click()
        assert page.locator("[aria-sort]").count() == 1
        assert page.evaluate(ranks) != initial


def test_page_copies_customers_as_csv_in_their_order(browser: Any, pages: dict[str, Path]) -> None:
    with open_page(browser, pages["hostile"]) as page:
        page.get_by_role("columnheader", name="Probability").get_by_role("button").click()
        page.get_by_role("button", name="Copy as CSV").click()
        page.get_by_text("Copied 10 rows as CSV.").wait_for()
        rows = list(csv.DictReader(io.StringIO(page.evaluate("navigator.clipboard.readText()"), newline="")))
    shares = [float(row["churn_probability"]) for row in rows]
    assert shares == sorted(shares)
    assert len(rows) == 10
    kept = [name if len(name) <= 200 else shorten_id(name) for name in HOSTILE[:10]]
    harmless = [f"'{name}" if name.startswith("=") else name for name in kept]
    assert {row["customerID"] for row in rows} >= {name for name in harmless if "\x00" not in name}


def test_page_skips_to_the_report_by_keyboard(browser: Any, pages: dict[str, Path]) -> None:
    with open_page(browser, pages["many"]) as page:
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Skip to the report"
        assert page.locator(".skip").evaluate("element => element.getBoundingClientRect().x") >= 0
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "main"


def test_page_shows_its_numbers_when_scripts_are_off(browser: Any, pages: dict[str, Path]) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(pages["many"].as_uri())
    assert page.get_by_role("button").count() == 0
    assert page.get_by_role("row").count() > 20
    context.close()


def test_page_has_names_for_charts_and_landmarks(browser: Any, pages: dict[str, Path]) -> None:
    with open_page(browser, pages["many"]) as page:
        pictures = page.get_by_role("img").all()
        assert len(pictures) == 7
        assert page.get_by_role("img", name="Expected to leave, by contract").count() == 1
        assert {landmark: page.get_by_role(landmark).count() for landmark in ("banner", "main", "contentinfo")} == {
            "banner": 1,
            "main": 1,
            "contentinfo": 1,
        }


def test_page_prints_on_a4_without_controls(browser: Any, pages: dict[str, Path]) -> None:
    with open_page(browser, pages["many"], width=A4_WIDTH, scheme="dark") as page:
        pdf = page.pdf(prefer_css_page_size=True, print_background=True)
        page.emulate_media(media="print")
        assert page.evaluate("document.documentElement.scrollWidth") <= A4_WIDTH
        assert page.get_by_role("button", name="Copy").count() == page.get_by_role("navigation").count() == 0
        assert page.locator("body").evaluate("element => getComputedStyle(element).color") == "rgb(26, 31, 38)"
    assert pdf.count(b"/Type /Page\n") in {2, 3, 4}
    assert b"/MediaBox [0 0 594.95996 841.91998]" in pdf or b"/MediaBox [0 0 595" in pdf


@pytest.mark.parametrize("name", ["one", "many", "long names", "four segments", "long contract"])
def test_first_printed_page_says_what_was_read(browser: Any, pages: dict[str, Path], name: str) -> None:
    """Beside the headline, and with nothing past the right edge of the sheet."""
    with open_page(browser, pages[name], width=A4_WIDTH) as page:
        page.emulate_media(media="print")
        assert page.evaluate(PAST_THE_EDGE) == []
        headline, read, customers = (
            page.locator(section).bounding_box() for section in ("main > :first-child", "#sources", "#customers")
        )
    assert headline is not None
    assert read is not None
    assert customers is not None
    assert headline["x"] + headline["width"] < read["x"]
    assert read["y"] + read["height"] <= customers["y"]


def long_names(number: int) -> Iterator[Prediction]:
    """Yield predictions with long IDs and segments."""
    for index in range(number):
        more = {"Contract": LONG[index % 2], "InternetService": f"Fibre to the premises, {index % 3} Gbit/s symmetric"}
        yield prediction(f"customer-with-a-long-identifier-{index:06}@example.org", index / number, **more)


def _skip(reason: str) -> NoReturn:
    if os.environ.get("CI"):
        pytest.fail(f"CI is set, and no browser test: {reason}")
    pytest.skip(f"no browser test: {reason}")
