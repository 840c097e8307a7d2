"""Records of dead letters, encoded as `consume` does."""

from typing import Any

from telco_stream.errors import ErrorType
from telco_stream.messages.dead_letter import encode_dead_letter
from telco_stream.messages.headers import SourceHeaders
from telco_stream.messages.record import Headers, Rejected
from tests.support.records import FakeRecord
from tests.support.topics import Topics, send

#: Record time of the letters, in milliseconds.
WRITTEN = 1_767_312_000_000
NOW = "2026-01-02T00:00:00.000Z"


def letter(
    value: bytes | None = b"hello",
    offset: int = 0,
    *,
    partition: int = 0,
    key: bytes | None = b"7590-VHVEG",
    error_type: ErrorType = ErrorType.JSON,
    message: str = "JSON is malformed",
    at: str = NOW,
    headers: Headers | None = None,
    limit: int = 2_097_152,
    topic_id: str | None = None,
    **more: Any,
) -> FakeRecord:
    """Return the record of a letter about an original with this value, key and headers."""
    rejected = Rejected(FakeRecord(value, 41, 2, key, headers), error_type, "malformed", message)
    key_sent, body, headers_sent = encode_dead_letter(
        rejected, SourceHeaders(topic_id), model_version="v1", failed_at=at, limit=limit
    )
    assert not isinstance(key_sent, str)
    return FakeRecord(body, offset, partition, key_sent, headers_sent, "dead", **{"timestamp_": WRITTEN} | more)


def write_letters(bootstrap: str, topics: Topics, letters: list[FakeRecord]) -> None:
    """Write the letters to the dead-letter topic, as letters of records of the raw topic."""
    source = "source", f"{topics.raw}/2/41".encode()
    headers = [
        [source if name == "source" else (name, value) for name, value in each.headers() or []] for each in letters
    ]
    messages = [(each.key(), each.value(), of_each) for each, of_each in zip(letters, headers, strict=True)]
    send(bootstrap, topics.deadletter, messages)


#: Values that another program may have written to the dead-letter topic.
FOREIGN: list[bytes | None] = [
    None,
    b"",
    b"hello",
    b"\xff",
    b"{}",
    b"[" * 100_000,
    b'{"original_message":"x","error_type":"gone","error_message":"","timestamp":"","retry_count":0}',
    (letter(b"\xff").value() or b"").replace(b'"/w=="', b'"!"'),
    b'{"original_message":1,"error_type":"json","error_message":"","timestamp":"","retry_count":0}',
]
