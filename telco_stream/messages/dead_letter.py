"""The dead-letter topic: the original, where it came from, and why it has no prediction."""

import base64
import hashlib
from typing import Literal, NamedTuple

import msgspec

from telco_stream.contract.error_type import ErrorType
from telco_stream.messages.headers import PROGRESS_MARK
from telco_stream.messages.record import ENVELOPE, Headers, Message, Record, Rejected, size_of
from telco_stream.messages.source import SOURCE, SOURCE_TOPIC_ID, Position, SourceHeaders, parse_position

RETRY_COUNT = "telco.dlq.retry_count"
REPLAY_OF = "telco.dlq.replay_of"
REPLAY_OF_TOPIC_ID = "telco.dlq.replay_of.topic.id"
_PREFIX = "telco.dlq."
_NOT_CARRIED = frozenset({SOURCE, SOURCE_TOPIC_ID, PROGRESS_MARK})

#: Where in the record's way it failed, for the header `telco.dlq.stage`.
_STAGES: dict[ErrorType, str] = {
    ErrorType.EMPTY: "decode",
    ErrorType.ENCODING: "decode",
    ErrorType.JSON: "decode",
    ErrorType.VALIDATION: "validate",
    ErrorType.SCORING: "score",
    ErrorType.OUTPUT_TOO_LARGE: "encode",
}


class DeadLetter(msgspec.Struct, frozen=True, omit_defaults=True):
    """A dead letter's value; what is not in every letter has a default and is left out of the JSON."""

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
        """The input's value; where the letter was cut, what is left of it."""
        if self.original_message is None:
            return None
        if self.original_encoding == "base64":
            return base64.b64decode(self.original_message, validate=True)
        return self.original_message.encode()


_encode = msgspec.json.Encoder().encode
decode_dead_letter = msgspec.json.Decoder(DeadLetter).decode


def encode_dead_letter(
    rejected: Rejected, sources: SourceHeaders, *, model_version: str, failed_at: str, limit: int
) -> Message:
    """Key, value and headers of the letter, together no larger than `limit` bytes as Kafka counts them."""
    key, own = rejected.record.key(), sources.of(rejected.record) + _headers(rejected, model_version, failed_at)
    headers = forwarded_headers(rejected.record) + own
    room = limit - ENVELOPE - size_of(key, None, headers)
    if room >= 2 * ENVELOPE:
        return key, _fit(rejected, failed_at, room), headers
    # Key and headers alone would fill it: keep what finds the original again.
    return None, _cut(rejected, failed_at, limit - ENVELOPE - size_of(None, None, own)), own


def retry_count(record: Record) -> int:
    """How often the record has come back from the dead letters."""
    for name, value in record.headers() or ():
        if name == RETRY_COUNT and value is not None and value.isdigit():
            return int(value[:9])
    return 0


def forwarded_headers(record: Record) -> Headers:
    """The input's own headers (trace context and the like), which its answer carries on.

    Those of an earlier letter or answer, or of a pass of `produce`, would lie, and stay behind.
    """
    return [
        header
        for header in record.headers() or ()
        if header[0] not in _NOT_CARRIED and not header[0].startswith(_PREFIX)
    ]


def replay_headers(letter: Record, retries: int, topic_id: str | None) -> Headers:
    """Return the headers of a replayed original: its own, one retry more, and the letter's position and topic ID."""
    position = f"{letter.topic()}/{letter.partition()}/{letter.offset()}".encode()
    headers = [*forwarded_headers(letter), (RETRY_COUNT, str(retries + 1).encode()), (REPLAY_OF, position)]
    return headers if topic_id is None else [*headers, (REPLAY_OF_TOPIC_ID, topic_id.encode())]


class ReplayMarker(NamedTuple):
    """The letter that a record says it was replayed from; older versions named neither topic nor topic ID."""

    letter: Position
    topic_id: str

    def names(self, topic: str, topic_id: str | None) -> bool:
        """Whether the letter may be one of this topic; what the marker doesn't say can't differ."""
        return self.letter.topic in {None, topic} and (not self.topic_id or topic_id in {None, self.topic_id})


def replay_marker(record: Record) -> ReplayMarker | None:
    """Read the marker of a replayed record; None where the headers hold none. Anybody may have written it."""
    letter, topic_id = None, b""
    for name, value in record.headers() or ():
        if name == REPLAY_OF:
            letter = parse_position(value or b"") or letter
        elif name == REPLAY_OF_TOPIC_ID:
            topic_id = value or b""
    return letter and ReplayMarker(letter, topic_id.decode(errors="replace"))


def fingerprint(partition: int, offset: int, key: bytes | None, value: bytes | None) -> bytes:
    """Return a digest of a letter's position and of its original's key and value: 16 bytes for each letter."""
    sizes = [-1 if part is None else len(part) for part in (key, value)]
    digest = hashlib.blake2b(f"{partition}/{offset}/{sizes}".encode(), digest_size=16)
    digest.update(key or b"")
    digest.update(value or b"")
    return digest.digest()


def _headers(rejected: Rejected, model_version: str, failed_at: str) -> Headers:
    record = rejected.record
    facts = {
        "topic": record.topic(),
        "partition": record.partition(),
        "offset": record.offset(),
        "timestamp": record.timestamp()[1],
        "stage": _STAGES[rejected.error_type],
        "error.code": rejected.code,
        "model.version": model_version,
        "failed.at": failed_at,
    }
    return [(f"{_PREFIX}{name}", str(fact).encode()) for name, fact in facts.items()]


def _fit(rejected: Rejected, failed_at: str, room: int) -> bytes:
    """The letter's JSON: whole if it fits, else with the original cut to what does."""
    value = rejected.record.value()
    if len(value or b"") > room:  # before it is copied: as text, as JSON and as base64 it takes many times its bytes
        return _cut(rejected, failed_at, room)
    whole = _encode(_letter(rejected, failed_at, *_as_text(value)))
    return whole if len(whole) <= room else _cut(rejected, failed_at, room)


def _cut(rejected: Rejected, failed_at: str, room: int) -> bytes:
    value = rejected.record.value() or b""
    marks = {"truncated": True, "original_bytes": len(value), "original_sha256": hashlib.sha256(value).hexdigest()}
    frame = len(_encode(_letter(rejected, failed_at, "", "base64", **marks)))
    kept = value[: max(0, room - frame) // 4 * 3]  # base64 needs four characters for three bytes
    return _encode(_letter(rejected, failed_at, base64.b64encode(kept).decode(), "base64", **marks))


def _letter(
    rejected: Rejected, failed_at: str, text: str | None, encoding: Literal["base64"] | None, **marks: object
) -> DeadLetter:
    return msgspec.convert(
        {
            "original_message": text,
            "original_encoding": encoding,
            "error_type": rejected.error_type,
            "error_message": rejected.message,
            "timestamp": failed_at,
            "retry_count": retry_count(rejected.record),
            **marks,
        },
        DeadLetter,
    )


def _as_text(value: bytes | None) -> tuple[str | None, Literal["base64"] | None]:
    """The value as text where it is UTF-8 and that is the shorter form in JSON, else as base64."""
    if value is None:
        return None, None
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return base64.b64encode(value).decode(), "base64"
    if len(_encode(text)) - 2 > (len(value) + 2) // 3 * 4:
        return base64.b64encode(value).decode(), "base64"
    return text, None
