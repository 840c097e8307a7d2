"""The links from messages to the documentation."""

import importlib.metadata
import re
from email.message import Message

import pytest
from confluent_kafka import KafkaError

from telco_stream.kafka.error_policy import unreadable, user_error
from telco_stream.runtime.docs import docs_link
from tests.support.cli import ROOT


@pytest.mark.parametrize("url", ["https://example.org/docs", "https://example.org/docs/"])
def test_message_links_to_the_url_of_the_package(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    metadata = Message()
    metadata["Project-URL"] = "Source, https://example.org/source"
    metadata["Project-URL"] = f"Documentation, {url}"
    monkeypatch.setattr(importlib.metadata, "metadata", lambda _name: metadata)
    error = user_error(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED), "Topic raw")
    assert str(error).endswith("; https://example.org/docs/security.md lists the rights each command needs")


def test_message_names_the_page_when_the_package_has_no_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "metadata", lambda _name: Message())
    assert docs_link("security.md") == "docs/security.md"


def test_linked_pages_and_sections_exist() -> None:
    sources = [path.read_text() for path in (ROOT / "telco_stream").rglob("*.py")]
    links = [link for text in sources for link in re.findall(r"docs_link\(['\"]([^'\"]+)['\"]\)", text)]
    assert len(links) > 2
    for link in links:
        page, _, section = link.partition("#")
        headings = re.findall(r"^#+ (.+)$", (ROOT / "docs" / page).read_text(), re.MULTILINE)
        anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
        assert not section or section in anchors, link


def test_unreadable_batch_links_to_its_runbook() -> None:
    error = unreadable(KafkaError(KafkaError._BAD_MSG), "Topic raw, partition 0, offset 7")
    assert "operations.md#skip-an-unreadable-batch" in str(error)
