import base64
import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telco_stream.messages.dead_letter import decode_dead_letter, encode_dead_letter, forwarded_headers, retry_count
from telco_stream.messages.headers import SourceHeaders
from telco_stream.messages.record import ENVELOPE, Headers, Message, Rejected, size_of
from tests.support.records import FakeRecord

LIMIT = 2_097_152
#: Smallest limit that is tested, in bytes.
SMALLEST = 16_384
NOW = "2026-01-02T03:04:05.678Z"


def test_encode_dead_letter_writes_the_documented_letter() -> None:
    record = FakeRecord(b"hello", offset_=7, partition_=2, headers_=[("traceparent", b"00-1")])
    key, value, headers = letter(record)
    assert (key, json.loads(value)) == (
        b"7590-VHVEG",
        {
            "original_message": "hello",
            "error_type": "validation",
            "error_message": "Expected a b - at `$.c`",
            "timestamp": NOW,
            "retry_count": 0,
        },
    )
    assert headers == [
        ("traceparent", b"00-1"),
        ("source", b"raw/2/7"),
        ("source.topic.id", b"id-1"),
        ("telco.dlq.topic", b"raw"),
        ("telco.dlq.partition", b"2"),
        ("telco.dlq.offset", b"7"),
        ("telco.dlq.timestamp", b"1767225600000"),
        ("telco.dlq.stage", b"validate"),
        ("telco.dlq.error.code", b"wrong_type"),
        ("telco.dlq.model.version", b"v1"),
        ("telco.dlq.failed.at", NOW.encode()),
    ]


@given(st.none() | st.binary() | st.text().map(str.encode), st.none() | st.binary())
def test_dead_letter_keeps_key_and_value_verbatim(value: bytes | None, key: bytes | None) -> None:
    kept, body, _ = letter(FakeRecord(value, key_=key))
    assert (kept, decode_dead_letter(body).original) == (key, value)


@pytest.mark.parametrize(
    ("value", "encoding"),
    [
        (None, None),
        (b"", None),
        (b"text", None),
        ("Ж日🙂".encode(), None),
        (b"\xff", "base64"),
        (b'"' * 3, "base64"),  # 6 characters as text
        (b'"a', None),  # 3 characters as text, 4 as base64
        (b"\x01\x01", "base64"),
    ],
)
def test_original_is_base64_when_not_utf_8_or_shorter(value: bytes | None, encoding: str | None) -> None:
    body = json.loads(letter(FakeRecord(value))[1])
    assert body.get("original_encoding") == encoding
    if encoding and value is not None:
        assert base64.b64decode(body["original_message"]) == value


def test_original_is_null_when_record_has_no_value() -> None:
    assert [json.loads(letter(FakeRecord(value))[1])["original_message"] for value in (None, b"")] == [None, ""]


@pytest.mark.parametrize("value", [b"x" * 3_000_000, b"\xff" * 1_600_000, b"\x01" * 1_600_000])
def test_original_is_truncated_when_it_exceeds_the_limit(value: bytes) -> None:
    message = letter(FakeRecord(value))
    content = decode_dead_letter(message[1])
    assert (content.truncated, content.original_bytes, content.original_sha256) == (
        True,
        len(value),
        hashlib.sha256(value).hexdigest(),
    )
    assert content.original
    assert value.startswith(content.original)
    assert LIMIT - 100 < size(message) <= LIMIT


@pytest.mark.parametrize("value", [b"x" * 1_000_000, b"\x01" * 1_048_000, b'"' * 1_048_000, b"\xff" * 1_048_000])
def test_original_is_whole_when_record_has_the_largest_size(value: bytes) -> None:
    kept = decode_dead_letter(letter(FakeRecord(value))[1])
    assert (kept.truncated, kept.original == value) == (False, True)


@given(
    st.integers(0, 40_000),
    st.sampled_from([b"x", b"\x01", b"\xff", "Ж".encode()]),
    st.integers(0, 20_000),
    st.lists(st.tuples(st.text(max_size=20), st.binary(max_size=9_000)), max_size=3),
    st.integers(SMALLEST, 60_000),
)
def test_dead_letter_never_exceeds_the_limit(length: int, unit: bytes, key: int, headers: Headers, limit: int) -> None:
    record = FakeRecord(unit * length, key_=b"k" * key, headers_=headers)
    message = letter(record, limit=limit)
    kept = decode_dead_letter(message[1])
    assert size(message) <= limit
    assert kept.truncated or (message[0], kept.original) == (record.key(), record.value())


