"""The page of `report --html`, parsed as HTML."""

import base64
import dataclasses
import hashlib
import json
import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any

import pytest

from telco_stream.display.text import as_json
from telco_stream.model.manifest import Manifest
from telco_stream.report.analytics import PreviousPeriod
from telco_stream.report.html import render
from telco_stream.report.predictions import ContactCosts, PredictionFilter
from telco_stream.report.run import OffsetRange, ReportData
from telco_stream.runtime.period import parse_period
from tests.support.report_data import (
    CONTRACTS,
    HOSTILE,
    MANIFEST,
    OWN_VERSION,
    SERVICES,
    drift_result,
    many_predictions,
    prediction,
    report_data,
    with_quality,
)

pytestmark = pytest.mark.slow

MOST_BYTES = 500_000
NOW = datetime(2026, 2, 1, tzinfo=UTC).timestamp()
CHARTS = {"segment-0", "segment-1", "lift", "distribution", "counts", "rates", "calibration"}


class PageParser(HTMLParser):
    """The elements of a page in their order, each with its attributes and its text."""

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

    def attributes(self, tag: str, *names: str) -> list[dict[str, str | None]]:
        """Return the attributes of all elements with this tag that have all these names."""
        return [attrs for name, attrs in self.all if name == tag and attrs.keys() >= set(names)]

    def texts(self, tag: str) -> list[str]:
        return [text for (name, _), text in zip(self.all, self.text, strict=True) if name == tag]


@pytest.mark.parametrize("number", [0, 1, 2_000])
def test_page_has_the_numbers_of_the_json(number: int) -> None:
    data = report_data(many_predictions(number))
    expected = json.loads(as_json(data.report.summary))
    page = PageParser(html(data))
    shown = {attrs["data-name"]: float(attrs["value"] or "") for attrs in page.attributes("data")}
    assert (shown.pop("dead_letters"), shown.pop("open_dead_letters")) == (0, 0)
    assert shown == {name: expected[name] for name in shown}
    headline = {"expected_leavers", "expected_share", "flagged", "flagged_share"}
    assert set(shown) == headline | {"total", "customers", "churn_rate"}
    rows = [attrs["data-csv"] for attrs in page.attributes("tr", "data-csv")]
    assert rows == [",".join(str(customer[name]) for name in customer) for customer in expected["top"]]


def test_page_shows_quality_if_there_are_outcomes() -> None:
    data = with_quality(report_data(many_predictions(300)), OWN_VERSION, "other-version")
    quality = data.quality
    assert quality is not None
    assert quality.total.auc is not None
    assert quality.uplift is not None
    page = PageParser(html(data))
    text = " ".join(" ".join(page.text).split())
    auc, uplift = quality.total.auc, quality.uplift.uplift
    assert f"{auc.value:.3f} 95 % interval {auc.low:.3f}\N{EN DASH}{auc.high:.3f}." in text
    assert f"{100 * uplift.value:.1f} points 95 % interval {100 * uplift.low:.1f} to {100 * uplift.high:.1f}." in text
    assert "2,400 of 2,470 predictions have an outcome within 30 days" in text
    assert text.count("2026-01-19") == 2 * 4, "a row for each version in three tables, and its calibration"
    week = quality.by_week[-1].measures
    assert week.log_loss is not None
    assert week.recall_at_capacity is not None
    for estimate in (week.log_loss, week.recall_at_capacity):
        assert f"{estimate.value:.3f} {estimate.low:.3f}\N{EN DASH}{estimate.high:.3f}" in text
    assert "other-version, week from 2026-01-19" in text
    for step in week.calibration:
        observed = step.observed
        interval = f"{observed.low:.1%}\N{EN DASH}{observed.high:.1%}"
        assert f"{step.mean_probability:.1%} {observed.value:.1%} {interval} {step.predictions}" in text
    assert "outcomes-title" in {attrs["id"] for attrs in page.attributes("b", "id")}
    plain = html(report_data(many_predictions(300))).decode()
    assert 'id="quality"' not in plain
    without = dataclasses.replace(quality, uplift=None)
    assert "What contacts achieved" not in html(dataclasses.replace(data, quality=without)).decode()


