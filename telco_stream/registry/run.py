"""`model publish`, `promote`, `rollback`, `list` and `history`: what they read from and write to the models topic."""

from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from telco_stream.errors import ModelError, UsageError
from telco_stream.model.artifact import load_files, manifest_of, read_folder
from telco_stream.model.reasons.files import SENTENCES
from telco_stream.model.reasons.sentences import read_sentences
from telco_stream.registry.archive import ArchiveError, pack, unpack
from telco_stream.registry.records import Role, RoleChange, encode_publication, encode_role_change, is_version
from telco_stream.registry.results import ListedChange, ListedModel, PublishResult, RoleResult
from telco_stream.registry.roles import Published, Registry
from telco_stream.registry.topic import ModelTopic
from telco_stream.runtime.clock import record_time, rfc3339, utc_timestamp


@dataclass(frozen=True, slots=True)
class Package:
    """Version and archive of a folder that was loaded and can be published."""

    version: str
    archive: bytes


def package(folder: Path) -> Package:
    """Pack a model folder; raise `ModelError` unless the archive, which has no pickle, can be loaded here."""
    files = read_folder(folder)
    try:
        archive = pack(files)
    except ArchiveError as error:
        raise ModelError(f"The model in {folder} can't be published: {error}") from error
    packed, serving = unpack(archive), manifest_of(files, str(folder)).serving
    if serving is not None and serving.artifact in files.keys() - packed.keys():
        raise ModelError(
            f"The model in {folder} can't be published: {serving.artifact} serves, and an archive holds no file that"
            " could run code; import the model in the format of its library"
        )
    scorer = load_files(packed, str(folder))
    read_sentences(packed.get(SENTENCES), scorer.codec.contract)
    version = scorer.version
    if not is_version(version):
        raise ModelError(
            f"The model in {folder} can't be published: its model_version may only have letters, digits and . _ : + -"
        )
    return Package(version, archive)


def publish(topic: ModelTopic, packed: Package) -> PublishResult:
    """Write the archive to the topic, unless it is there; raise `UsageError` if the version has another content."""
    message = encode_publication(packed.version, packed.archive, topic.signing_key)
    known = topic.registry().published.get(packed.version)
    if is_new := known is None:
        topic.write(message)
        known = topic.registry().published[packed.version]
    # Another version of zlib compresses the same files to other bytes.
    before, now = topic.files(packed.version, known.sha256), unpack(packed.archive)
    if differing := sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name)):
        remedy = "to publish edited sentences, change" if differing == [SENTENCES] else "train again, or change"
        raise UsageError(
            f"Version {packed.version} is in topic {topic.name} with another {', '.join(differing)}, and a published"
            f" version never changes: {remedy} model_version in manifest.json"
        )
    return PublishResult(known.version, topic.name, known.size, known.sha256, published=is_new)


def promote(topic: ModelTopic, version: str, role: Role, percent: float | None) -> RoleResult:
    """Give a published version a role; raise `UsageError` if it can't have it."""
    published, registry = topic.published(version), topic.registry()
    serving = registry.roles.serving
    if role != "serving" and serving in {None, version}:
        reason = "No version serves" if serving is None else f"{version} already serves"
        raise UsageError(f"{reason}, and a {role} is compared with another version that does: promote that one first")
    change = RoleChange("promote", version, published.sha256, role, "command", utc_timestamp(), percent)
    return _change(topic, registry, change)


def roll_back(topic: ModelTopic) -> RoleResult:
    """End the canary, else the shadow, or return to the version before; raise `UsageError` if there is none."""
    registry = topic.registry()
    version = registry.rollback_target()
    if version is None:
        serving = registry.roles.serving
        raise UsageError(
            f"No version serves in topic {topic.name}, so there is nothing to roll back"
            if serving is None
            else f"No version served before {serving}, so there is nothing to roll back to: promote another version"
        )
    role = registry.roles.role_of(version) or "serving"
    change = RoleChange("rollback", version, registry.pins[version], role, "command", utc_timestamp())
    return _change(topic, registry, change)


def list_models(registry: Registry, workers: Container[str]) -> Iterator[ListedModel]:
    """Yield the versions, the newest first, and before them those with a role whose archive is missing.

    Reports of the `workers`, the members of a consumer group, are named.
    """
    roles = registry.roles
    for version in roles.in_use:
        if registry.archive_of(version) is None:
            yield _listed(registry, version, None, workers)
    for published in sorted(registry.published.values(), key=lambda each: each.offset, reverse=True):
        if registry.archive_of(published.version) or roles.role_of(published.version) is None:
            yield _listed(registry, published.version, published, workers)


def list_changes(registry: Registry) -> Iterator[ListedChange]:
    """Yield the role changes, the oldest first."""
    for applied in registry.history:
        change, at = applied.change, rfc3339(record_time(applied.time))
        decision = (change.action, change.version, change.role, change.percent, change.by, change.reason)
        yield ListedChange(at, *decision, applied.effective, applied.offset)


def _change(topic: ModelTopic, registry: Registry, change: RoleChange) -> RoleResult:
    """Write a role change unless it has no effect, and return the roles after it."""
    is_pinned = registry.pins.get(change.version) == change.sha256
    changed = registry.roles.after(change) != registry.roles or not is_pinned
    if changed:
        topic.write(encode_role_change(change, uuid4().hex, topic.signing_key))
    roles = topic.registry().roles
    canary = roles.canary
    return RoleResult(
        change.action,
        change.version,
        change.role,
        changed=changed,
        serving=roles.serving,
        canary=canary.version if canary else None,
        percent=canary.percent if canary else None,
        shadow=roles.shadow,
    )


def _listed(registry: Registry, version: str, published: Published | None, workers: Container[str]) -> ListedModel:
    role, canary = registry.roles.role_of(version), registry.roles.canary
    percent = canary.percent if canary is not None and role == "canary" else None
    verdicts = registry.verdicts_on(version, workers)
    accepted_by = sorted(verdict.worker for verdict in verdicts if verdict.accepted)
    rejected_by = sorted(verdict.worker for verdict in verdicts if not verdict.accepted)
    if published is None:
        return ListedModel(version, role, percent, accepted_by, rejected_by, None, None, None)
    at = rfc3339(record_time(published.time))
    return ListedModel(version, role, percent, accepted_by, rejected_by, published.size, at, published.sha256)