def test_key_is_omitted_and_letter_truncated_when_too_large() -> None:
    """Only a letter that is marked as truncated is never replayed, which would send the record without its key."""
    key, body, headers = letter(FakeRecord(b"hello", key_=b"k" * LIMIT, headers_=[("traceparent", b"00-1")]))
    assert (key, decode_dead_letter(body).truncated, decode_dead_letter(body).original) == (None, True, b"hello")
    assert ("source", b"raw/0/0") in headers
    assert "traceparent" not in dict(headers)


@pytest.mark.parametrize(
    ("stage", "error_type"),
    [
        ("decode", "empty"),
        ("decode", "encoding"),
        ("decode", "json"),
        ("validate", "validation"),
        ("score", "scoring"),
        ("encode", "output_too_large"),
    ],
)
def test_stage_header_follows_from_the_error_type(stage: str, error_type: Any) -> None:
    _, body, headers = letter(FakeRecord(b"x"), error_type=error_type)
    assert (dict(headers)["telco.dlq.stage"], decode_dead_letter(body).error_type) == (stage.encode(), error_type)


@pytest.mark.parametrize(
    ("headers", "count"),
    [
        (None, 0),
        ([], 0),
        ([("telco.dlq.retry_count", b"2")], 2),
        ([("telco.dlq.retry_count", b"2"), ("telco.dlq.retry_count", b"9")], 2),
        ([("telco.dlq.retry_count", b"many"), ("telco.dlq.retry_count", b"1")], 1),
        ([("telco.dlq.retry_count", None)], 0),
        ([("telco.dlq.retry_count", b"-1")], 0),
        ([("telco.dlq.retry_count", "٣".encode())], 0),
        ([("telco.dlq.retry_count", b"9" * 5_000)], 999_999_999),
    ],
)
def test_retry_count_ignores_invalid_headers(headers: Any, count: int) -> None:
    record = FakeRecord(b"x", headers_=headers)
    assert (retry_count(record), decode_dead_letter(letter(record)[1]).retry_count) == (count, count)


def test_forwarded_headers_omit_those_of_earlier_letters() -> None:
    forwarded: Headers = [
        ("traceparent", b"1"),
        ("traceparent", b"2"),
        ("source_system", b"crm"),
        ("source.topic", b""),
    ]
    stale: Headers = [
        ("source", b"old/0/0"),
        ("source.topic.id", b"id-0"),
        ("telco.dlq.retry_count", b"1"),
        ("telco.dlq.anything", b""),
    ]
    record = FakeRecord(b"x", headers_=[stale[0], *forwarded, *stale[1:]])
    headers = letter(record)[2]
    assert forwarded_headers(record) == forwarded
    assert headers[:4] == forwarded
    assert [value for name, value in headers if name == "source"] == [b"raw/0/0"]
    assert [value for name, value in headers if name == "source.topic.id"] == [b"id-1"]
    assert not {"telco.dlq.retry_count", "telco.dlq.anything"} & dict(headers).keys()


@pytest.mark.parametrize("key", ["original_encoding", "truncated", "original_bytes", "original_sha256"])
def test_dead_letter_omits_fields_with_their_default(key: str) -> None:
    assert key not in json.loads(letter(FakeRecord(b"x"))[1])


@pytest.mark.parametrize(
    ("key", "name", "size"),
    [("ab", "trace", 2 + 5 + 16), ("é", "prénom", 2 + 7 + 16), (b"\xff", "日本", 1 + 6 + 16), (None, "🙂", 4 + 16)],
)
def test_size_of_counts_bytes_when_names_are_not_ascii(key: bytes | str | None, name: str, size: int) -> None:
    assert size_of(key, None, [(name, b"")]) == size


def letter(record: FakeRecord, *, error_type: Any = "validation", limit: int = LIMIT) -> Message:
    rejected = Rejected(record, error_type, "wrong_type", "Expected a b - at `$.c`")
    return encode_dead_letter(rejected, SourceHeaders("id-1"), model_version="v1", failed_at=NOW, limit=limit)


def size(message: Message) -> int:
    """Return the largest number of bytes that the message takes in Kafka."""
    return ENVELOPE + size_of(*message)
