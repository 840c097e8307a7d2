"""Tables, page and live view in the words of any contract."""

import re
from html import unescape

import pytest
from rich.console import Console

from telco_stream.contract.schema import Contract
from telco_stream.display.consume_view import customer_lines, reason_lines
from telco_stream.display.report_tables import summary_tables
from telco_stream.display.text import describe_lookup
from telco_stream.report.html import render
from telco_stream.report.lookup import Lookup
from telco_stream.report.wording import Wording
from tests.support.contracts import small
from tests.support.report_data import MANIFEST
from tests.support.worded_contracts import CONTRACTS, data_of

#: Words of the built-in contract, which pages about another one must not have.
TELCO_WORDS = re.compile(r"customers?\b|churn|leave\b|leaver|\bYes\b|\bInternet|\bContract\b|monthly", re.IGNORECASE)
#: Names that are the same for every contract.
FIXED = re.compile(r"--customer-value|telco\.churn\.predictions|<style>.*</style>|<[^>]*>", re.DOTALL)
FOREIGN = [name for name in CONTRACTS if name != "telco"]


def test_wording_is_as_before_for_the_built_in_contract() -> None:
    words = Wording(CONTRACTS["telco"])
    assert (words.report, words.rate) == ("Churn report", "churn rate")
    assert (words.expected, words.most_likely) == ("Expected to leave", "Customers most likely to leave")
    assert words.revenue == "monthly charges x churn probability"


def test_wording_uses_the_verb_when_there_is_one() -> None:
    words = Wording(CONTRACTS["verb"])
    assert (words.expected, words.most_likely) == ("Expected to default", "Applicants most likely to default")
    assert (words.report, words.rate, words.probability) == (
        "Report on Status = bad",
        "bad rate",
        "default probability",
    )


def test_wording_uses_label_and_value_when_there_is_no_verb() -> None:
    words = Wording(CONTRACTS["no verb"])
    assert (words.report, words.expected) == ("Churn report", "Expected to have churn = yes")
    assert Wording(CONTRACTS["other value"]).most_likely == "Applicants most likely to have Status = bad"


def test_wording_names_the_value_when_it_does_not_confirm_the_label() -> None:
    assert Wording(small()).rate == "left rate"
    assert Wording(small(lambda document: document["label"].update(positive="gone"))).rate == "gone rate"


def test_wording_shortens_and_escapes_long_names() -> None:
    words = Wording(CONTRACTS["long contract"])
    assert max(map(len, (words.rate, words.probability, words.key, words.positive))) <= len("x" * 30 + " rate")


@pytest.mark.parametrize("name", FOREIGN)
def test_tables_have_no_words_of_telco_when_contract_is_foreign(name: str) -> None:
    found = {word.lower() for word in TELCO_WORDS.findall(tables(name))}
    assert found <= words_of(CONTRACTS[name])


@pytest.mark.parametrize("name", FOREIGN)
def test_page_has_no_words_of_telco_when_contract_is_foreign(name: str) -> None:
    text = unescape(FIXED.sub(" ", render(data_of(name), MANIFEST).decode()))
    found = {word.lower() for word in TELCO_WORDS.findall(text.partition("use strict")[0])}
    assert found <= words_of(CONTRACTS[name])


@pytest.mark.parametrize("columns", [60, 80])
@pytest.mark.parametrize("name", CONTRACTS)
def test_tables_fit_the_terminal_for_every_contract(name: str, columns: int) -> None:
    text = tables(name, columns)
    assert max(map(len, text.splitlines())) <= columns
    assert re.search(r"^ +10   001605 +99\.5%", text, re.MULTILINE)


def test_tables_name_the_segments_that_do_not_fit() -> None:
    assert "Too narrow for >= 5." in tables("four segments", 60)
    assert "Too narrow" not in tables("four segments", 80)


@pytest.mark.parametrize("name", CONTRACTS)
def test_live_view_lists_flagged_keys_for_every_contract(name: str) -> None:
    customers = data_of(name, 50).report.summary.top[:1]
    for lines in (customer_lines(customers, CONTRACTS[name]), reason_lines(customers, CONTRACTS[name], 80)):
        assert lines[0].plain.startswith("  Newest flagged ")
        assert lines[1].plain.startswith(f"  {customers[0].key} ")
        assert max(line.cell_len for line in lines) <= 80


def test_segments_show_missing_values_by_name() -> None:
    segments = data_of("four segments").report.summary.segments
    assert list(segments["MailedBefore"]) == ["(missing)", "false", "true"]
    assert len(segments["region"]) == 100
    assert list(data_of("verb").report.summary.segments["Home"]) == ["(missing)", "owner", "parents", "rent"]


def test_segments_have_long_values_of_the_contract_in_full() -> None:
    summary = data_of("long contract").report.summary
    column = summary.contract.segments[0]
    assert set(summary.segments[column]) == set(summary.by[column]) == {"v" * 256, "w" * 256}


def test_lookup_names_the_entity_when_nothing_was_found() -> None:
    assert describe_lookup(Lookup((), 0, None, True, False, "applicant")).startswith("No prediction of this applicant ")


def tables(name: str, columns: int = 80) -> str:
    console = Console(width=columns)
    with console.capture() as captured:
        console.print(summary_tables(data_of(name).report.summary))
    return captured.get()


def words_of(contract: Contract) -> set[str]:
    """Return the words of the built-in contract that this one has, too."""
    own = f"{contract.label.name} {contract.label.positive} {contract.entity}"
    return {word.lower() for word in TELCO_WORDS.findall(own)}
