"""Source headers are read back as they were written."""

from typing import Any

import pytest

from telco_stream.messages.headers import SourceHeaders, source_of
from tests.support.records import FakeRecord


@pytest.mark.parametrize("topic_id", [None, "J8qXRwI-Q3SPDXpBcbgeBg"])
def test_source_of_reads_what_source_headers_writes(topic_id: str | None) -> None:
    headers = SourceHeaders(topic_id)
    for partition, offset in [(0, 0), (1, 5), (0, 2**62), (12, 1)]:
        answer = FakeRecord(None, headers_=headers.of(FakeRecord(b"", offset, partition, topic_="raw-1")))
        assert source_of(answer) == (f"raw-1/{partition}/{offset}".encode(), (topic_id or "").encode())


@pytest.mark.parametrize(
    ("headers", "source"),
    [
        (None, (b"", b"")),
        ([("x", b"source")], (b"", b"")),
        ([("source", b"raw/0/1")], (b"raw/0/1", b"")),
        ([("source", None), ("source.topic.id", None)], (b"", b"")),
        ([("source", b"theirs"), ("source.topic.id", b"1"), ("source", b"ours"), ("x", b"y")], (b"ours", b"1")),
        ([("source.topic.id", b"theirs"), ("source", b"ours"), ("source.topic.id", b"2")], (b"ours", b"2")),
    ],
)
def test_source_of_counts_the_last_header_of_a_name(headers: Any, source: tuple[bytes, bytes]) -> None:
    assert source_of(FakeRecord(None, headers_=headers)) == source
