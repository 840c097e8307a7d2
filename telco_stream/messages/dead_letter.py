"""Messages of the dead-letter topic: the original record, its position, and why it was rejected."""

import base64
import hashlib
from contextlib import suppress
from typing import Literal, NamedTuple

import msgspec

from telco_stream.contract.events import BAD_DATA
from telco_stream.errors import ErrorType
from telco_stream.messages.headers import (
    PROGRESS_MARK,
    SOURCE,
    SOURCE_TOPIC_ID,
    Position,
    SourceHeaders,
    parse_position,
)
from telco_stream.messages.record import ENVELOPE, Headers, Message, Record, Rejected, size_of

RETRY_COUNT = "telco.dlq.retry_count"
REPLAY_OF = "telco.dlq.replay_of"
REPLAY_OF_TOPIC_ID = "telco.dlq.replay_of.topic.id"
ERROR_CODE = "telco.dlq.error.code"
_PREFIX = "telco.dlq."
_NOT_FORWARDED = frozenset({SOURCE, SOURCE_TOPIC_ID, PROGRESS_MARK})
#: Largest indented JSON: factor of the original's size, plus bytes. Deeply nested JSON is longer, and shown unindented.
_MAX_GROWTH = 6
_EXTRA_BYTES = 4_096
#: Processing step that rejects a record with this error, for the header `telco.dlq.stage`.
_STAGES: dict[ErrorType, str] = {
    ErrorType.EMPTY: "decode",
    ErrorType.ENCODING: "decode",
    ErrorType.JSON: "decode",
    ErrorType.VALIDATION: "validate",
    ErrorType.SCORING: "score",
    ErrorType.OUTPUT_TOO_LARGE: "encode",
}


class DeadLetter(msgspec.Struct, frozen=True, omit_defaults=True):
    """Value of a dead letter. Fields with their default are omitted from the JSON."""

    original_message: str | None
    error_type: ErrorType
    error_message: str
    timestamp: str
    retry_count: int
    original_encoding: Literal["base64"] | None = None
    truncated: bool = False
    original_bytes: int | None = None
    original_sha256: str | None = None

    @property
    def original(self) -> bytes | None:
        """Value of the original record, or its first bytes if `truncated`."""
        if self.original_message is None:
            return None
        if self.original_encoding == "base64":
            return base64.b64decode(self.original_message, validate=True)
        return self.original_message.encode()


_encode = msgspec.json.Encoder().encode
decode_dead_letter = msgspec.json.Decoder(DeadLetter).decode
_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_text = msgspec.json.Decoder(str).decode


def encode_dead_letter(
    rejected: Rejected, sources: SourceHeaders, *, model_version: str | None, failed_at: str, limit: int
) -> Message:
    """Build key, value and headers of a dead letter of at most `limit` bytes, as Kafka counts them.

    A value that doesn't fit is truncated. If even key and forwarded headers don't fit, they are left out. The letter of
    an outcome has no model version.
    """
    key, own_headers = rejected.record.key(), sources.of(rejected.record) + _headers(rejected, model_version, failed_at)
    headers = forwarded_headers(rejected.record) + own_headers
    max_value = limit - ENVELOPE - size_of(key, None, headers)
    if max_value >= 2 * ENVELOPE:
        return key, _encode_within(max_value, rejected, failed_at), headers
    max_value = limit - ENVELOPE - size_of(None, None, own_headers)
    return None, _encode_truncated(max_value, rejected, failed_at), own_headers


def retry_count(record: Record) -> int:
    """Return how often the record has been replayed from the dead letters."""
    for name, value in record.headers() or ():
        if name == RETRY_COUNT and value is not None and value.isdigit():
            return int(value[:9])
    return 0


def forwarded_headers(record: Record) -> Headers:
    """Return the headers of an input that its answer keeps, such as trace context.

    Headers of an earlier answer or dead letter and of `produce` are dropped: they would be wrong on this answer.
    """
    return [
        header
        for header in record.headers() or ()
        if header[0] not in _NOT_FORWARDED and not header[0].startswith(_PREFIX)
    ]


def replay_headers(letter: Record, retries: int, topic_id: str | None) -> Headers:
    """Return the headers of a replayed original: its own, the new retry count, and its letter's position."""
    position = f"{letter.topic()}/{letter.partition()}/{letter.offset()}".encode()
    headers = [*forwarded_headers(letter), (RETRY_COUNT, str(retries + 1).encode()), (REPLAY_OF, position)]
    return headers if topic_id is None else [*headers, (REPLAY_OF_TOPIC_ID, topic_id.encode())]


class ReplayMarker(NamedTuple):
    """Dead letter that a record was replayed from, by its headers; older versions wrote neither topic nor topic ID."""

    letter: Position
    topic_id: str

    def matches_topic(self, topic: str, topic_id: str | None) -> bool:
        """Return whether the letter may be from this topic; a name or ID that is unknown counts as equal."""
        return self.letter.topic in {None, topic} and (not self.topic_id or topic_id in {None, self.topic_id})