def test_page_has_dashes_where_a_figure_is_not_defined() -> None:
    page = html(with_quality(report_data([prediction()]), OWN_VERSION, weeks=1, positive=0.0)).decode()
    assert '<td class="number">\N{EN DASH}</td>' in page, "neither AUC nor recall without positive outcomes"
    assert "<b>unknown</b>" in page


def test_page_leads_with_expected_leavers_and_flagged() -> None:
    page = PageParser(html(report_data([prediction("a", 0.9), prediction("b", 0.3), prediction("c", 0.3)])))
    assert page.texts("dt")[:2] == ["Expected to leave", "Flagged"]
    assert [attrs["data-name"] for attrs in page.attributes("data")][:4] == [
        "expected_leavers",
        "expected_share",
        "flagged",
        "flagged_share",
    ]
    assert [text.strip() for text in page.texts("data")[:4]] == ["2", "50.0%", "1", "33.3%"]


def test_page_compares_with_the_period_before() -> None:
    data = report_data([prediction("a", 0.9), prediction("b", 0.7)])
    before = PreviousPeriod("2026-01-01T00:00:00Z", "2026-01-08T00:00:00Z", 4, 2, 1.0, 0.5, 0, 0.0)
    summary = dataclasses.replace(data.report.summary, previous=before)
    changed = dataclasses.replace(data, report=dataclasses.replace(data.report, summary=summary))
    page = PageParser(html(changed))
    changes = [text.strip() for text in page.texts("dd") if text.startswith("before: ")]
    assert changes == ["before: 1 (+100.0%)", "before: 0", "before: 2 (+0.0%)", "before: 4 (-50.0%)"]
    assert any("from 2026-01-01 00:00 to 2026-01-08 00:00 UTC" in text for text in page.texts("p"))
    assert "before: " not in html(data).decode()


def test_page_has_the_segments_of_the_json() -> None:
    data = report_data(many_predictions(900))
    text = html(data).decode()
    for segments in data.report.summary.segments.values():
        for name, segment in segments.items():
            leavers = f"{segment.customers:,}</td><td>{segment.expected_leavers:,.0f}</td>"
            shares = f"<td>{segment.expected_share:.1%}</td><td>{segment.flagged:,}</td>"
            assert f"<bdi>{name}</bdi></th><td>{leavers}{shares}" in text
    for (contract, service), segment in data.report.crosstab.items():
        assert (contract in CONTRACTS, service in SERVICES) == (True, True)
        assert f"<b>{segment.expected_share:.1%}</b> <span>of {segment.customers:,}</span>" in text


def test_page_shows_whom_to_contact() -> None:
    text = html(report_data([prediction()])).decode()
    (first, *_) = MANIFEST.metrics.lift
    assert f"<bdi>{first.share:.0%}</bdi></th><td>{first.reached:.1%}</td>" in text
    assert f"highest churn probability reaches {first.reached:.1%} of all that leave" in text
    assert "Most profitable threshold" not in text


def test_page_shows_which_contacts_pay_when_costs_are_given() -> None:
    data = report_data([prediction("a", 0.5), prediction("b", 0.01)], contact_costs=ContactCosts(5, 100))
    text = html(data).decode()
    assert "<dt>Most profitable threshold</dt><dd><b>0.05</b>" in text
    assert "<dt>Customers to contact</dt><dd><b>1</b> 50.0%" in text
    assert "<dt>Expected profit</dt><dd><b>45</b>" in text


def test_page_has_no_lift_when_the_model_has_none() -> None:
    other = PageParser(html(report_data([prediction(model_version="v2")])))
    assert charts(other) == CHARTS - {"lift"}
    assert "Which customers to contact" not in other.texts("h2")


