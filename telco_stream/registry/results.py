"""Results of the commands for the models topic, which display and docs read without importing a Kafka client."""

from dataclasses import dataclass
from typing import Literal

from telco_stream.registry.records import Role


@dataclass(frozen=True, slots=True)
class PublishResult:
    """The archive of a version; `published` is false if the topic already held it."""

    version: str
    topic: str
    bytes: int
    sha256: str
    published: bool


@dataclass(frozen=True, slots=True)
class RoleResult:
    """A role change, and the versions by role after it; `changed` is false if the version already had the role.

    `percent` is the canary's share of the keys.
    """

    action: Literal["promote", "rollback"]
    version: str
    role: Role
    changed: bool
    serving: str | None
    canary: str | None
    percent: float | None
    shadow: str | None


@dataclass(frozen=True, slots=True)
class ListedModel:
    """A version in the topic, with its role and the canary's share of the keys.

    `accepted_by` and `rejected_by` name the workers that have reported so since it got the role, by client ID or
    instance ID; only current members of the consumer group are named. The archive's fields are null if a version has a
    role, but its archive is missing or is not the one that was promoted: it does not serve then.
    """

    version: str
    role: Role | None
    percent: float | None
    accepted_by: list[str]
    rejected_by: list[str]
    bytes: int | None
    published_at: str | None
    sha256: str | None


@dataclass(frozen=True, slots=True)
class ListedChange:
    """A role change; `changed` is false if it had no effect, such as a second rollback of the same version."""

    at: str
    action: Literal["promote", "rollback"]
    version: str
    role: Role
    percent: float | None
    by: Literal["command", "worker"]
    reason: str | None
    changed: bool
    offset: int