def replay_marker(record: Record) -> ReplayMarker | None:
    """Return the marker of a replayed record, or None if it is missing or invalid. Any producer may have written it."""
    letter, topic_id = None, b""
    for name, value in record.headers() or ():
        if name == REPLAY_OF:
            letter = parse_position(value or b"") or letter
        elif name == REPLAY_OF_TOPIC_ID:
            topic_id = value or b""
    return letter and ReplayMarker(letter, topic_id.decode(errors="replace"))


def letter_fingerprint(partition: int, offset: int, key: bytes | None, value: bytes | None) -> bytes:
    """Return a digest of a letter's position and of its original's key and value: 16 bytes for each letter."""
    sizes = [-1 if part is None else len(part) for part in (key, value)]
    digest = hashlib.blake2b(f"{partition}/{offset}/{sizes}".encode(), digest_size=16)
    digest.update(key or b"")
    digest.update(value or b"")
    return digest.digest()


def error_code(letter: Record) -> str | None:
    """Return the code of the error from a letter's headers, or None without one; another program may have set any."""
    code = dict(letter.headers() or ()).get(ERROR_CODE)
    return None if code is None else code.decode(errors="replace")


def json_field(original: bytes, name: str) -> str | None:
    """Return the JSON text of a field, the last of its name, or None if the original lacks it or is not JSON."""
    try:
        return bytes(_decode_fields(original)[name]).decode(errors="backslashreplace")
    except (*BAD_DATA, KeyError):
        return None


def field_as_text(original: bytes, name: str) -> str | None:
    """Return a field as text, or None if the original lacks it or is not a JSON object."""
    try:
        raw = _decode_fields(original)[name]
    except (*BAD_DATA, KeyError):
        return None
    try:
        return _decode_text(raw)
    except BAD_DATA:
        return bytes(raw).decode(errors="replace")


def format_original(original: bytes) -> str:
    """Format JSON with indentation and leave other text unchanged; escape bytes that are not UTF-8."""
    try:
        indented = msgspec.json.format(original, indent=2)
    except BAD_DATA:
        indented = original
    text = indented if len(indented) <= _MAX_GROWTH * len(original) + _EXTRA_BYTES else original
    return text.decode(errors="backslashreplace")


def _headers(rejected: Rejected, model_version: str | None, failed_at: str) -> Headers:
    record = rejected.record
    fields = {
        "topic": record.topic(),
        "partition": record.partition(),
        "offset": record.offset(),
        "timestamp": record.timestamp()[1],
        "stage": _STAGES[rejected.error_type],
        "error.code": rejected.code,
        "model.version": model_version,
        "failed.at": failed_at,
    }
    return [(f"{_PREFIX}{name}", str(value).encode()) for name, value in fields.items() if value is not None]


def _encode_within(limit: int, rejected: Rejected, failed_at: str) -> bytes:
    """Encode the letter with the whole original if that takes at most `limit` bytes, otherwise truncated."""
    value = rejected.record.value()
    if len(value or b"") > limit:  # check before copying: text, JSON and base64 take many times the memory
        return _encode_truncated(limit, rejected, failed_at)
    encoded = _encode(_build_letter(rejected, failed_at, *_to_text(value)))
    return encoded if len(encoded) <= limit else _encode_truncated(limit, rejected, failed_at)


def _encode_truncated(limit: int, rejected: Rejected, failed_at: str) -> bytes:
    value = rejected.record.value() or b""
    letter = msgspec.structs.replace(
        _build_letter(rejected, failed_at, "", "base64"),
        truncated=True,
        original_bytes=len(value),
        original_sha256=hashlib.sha256(value).hexdigest(),
    )
    kept = value[: max(0, limit - len(_encode(letter))) // 4 * 3]  # base64 needs four characters for three bytes
    return _encode(msgspec.structs.replace(letter, original_message=base64.b64encode(kept).decode()))


def _build_letter(
    rejected: Rejected, failed_at: str, text: str | None, encoding: Literal["base64"] | None
) -> DeadLetter:
    return DeadLetter(
        original_message=text,
        original_encoding=encoding,
        error_type=rejected.error_type,
        error_message=rejected.message,
        timestamp=failed_at,
        retry_count=retry_count(rejected.record),
    )


def _to_text(value: bytes | None) -> tuple[str | None, Literal["base64"] | None]:
    """Return the value as text and its encoding: None for UTF-8, base64 for other bytes or if JSON is then shorter."""
    if value is None:
        return None, None
    with suppress(UnicodeDecodeError):
        text = value.decode()
        if len(_encode(text)) - 2 <= (len(value) + 2) // 3 * 4:
            return text, None
    return base64.b64encode(value).decode(), "base64"