def test_every_chart_says_what_it_shows_and_its_source() -> None:
    page = PageParser(html(report_data(many_predictions(2_000))))
    captions = captions_of(page)
    sources = [text.rpartition("Source: ")[2] for text in captions]
    # All charts and the table of both segments.
    assert len(captions) == len(CHARTS) + 1
    assert sources.count("the metrics in the model's manifest.") == 2
    assert sources.count("telco.churn.predictions.") == len(sources) - 2


@pytest.mark.parametrize(("number", "explained"), [(29, 6), (5_400, 0)])
def test_captions_explain_marks_when_there_are_few_predictions(number: int, explained: int) -> None:
    page = PageParser(html(report_data(many_predictions(number))))
    assert sum("have fewer than 30 " in caption for caption in captions_of(page)) == explained
    marked = [attrs for _, attrs in page.all if "few" in (attrs.get("class") or "").split()]
    assert bool(marked) == bool(explained)


def test_page_counts_dead_letters_and_model_versions() -> None:
    data = report_data([prediction("a"), prediction("b", model_version="v2")], letters={"json": 3, "empty": 1})
    page = PageParser(html(data))
    assert {cell["data-letters"]: cell["data-value"] for cell in page.attributes("td", "data-letters")} == {
        "json": "3",
        "empty": "1",
    }
    assert {cell["data-version"]: cell["data-value"] for cell in page.attributes("td", "data-version")} == {
        OWN_VERSION: "1",
        "v2": "1",
    }


def test_page_counts_open_dead_letters_and_the_total() -> None:
    data = report_data([prediction("a")], letters={"json": 3, "empty": 1}, open_letters={"json": 1})
    page = PageParser(html(data))
    shown = {attrs["data-name"]: attrs["value"] for attrs in page.attributes("data")}
    assert (shown["open_dead_letters"], shown["dead_letters"]) == ("1", "4")
    cells = page.attributes("td", "data-open-letters")
    assert {cell["data-open-letters"]: cell["data-value"] for cell in cells} == {"json": "1", "empty": "0"}


def test_page_counts_dead_letters_when_states_are_unknown() -> None:
    data = report_data([prediction("a")], letters={"json": 3})
    unknown = dataclasses.replace(data, letters=dataclasses.replace(data.letters, by_state={"open": 0, "unknown": 3}))
    page = PageParser(html(unknown))
    shown = {attrs["data-name"]: attrs["value"] for attrs in page.attributes("data")}
    assert "open_dead_letters" not in shown
    assert shown["dead_letters"] == "3"
    assert page.attributes("td", "data-open-letters") == []


def test_page_names_its_period_version_and_offsets() -> None:
    criteria = PredictionFilter(parse_period("2026-01-03", "2026-01-05T12:00+02:00", NOW), OWN_VERSION)
    text = html(report_data(many_predictions(50), criteria=criteria)).decode()
    assert (
        f"Predictions made from 2026-01-03 00:00 and before 2026-01-05 10:00 UTC, by model version <bdi>{OWN_VERSION}"
        in text
    )
    assert '<th scope="rowgroup" colspan="3">telco.churn.predictions</th>' in text
    assert '<th scope="row">1</th><td class="number">7</td><td class="number">12</td>' in text
    assert '<time datetime="2026-02-01T12:00:00.000Z">2026-02-01 12:00:00 UTC' in text


@pytest.mark.parametrize(("partitions", "is_short"), [(12, True), (13, False)])
def test_page_marks_a_short_list_of_offsets_for_print(partitions: int, is_short: bool) -> None:
    offsets = OffsetRange(
        "telco.churn.predictions", dict.fromkeys(range(partitions), 0), dict.fromkeys(range(partitions), 5)
    )
    page = PageParser(html(dataclasses.replace(report_data([prediction()]), predictions_read=offsets)))
    (section,) = [attrs for attrs in page.attributes("section", "id") if attrs["id"] == "sources"]
    assert (section.get("class") == "short") == is_short


def test_page_says_so_when_there_are_no_predictions() -> None:
    page = PageParser(html(report_data([])))
    assert charts(page) == {"calibration"}
    assert any("There are no predictions" in text for text in page.texts("p"))


