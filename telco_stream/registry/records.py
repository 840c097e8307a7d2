"""Records of the models topic: an archive by version, role changes and workers' reports, signed if a key is set."""

import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

from telco_stream.messages.record import Headers, Message, Record

SHA256 = "telco.model.sha256"
SIGNATURE = "telco.model.signature"
_ROLE, _REPORT = "role/", "report/"
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:+-]{0,199}")
#: Largest role change or report in bytes.
_MAX_JSON = 65_536

Role: TypeAlias = Literal["serving", "canary", "shadow"]
Version: TypeAlias = Annotated[str, Meta(pattern=rf"^{_VERSION.pattern}\Z")]
Sha256: TypeAlias = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
Percent: TypeAlias = Annotated[float, Meta(gt=0, le=100)]


@dataclass(frozen=True, slots=True)
class Publication:
    """Archive of a version; without one, the version was deleted from the topic."""

    version: str
    archive: bytes | None
    sha256: str


class RoleChange(msgspec.Struct, frozen=True):
    """Decision about a version. `sha256` is that of its archive, `percent` the canary's share, `at` RFC 3339."""

    action: Literal["promote", "rollback"]
    version: Version
    sha256: Sha256
    role: Role
    by: Literal["command", "worker"]
    at: str
    percent: Percent | None = None
    reason: str | None = None

    def __post_init__(self) -> None:
        """Raise ValueError unless a canary, and nothing else, has a share."""
        if (self.percent is not None) != (self.action == "promote" and self.role == "canary"):
            raise ValueError("percent is the share of a canary")


class WorkerReport(msgspec.Struct, frozen=True):
    """Newest decision of a worker about a version that was given a role; `reason` says why it was rejected."""

    worker: str
    version: Version
    accepted: bool
    at: str
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """Record of the topic, with its offset and its time in milliseconds since 1970."""

    offset: int
    time: int
    content: Publication | RoleChange | WorkerReport


@dataclass(frozen=True, slots=True)
class Ignored:
    """Record that has no effect, and why."""

    offset: int
    key: str
    reason: str


_encode = msgspec.json.Encoder().encode
_decode_role = msgspec.json.Decoder(RoleChange).decode
_decode_report = msgspec.json.Decoder(WorkerReport).decode


def is_version(text: str) -> bool:
    """Return whether the text can be the key of a publication."""
    return _VERSION.fullmatch(text) is not None


def encode_publication(version: str, archive: bytes, signing_key: bytes | None = None) -> Message:
    """Build the record that publishes an archive."""
    digest = hashlib.sha256(archive).hexdigest()
    return _sign(version, archive, [(SHA256, digest.encode())], signing_key)


def encode_role_change(change: RoleChange, unique: str, signing_key: bytes | None = None) -> Message:
    """Build the record of a role change; `unique` distinguishes it from all others, so that compaction keeps it."""
    return _sign(f"{_ROLE}{unique}", _encode(change), [], signing_key)


def encode_report(report: WorkerReport, signing_key: bytes | None = None) -> Message:
    """Build the record of a worker's decision; compaction keeps the newest of each worker about each version."""
    return _sign(f"{_REPORT}{report.worker}/{report.version}", _encode(report), [], signing_key)


def decode_record(record: Record, signing_key: bytes | None = None) -> Entry | Ignored:
    """Decode a record of the topic, which any producer may have written; with a key, it must be signed with it."""
    key, value = record.key() or b"", record.value()
    headers = dict(record.headers() or ())
    try:
        if signing_key is not None:
            _check_signature(key, value, headers.get(SIGNATURE), signing_key)
        content = _decode(key.decode(), value, headers.get(SHA256))
    except (ValueError, RecursionError) as error:  # msgspec and Unicode errors, and deeply nested JSON
        return Ignored(record.offset(), key[:100].decode(errors="backslashreplace"), str(error))
    return Entry(record.offset(), record.timestamp()[1], content)


def _decode(key: str, value: bytes | None, sha256: bytes | None) -> Publication | RoleChange | WorkerReport:
    if key.startswith((_ROLE, _REPORT)):
        if value is None or len(value) > _MAX_JSON:
            raise ValueError(f"its value is missing or has more than {_MAX_JSON:,} bytes")
        return _decode_role(value) if key.startswith(_ROLE) else _decode_report(value)
    if not is_version(key):
        raise ValueError("its key is neither a version nor that of a role change or report")
    digest = hashlib.sha256(value or b"").hexdigest()
    if value is not None and sha256 != digest.encode():
        raise ValueError(f"the archive does not have the checksum of its header {SHA256}")
    return Publication(key, value, digest)


def _sign(key: str, value: bytes, headers: Headers, signing_key: bytes | None) -> Message:
    if signing_key is not None:
        headers = [*headers, (SIGNATURE, _signature(key.encode(), value, signing_key))]
    return key, value, headers


def _check_signature(key: bytes, value: bytes | None, signature: bytes | None, signing_key: bytes) -> None:
    if signature is None:
        raise ValueError("it is not signed, and a signing key is configured")
    if not hmac.compare_digest(signature, _signature(key, value or b"", signing_key)):
        raise ValueError("its signature does not match the signing key")


def _signature(key: bytes, value: bytes, signing_key: bytes) -> bytes:
    signed = key + b"\0" + hashlib.sha256(value).hexdigest().encode()
    return hmac.new(signing_key, signed, hashlib.sha256).hexdigest().encode()
