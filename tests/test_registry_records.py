"""Records of the models topic: what is written can be read, and what others wrote is checked."""

import hashlib
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telco_stream.messages.record import Message
from telco_stream.registry.records import (
    Entry,
    Ignored,
    Publication,
    RoleChange,
    WorkerReport,
    decode_record,
    encode_publication,
    encode_report,
    encode_role_change,
    is_version,
)
from tests.support.records import FakeRecord

KEY = b"a signing key"
SHA = hashlib.sha256(b"archive").hexdigest()
CHANGE = RoleChange("promote", "v1", SHA, "canary", "command", "2026-11-28T08:00:00Z", 5.0)
REPORT = WorkerReport("worker-0", "v1", accepted=False, at="2026-11-28T08:00:00Z", reason="slow")
MESSAGES = [
    encode_publication("v1", b"archive", KEY),
    encode_role_change(CHANGE, "8f", KEY),
    encode_report(REPORT, KEY),
]


def received(message: Message) -> FakeRecord:
    key, value, headers = message
    assert isinstance(key, str)
    return FakeRecord(value, 7, key_=key.encode(), headers_=headers, timestamp_=99)


@pytest.mark.parametrize("signing_key", [None, KEY])
def test_decode_record_returns_what_was_encoded(signing_key: bytes | None) -> None:
    messages = [
        encode_publication("v1", b"archive", signing_key),
        encode_role_change(CHANGE, "8f", signing_key),
        encode_report(REPORT, signing_key),
    ]
    decoded = [decode_record(received(message), signing_key) for message in messages]
    contents: list[Publication | RoleChange | WorkerReport] = [Publication("v1", b"archive", SHA), CHANGE, REPORT]
    assert decoded == [Entry(7, 99, content) for content in contents]


def test_keys_keep_role_changes_and_the_newest_report_of_a_worker() -> None:
    assert [key for key, _, _ in MESSAGES] == ["v1", "role/8f", "report/worker-0/v1"]


def test_decode_record_reads_a_tombstone_as_a_deleted_version() -> None:
    entry = decode_record(FakeRecord(None, key_=b"v1"))
    assert isinstance(entry, Entry)
    assert entry.content == Publication("v1", None, hashlib.sha256(b"").hexdigest())


@pytest.mark.parametrize("message", MESSAGES, ids=["publication", "role", "report"])
def test_decode_record_ignores_what_is_not_signed_with_the_key(message: Message) -> None:
    record = received(message)
    unsigned = [header for header in record.headers_ or [] if header[0] != "telco.model.signature"]
    assert "not signed" in ignored(replace(record, headers_=unsigned), KEY)
    assert "signature does not match" in ignored(record, b"another key")
    assert "signature does not match" in ignored(replace(record, value_=b"{}"), KEY)
    assert "signature does not match" in ignored(replace(record, key_=b"v2"), KEY)
    assert "signature does not match" in ignored(
        replace(record, headers_=[*unsigned, ("telco.model.signature", b"\xff")]), KEY
    )


def test_decode_record_accepts_signed_records_without_a_key() -> None:
    assert all(isinstance(decode_record(received(message)), Entry) for message in MESSAGES)


def test_decode_record_ignores_an_archive_with_another_checksum() -> None:
    record = received(encode_publication("v1", b"archive"))
    assert "checksum" in ignored(replace(record, value_=b"other"))
    assert "checksum" in ignored(replace(record, headers_=None))


@pytest.mark.parametrize("key", [None, b"", b"a b", b"\xff", b"a/b", b"-v", b"v" * 201])
def test_decode_record_ignores_other_keys(key: bytes | None) -> None:
    reason = ignored(FakeRecord(b"archive", key_=key, headers_=[("telco.model.sha256", SHA.encode())]))
    assert "its key" in reason or "utf-8" in reason


@pytest.mark.parametrize(
    "changes",
    [
        {"percent": None},
        {"percent": 0},
        {"percent": 100.5},
        {"role": "serving"},
        {"role": "other"},
        {"action": "rollback"},
        {"action": "delete"},
        {"version": "a/b"},
        {"sha256": "00"},
        {"by": 1},
    ],
)
def test_decode_record_ignores_an_invalid_role_change(changes: dict[str, Any]) -> None:
    value = json.loads(encode_role_change(CHANGE, "8f")[1]) | changes
    ignored(FakeRecord(json.dumps(value).encode(), key_=b"role/8f"))


@pytest.mark.parametrize("value", [None, b"", b"[" * 60_000, b'"' + b" " * 70_000 + b'"'])
@pytest.mark.parametrize("key", [b"role/8f", b"report/w"])
def test_decode_record_ignores_values_that_are_not_json_objects(key: bytes, value: bytes | None) -> None:
    ignored(FakeRecord(value, key_=key))


def test_decode_record_ignores_a_role_change_that_is_too_large() -> None:
    value = encode_role_change(CHANGE, "8f")[1]
    assert "65,536 bytes" in ignored(FakeRecord(value + b" " * 65_536, key_=b"role/8f"))


@given(st.binary(max_size=50), st.one_of(st.none(), st.binary(max_size=99)), st.sampled_from([None, KEY]))
def test_decode_record_raises_nothing_when_bytes_are_random(
    key: bytes, value: bytes | None, signing_key: bytes | None
) -> None:
    for prefix in (b"", b"role/", b"report/"):
        decode_record(FakeRecord(value, key_=prefix + key), signing_key)


@pytest.mark.parametrize("text", ["role/1", "report/x", "", ".v", "v 1", "v\n"])
def test_is_version_is_false_for_keys_of_other_records(text: str) -> None:
    assert not is_version(text)
    assert is_version("2026-11-28-597d142a")


def ignored(record: FakeRecord, signing_key: bytes | None = None) -> str:
    decoded = decode_record(record, signing_key)
    assert isinstance(decoded, Ignored), decoded
    return decoded.reason