def test_page_has_all_charts_when_there_is_one_prediction() -> None:
    assert charts(PageParser(html(report_data([prediction()])))) == CHARTS


def test_every_chart_has_a_title_description_and_numbers() -> None:
    page = PageParser(html(report_data(many_predictions(500))))
    ids = [attrs["id"] for _, attrs in page.all if attrs.get("id")]
    assert len(ids) == len(set(ids))
    for picture in page.attributes("svg"):
        assert picture["role"] == "img"
        assert set((picture["aria-labelledby"] or "").split()) <= set(ids)
    assert (
        len(page.attributes("svg")) == len(page.attributes("figure")) == len(page.attributes("details")) == len(CHARTS)
    )
    assert all(len(text) > 20 for text in page.texts("desc"))


def test_every_header_cell_has_a_scope() -> None:
    page = PageParser(html(report_data(many_predictions(500), letters={"json": 1})))
    assert [attrs for attrs in page.attributes("th") if attrs.get("scope") not in {"row", "col", "rowgroup"}] == []
    assert len(page.attributes("caption")) + len(page.attributes("div", "role")) >= 5


def test_page_escapes_hostile_text() -> None:
    def named(name: str) -> Any:
        return prediction(customerID=name, Contract=name, InternetService=name, model_version=name)

    hostile, harmless = (
        [named(name) for name in names] for names in (HOSTILE, [f"{number:02}" for number in range(len(HOSTILE))])
    )
    page, harmless_page = (
        PageParser(html(report_data(hostile, top_k=99))),
        PageParser(html(report_data(harmless, top_k=99))),
    )
    assert [tag for tag, _ in page.all] == [tag for tag, _ in harmless_page.all]
    assert not any(name.startswith("on") for _, attrs in page.all for name in attrs)
    assert not {"\u202e", "\x00", "\x1b"} & set("".join(page.texts("bdi")))


def test_page_shows_a_hostile_name_verbatim() -> None:
    name = "<b>&amp; مرحبا"
    page = PageParser(html(report_data([prediction(name)])))
    assert page.texts("bdi").count(name) == 1


def test_page_escapes_the_requested_version() -> None:
    data = report_data([prediction(model_version="<i>")], criteria=PredictionFilter(model_version="<i>"))
    assert "<i>" not in html(data).decode()


def test_page_defuses_formulas_in_the_csv() -> None:
    page = PageParser(html(report_data([prediction("=1,2")])))
    rows = [row["data-csv"] for row in page.attributes("tr", "data-csv")]
    assert rows == ['"\'=1,2",0.5,Month-to-month,Fiber optic']


def test_page_has_no_external_resources() -> None:
    page, text = PageParser(html(report_data(many_predictions(100)))), html(report_data(many_predictions(100))).decode()
    assert [attrs for _, attrs in page.all if {"src", "srcset", "data", "action"} & set(attrs)] == []
    assert all((attrs.get("href") or attrs.get("xlink:href") or "#").startswith("#") for _, attrs in page.all)
    assert re.findall(r"url\(|@import|https?:", text) == []


def test_policy_allows_only_the_script_of_the_page() -> None:
    text = html(report_data(many_predictions(10))).decode()
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    hashed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{hashed}'" in text


def test_page_is_identical_when_the_data_is() -> None:
    assert html(report_data(many_predictions(300))) == html(report_data(many_predictions(300)))


def test_page_stays_small_when_there_are_many_segments() -> None:
    strangers = [
        prediction(f"{n}", n / 3_000, Contract=f"c{n}", InternetService=f"s{n}", model_version=f"v{n}")
        for n in range(3_000)
    ]
    assert len(html(report_data(strangers, top_k=100))) < MOST_BYTES


def test_page_counts_the_segments_that_it_hides() -> None:
    large = [prediction(str(n), Contract=f"contract {n // 2}") for n in range(20)]
    text = html(report_data([*large, prediction("z", Contract="small")])).decode()
    assert "small" not in re.sub(r"data-csv=\"[^\"]*\"|<tr data-csv.*?</tr>|smaller", "", text)
    assert "3 smaller segments are not listed" in text
    assert "the 8 largest of 11" in text


