"""The page of `report --html`, read as the HTML that it is."""

import base64
import dataclasses
import hashlib
import json
import re
from datetime import UTC, datetime
from html.parser import HTMLParser

import msgspec
import pytest

from telco_stream.contracts.manifest import Manifest
from telco_stream.display.jsonlines import as_json
from telco_stream.page import render
from telco_stream.period import parse_period
from telco_stream.report import Wanted
from telco_stream.report.facts import Facts
from tests.support.facts import CONTRACTS, MANIFEST, NASTY, OURS, SERVICES, facts_of, many, prediction

pytestmark = pytest.mark.slow

MOST_BYTES = 500_000
NOW = datetime(2026, 2, 1, tzinfo=UTC)
CHARTS = {"contract", "internet", "distribution", "counts", "rates", "calibration"}


class Reader(HTMLParser):
    """Elements in their order, each with its attributes and its text."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.all: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(page.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.all.append((tag, dict(attrs)))
        self.text.append("")

    def handle_data(self, data: str) -> None:
        if self.text:
            self.text[-1] += data

    def those(self, tag: str, *names: str) -> list[dict[str, str | None]]:
        """The attributes of all such elements that have these."""
        return [attrs for name, attrs in self.all if name == tag and all(one in attrs for one in names)]

    def texts(self, tag: str) -> list[str]:
        return [text for (name, _), text in zip(self.all, self.text, strict=True) if name == tag]


@pytest.mark.parametrize("number", [0, 1, 2_000])
def test_the_numbers_are_those_of_the_json(number: int) -> None:
    facts = facts_of(many(number))
    told = json.loads(as_json(facts.report))
    page = Reader(html(facts))
    shown = {attrs["data-name"]: float(attrs["value"] or "") for attrs in page.those("data")}
    assert shown.pop("dead_letters") == 0
    assert shown == {name: told[name] for name in shown}
    assert set(shown) == {"total", "customers", "churners", "churn_rate", "mean_probability"}
    rows = [attrs["data-csv"] for attrs in page.those("tr", "data-csv")]
    assert rows == [",".join(str(one[name]) for name in one) for one in told["top"]]


def test_both_segments_and_their_crossing_are_those_of_the_json() -> None:
    facts = facts_of(many(900))
    text = html(facts).decode()
    for name, one in facts.report.summary.by_contract.items():
        cells = f"{one.total:,}</td><td>{one.churners:,}</td><td>{one.churn_rate:.1%}"
        assert f"<bdi>{name}</bdi></th><td>{cells}</td>" in text
    for (contract, service), one in facts.report.crossed.items():
        assert (contract in CONTRACTS, service in SERVICES) == (True, True)
        assert f"<b>{one.churn_rate:.1%}</b> <span>{one.churners:,} of {one.total:,}</span>" in text


def test_dead_letters_and_versions_are_told_with_their_counts() -> None:
    facts = facts_of([prediction("a"), prediction("b", model_version="v2")], letters={"json": 3, "empty": 1})
    page = Reader(html(facts))
    assert {one["data-letters"]: one["data-value"] for one in page.those("td", "data-letters")} == {
        "json": "3",
        "empty": "1",
    }
    assert {one["data-version"]: one["data-value"] for one in page.those("td", "data-version")} == {
        OURS: "1",
        "v2": "1",
    }


def test_what_was_asked_for_and_what_was_read_stand_on_the_page() -> None:
    wanted = Wanted(parse_period("2026-01-03", "2026-01-05T12:00+02:00", NOW), OURS)
    text = html(facts_of(many(50), wanted=wanted)).decode()
    assert (
        f"Predictions made from 2026-01-03 00:00 and before 2026-01-05 10:00 UTC, by model version <bdi>{OURS}" in text
    )
    assert '<th scope="row">telco.churn.predictions</th><td class="number">1</td><td class="number">7</td>' in text
    assert '<time datetime="2026-02-01T12:00:00.000Z">2026-02-01 12:00:00 UTC' in text


def test_a_page_of_nothing_says_so_and_has_no_chart_of_it() -> None:
    page = Reader(html(facts_of([])))
    assert charts(page) == {"calibration"}
    assert any("There are no predictions" in text for text in page.texts("p"))


def test_one_prediction_is_a_page_with_all_charts() -> None:
    assert charts(Reader(html(facts_of([prediction()])))) == CHARTS


def test_every_chart_has_a_title_words_and_its_numbers() -> None:
    page = Reader(html(facts_of(many(500))))
    ids = [attrs["id"] for _, attrs in page.all if attrs.get("id")]
    assert len(ids) == len(set(ids))
    for picture in page.those("svg"):
        assert picture["role"] == "img"
        assert set((picture["aria-labelledby"] or "").split()) <= set(ids)
    assert len(page.those("svg")) == len(page.those("figure")) == len(page.those("details")) == len(CHARTS)
    assert all(len(text) > 20 for text in page.texts("desc"))


def test_every_cell_at_the_head_of_a_row_or_column_says_so() -> None:
    page = Reader(html(facts_of(many(500), letters={"json": 1})))
    assert [attrs for attrs in page.those("th") if attrs.get("scope") not in {"row", "col"}] == []
    assert len(page.those("caption")) + len(page.those("div", "role")) >= 5


def test_what_strangers_wrote_is_text_and_nothing_else() -> None:
    fields = ["customerID", "Contract", "InternetService", "model_version"]
    answers = [prediction(str(number)) for number in range(len(NASTY))]
    nasty, harmless = (
        [msgspec.structs.replace(one, **dict.fromkeys(fields, name)) for one, name in zip(answers, names, strict=True)]
        for names in (NASTY, [f"{number:02}" for number in range(len(NASTY))])
    )
    page, as_usual = Reader(html(facts_of(nasty, top_k=99))), Reader(html(facts_of(harmless, top_k=99)))
    assert [tag for tag, _ in page.all] == [tag for tag, _ in as_usual.all]
    assert not any(name.startswith("on") for _, attrs in page.all for name in attrs)
    assert not {"\u202e", "\x00", "\x1b"} & set("".join(page.texts("bdi")))


def test_a_strange_name_is_shown_to_the_letter() -> None:
    name = "<b>&amp; مرحبا"
    page = Reader(html(facts_of([prediction(name)])))
    assert page.texts("bdi").count(name) == 1


def test_a_version_asked_for_is_escaped_too() -> None:
    facts = facts_of([prediction(model_version="<i>")], wanted=Wanted(model_version="<i>"))
    assert "<i>" not in html(facts).decode()


def test_ids_of_a_formula_are_text_in_what_is_copied() -> None:
    rows = [one["data-csv"] for one in Reader(html(facts_of([prediction("=1,2")]))).those("tr", "data-csv")]
    assert rows == ['"\'=1,2",0.5,Month-to-month,Fiber optic']


def test_the_page_names_nothing_that_a_browser_would_fetch() -> None:
    page, text = Reader(html(facts_of(many(100)))), html(facts_of(many(100))).decode()
    assert [attrs for _, attrs in page.all if {"src", "srcset", "data", "action"} & set(attrs)] == []
    assert all((attrs.get("href") or attrs.get("xlink:href") or "#").startswith("#") for _, attrs in page.all)
    assert re.findall(r"url\(|@import|https?:", text) == []


def test_the_policy_lets_this_script_run_and_no_other() -> None:
    text = html(facts_of(many(10))).decode()
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    hashed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{hashed}'" in text


def test_the_same_facts_make_the_same_page() -> None:
    assert html(facts_of(many(300))) == html(facts_of(many(300)))


def test_a_page_stays_small_whatever_the_topic_holds() -> None:
    strangers = [
        prediction(f"{one}", one / 3_000, Contract=f"c{one}", InternetService=f"s{one}", model_version=f"v{one}")
        for one in range(3_000)
    ]
    assert len(html(facts_of(strangers, top_k=100))) < MOST_BYTES


def test_names_beyond_the_largest_are_counted_not_shown() -> None:
    some = [prediction(str(one), Contract=f"contract {one // 2}") for one in range(20)]
    text = html(facts_of([*some, prediction("z", Contract="small")])).decode()
    assert "small" not in re.sub(r"data-csv=\"[^\"]*\"|<tr data-csv.*?</tr>|smaller", "", text)
    assert "3 smaller segments are left out" in text
    assert "the 8 largest of 11" in text


@pytest.mark.parametrize(
    "times", [["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"], ["?"], ["9999-12-31T23:59:59-14:00"]]
)
def test_any_time_that_a_message_may_claim_makes_a_page(times: list[str]) -> None:
    page = Reader(html(facts_of([prediction(str(one), processed_ts=time) for one, time in enumerate(times)])))
    assert charts(page) == CHARTS


def test_a_threshold_is_drawn_only_for_the_model_that_it_belongs_to() -> None:
    own, others = facts_of([prediction()]), facts_of([prediction(model_version="v2")])
    assert "threshold 0.31" in html(own).decode()
    assert "threshold 0.31" not in html(others).decode()
    assert "which has made none of these predictions" in html(others).decode()


def test_a_model_without_a_calibration_has_no_chart_of_it() -> None:
    metrics = dataclasses.replace(MANIFEST.metrics, calibration=())
    page = Reader(html(facts_of([prediction()]), dataclasses.replace(MANIFEST, metrics=metrics)))
    assert charts(page) == CHARTS - {"calibration"}


def charts(page: Reader) -> set[str]:
    return {str(attrs["id"]).removesuffix("-told") for attrs in page.those("desc")}


def html(facts: Facts, manifest: Manifest = MANIFEST) -> bytes:
    return render(facts, manifest)
