"""Images of the documentation: a page shows each of them, and they are self-contained."""

import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from rich.style import Style
from rich.text import Text

from docs.screenshots.story import story
from docs.screenshots.svg import screen_of, svg
from tests.support.cli import ROOT

IMAGES = ROOT / "docs" / "images"
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "airflow").glob("*.md")]
DRAWN = sorted(IMAGES.glob("*.svg"))
MAKERS = "".join(path.read_text() for path in (ROOT / "docs" / "screenshots").glob("*.py"))


def test_every_image_is_shown_by_a_page() -> None:
    shown = {name for page in PAGES for name in re.findall(r"images/([\w.-]+)", page.read_text())}
    assert {path.name for path in IMAGES.iterdir()} - shown == set()


def test_every_drawing_is_made_by_make_screenshots() -> None:
    drawn = set(re.findall(r"\.(?:shot|live|make|kafka_tool)\(\s*\"([\w-]+)\"", MAKERS)) | {"story"}
    assert {path.stem for path in DRAWN} == drawn


@pytest.mark.parametrize("path", DRAWN, ids=lambda path: path.stem)
def test_drawing_is_small_and_self_contained(path: Path) -> None:
    text = path.read_text()
    assert len(text) < 150_000
    ET.fromstring(text)
    assert re.findall(r"[a-z]+://[^\"'\s<]*", text.replace('xmlns="http://www.w3.org/2000/svg"', "")) == []
    assert "@import" not in text
    assert not re.search(r"url\((?!#)", text)


def test_screen_of_keeps_rows_colours_and_dim_text() -> None:
    shown = screen_of(b"\x1b[1;32mgood\x1b[0m \x1b[2mdim\x1b[0m \x1b[38;2;2;2;2mdark\x1b[0m\r\nsecond\r\n\r\n", 40, 5)
    assert shown.plain == "good dim dark\nsecond"
    styles = {shown.plain[span.start : span.end]: Style.parse(str(span.style)) for span in shown.spans}
    assert (styles["good"].bold, str(styles["good"].color and styles["good"].color.name)) == (True, "green")
    assert styles["dim"].dim
    assert str(styles["dark"].color and styles["dark"].color.name) == "#020202"


def test_screen_of_omits_erased_text() -> None:
    assert screen_of(b"one\r\ntwo\r\x1b[2K\x1b[1A\x1b[2Kthree", 40, 5).plain == "three"


def test_svg_escapes_its_text() -> None:
    drawn = svg(Text("<b>&"), "title", "name", 20)
    assert "".join(ET.fromstring(drawn).itertext()).count("<b>&") == 1
    assert 'class="name-' in drawn


def test_story_shows_the_data_it_was_given() -> None:
    customer = {"customerID": "<1>", "tenure": 1, "Contract": "c", "InternetService": "i", "MonthlyCharges": 2.5}
    answer = {"customerID": "<1>", "churn_probability": 0.9125, "prediction": "Yes", "model_version": "v"}
    letter = {"original_message": "{", "error_type": "json", "error_message": "no JSON"}
    ledger = {"inputs": 20_001, "predicted": 20_000, "dead_lettered": 1, "missing": 0, "duplicated": 0}
    text = "".join(ET.fromstring(story(customer, answer, letter, ledger)).itertext())
    for part in ('"<1>"', "0.912", '"Yes"', "no JSON", "20,001 inputs", "20,000 predicted", "1 dead lettered"):
        assert part in text