@pytest.mark.parametrize(
    "times", [["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"], ["?"], ["9999-12-31T23:59:59-14:00"]]
)
def test_page_has_all_charts_when_times_are_extreme(times: list[str]) -> None:
    page = PageParser(html(report_data([prediction(str(n), processed_ts=time) for n, time in enumerate(times)])))
    assert charts(page) == CHARTS


def test_page_has_a_threshold_only_for_its_own_model() -> None:
    own, others = report_data([prediction()]), report_data([prediction(model_version="v2")])
    assert "threshold 0.31" in html(own).decode()
    assert "threshold 0.31" not in html(others).decode()
    assert "which made none of these predictions" in html(others).decode()


def test_page_has_no_calibration_when_the_model_has_none() -> None:
    metrics = dataclasses.replace(MANIFEST.metrics, calibration=())
    page = PageParser(html(report_data([prediction()]), dataclasses.replace(MANIFEST, metrics=metrics)))
    assert charts(page) == CHARTS - {"calibration"}


def captions_of(page: PageParser) -> list[str]:
    elements = zip(page.all, page.text, strict=True)
    return [text.strip() for (name, attrs), text in elements if (name, attrs.get("class")) == ("span", "what")]


def charts(page: PageParser) -> set[str]:
    return {str(attrs["id"]).removesuffix("-description") for attrs in page.attributes("desc")}


def html(data: ReportData, manifest: Manifest = MANIFEST) -> bytes:
    return render(data, manifest)


def test_page_shows_drift_by_feature() -> None:
    page = PageParser(html(report_data(many_predictions(3), drift=drift_result())))
    text = " ".join(" ".join(page.text).split())
    assert "21,000 records since 2026-01-30 08:00:00 UTC, compared with 7,043 training rows" in text
    assert "Drifted since 2026-01-30 08:00:00 UTC: Contract." in text
    assert "Drift is a change, not damage" in text
    assert [row["data-feature"] for row in page.attributes("tr", "data-feature")] == ["Contract", "tenure", "score"]
    assert "Contract more Contract 20.0% to 40.0% 0.2500 (0.0100) 2026-01-30 08:00" in text
    assert "tenure higher (40 to 49) 10.0% to 12.0%" in text
    assert "2026-01-30 08:00, one window score - 0.0010 (0.0150) -" in text
    assert "ROC AUC 0.800 0.850 Precision - 0.550 Recall 0.700 0.760 Brier score 0.120 0.130" in text
    assert {"href": "#drift"} in page.attributes("a")


def test_page_shows_when_a_drift_ended() -> None:
    result = drift_result()
    ended = dataclasses.replace(result.features[0], until="2026-01-31T09:00:00.000Z")
    page = PageParser(html(report_data([], drift=dataclasses.replace(result, features=[ended]))))
    text = " ".join(" ".join(page.text).split())
    assert "0.2500 (0.0100) 2026-01-30 08:00 to 2026-01-31 09:00" in text
    assert "Drifted from 2026-01-30 08:00:00 to 2026-01-31 09:00:00 UTC: Contract." in text


def test_page_has_no_drift_unless_it_was_asked_for() -> None:
    page = PageParser(html(report_data(many_predictions(3))))
    assert not [attrs for attrs in page.attributes("section") if attrs.get("id") == "drift"]
    assert {"href": "#drift"} not in page.attributes("a")


def test_page_shows_that_there_are_too_few_records() -> None:
    nothing = drift_result(windows=0, features=[], drifted=[], quality=None)
    page = PageParser(html(report_data([], drift=nothing)))
    assert "Too few records: at least 500 are needed" in " ".join(page.text)
    assert not page.attributes("tr", "data-feature")


def test_page_escapes_the_names_of_drift() -> None:
    page = html(report_data([prediction()], drift=drift_result(HOSTILE[0]))).decode()
    assert HOSTILE[0] not in page
    assert "&lt;script&gt;window.harmed" in page
