"""The page of `report --html` in a real browser."""

import csv
import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from telco_stream.page import render
from telco_stream.report.facts import Facts
from tests.support.browser import AXE, chromium, opened, started, violations
from tests.support.facts import MANIFEST, NASTY, facts_of, many, prediction, written

pytestmark = pytest.mark.slow

#: Pages by what they show.
PAGES: dict[str, Callable[[], Facts]] = {
    "many": lambda: facts_of(many(3_000), letters={"json": 3, "validation": 2}),
    "one": lambda: facts_of([prediction()]),
    "none": lambda: facts_of([]),
    "nasty": lambda: facts_of(prediction(name, 0.9 - place / 99) for place, name in enumerate(NASTY)),
}
LOOKS = {"light": (1280, "light"), "dark": (1280, "dark"), "phone": (390, "light"), "phone in the dark": (390, "dark")}
A4_WIDTH = 794


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    program = chromium()
    if program is None:
        _leave("there is no Chromium; on Debian: apt install chromium")
    with started(program) as running:
        yield running


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {name: written(tmp_path_factory.mktemp(name), render(facts(), MANIFEST)) for name, facts in PAGES.items()}


@pytest.mark.parametrize(
    ("name", "look"),
    [("one", "light"), ("none", "phone"), *((name, look) for name in ("many", "nasty") for look in LOOKS)],
)
def test_a_page_loads_in_peace_fits_and_keeps_nobody_out(
    browser: Any, pages: dict[str, Path], name: str, look: str
) -> None:
    """No request, no word on the console, no scrolling sideways, nothing that axe finds."""
    if not AXE.is_file():
        _leave("axe-core is not installed: make axe")
    width, scheme = LOOKS[look]
    with opened(browser, pages[name], width=width, scheme=scheme) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate("window.harmed") is None
        page.evaluate("document.querySelectorAll('details').forEach(one => (one.open = true))")
        assert violations(page) == []


def test_light_and_dark_are_what_the_reader_has_set(browser: Any, pages: dict[str, Path]) -> None:
    seen = []
    for scheme in ("light", "dark"):
        with opened(browser, pages["many"], scheme=scheme) as page:
            seen.append(
                [
                    page.locator(where).first.evaluate(f"one => getComputedStyle(one).{what}")
                    for where, what in [
                        ("body", "backgroundColor"),
                        ("svg path[style*=churn]", "fill"),
                        ("svg text", "fill"),
                    ]
                ]
            )
    assert all(light != dark for light, dark in zip(*seen, strict=True))


def test_a_column_sorts_by_key_in_both_directions_and_says_so(browser: Any, pages: dict[str, Path]) -> None:
    with opened(browser, pages["nasty"]) as page:
        ranks = "[...document.querySelectorAll('table.sortable tbody tr')].map(row => Number(row.cells[0].textContent))"
        as_made = page.evaluate(ranks)
        assert as_made == sorted(as_made)
        head = page.get_by_role("columnheader", name="Probability")
        assert head.get_attribute("aria-sort") == "descending"
        head.get_by_role("button").focus()
        page.keyboard.press("Enter")
        assert (head.get_attribute("aria-sort"), page.evaluate(ranks)) == ("ascending", as_made[::-1])
        assert page.get_by_role("status").text_content() == "Sorted by Probability, ascending."
        page.keyboard.press("Space")
        assert (head.get_attribute("aria-sort"), page.evaluate(ranks)) == ("descending", as_made)
        page.get_by_role("columnheader", name="Customer").get_by_role("button").click()
        assert page.locator("[aria-sort]").count() == 1
        assert page.evaluate(ranks) != as_made


def test_the_customers_are_copied_as_csv_in_the_order_shown(browser: Any, pages: dict[str, Path]) -> None:
    with opened(browser, pages["nasty"]) as page:
        page.get_by_role("columnheader", name="Probability").get_by_role("button").click()
        page.get_by_role("button", name="Copy as CSV").click()
        page.get_by_text("Copied 10 rows as CSV.").wait_for()
        rows = list(csv.DictReader(io.StringIO(page.evaluate("navigator.clipboard.readText()"), newline="")))
    shares = [float(row["churn_probability"]) for row in rows]
    assert shares == sorted(shares)
    assert len(rows) == 10
    harmless = [f"'{name}" if name.startswith("=") else name for name in NASTY[:10]]
    assert {row["customerID"] for row in rows} >= {name for name in harmless if "\x00" not in name}


def test_the_first_stop_of_the_keyboard_leads_to_the_report(browser: Any, pages: dict[str, Path]) -> None:
    with opened(browser, pages["many"]) as page:
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Skip to the report"
        assert page.locator(".skip").evaluate("one => one.getBoundingClientRect().x") >= 0
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "main"


def test_a_reader_without_scripts_gets_the_same_numbers(browser: Any, pages: dict[str, Path]) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(pages["many"].as_uri())
    assert page.get_by_role("button").count() == 0
    assert page.get_by_role("row").count() > 20
    context.close()


def test_charts_are_told_to_who_does_not_see_them(browser: Any, pages: dict[str, Path]) -> None:
    with opened(browser, pages["many"]) as page:
        pictures = page.get_by_role("img").all()
        assert len(pictures) == 6
        assert page.get_by_role("img", name="Churn rate by contract").count() == 1
        assert {landmark: page.get_by_role(landmark).count() for landmark in ("banner", "main", "contentinfo")} == {
            "banner": 1,
            "main": 1,
            "contentinfo": 1,
        }


def test_it_prints_on_a4_without_what_only_a_screen_needs(browser: Any, pages: dict[str, Path]) -> None:
    with opened(browser, pages["many"], width=A4_WIDTH, scheme="dark") as page:
        pdf = page.pdf(prefer_css_page_size=True, print_background=True)
        page.emulate_media(media="print")
        assert page.evaluate("document.documentElement.scrollWidth") <= A4_WIDTH
        assert page.get_by_role("button", name="Copy").count() == page.get_by_role("navigation").count() == 0
        assert page.locator("body").evaluate("one => getComputedStyle(one).color") == "rgb(26, 31, 38)"
    assert pdf.count(b"/Type /Page\n") in {2, 3, 4}
    assert b"/MediaBox [0 0 594.95996 841.91998]" in pdf or b"/MediaBox [0 0 595" in pdf


def _leave(reason: str) -> NoReturn:
    if os.environ.get("CI"):
        pytest.fail(f"CI is set, and the page can't be looked at: {reason}")
    pytest.skip(f"the page can't be looked at: {reason}")
