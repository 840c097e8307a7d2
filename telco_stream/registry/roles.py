"""Which version serves, tries out or was replaced: a fold over the records of the models topic, in offset order.

Role changes are folded without a look at the archives, which compaction moves to later offsets. So every process gets
the same roles, whenever it begins to read.
"""

import zlib
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field, replace

from telco_stream.registry.records import Entry, Publication, Role, RoleChange, WorkerReport

#: Parts into which the hash of a key is divided: a canary's share has a precision of 0.01 %.
_PARTS = 10_000


@dataclass(frozen=True, slots=True)
class Canary:
    """Version that answers for `percent` of the keys."""

    version: str
    percent: float

    def takes(self, key: bytes) -> bool:
        """Return whether this version answers for the key; a key stays on its side."""
        return zlib.crc32(key) % _PARTS < self.percent * 100


@dataclass(frozen=True, slots=True)
class Roles:
    """Versions by role; `previous` are those that served before, the newest last."""

    serving: str | None = None
    canary: Canary | None = None
    shadow: str | None = None
    previous: tuple[str, ...] = ()

    @property
    def in_use(self) -> tuple[str, ...]:
        """Versions that hold a role: serving, canary, shadow."""
        canary = self.canary.version if self.canary else None
        return tuple(version for version in (self.serving, canary, self.shadow) if version is not None)

    def role_of(self, version: str) -> Role | None:
        """Return the role of a version, or None."""
        if version == self.serving:
            return "serving"
        if self.canary is not None and version == self.canary.version:
            return "canary"
        return "shadow" if version == self.shadow else None

    def after(self, change: RoleChange) -> "Roles":
        """Return the roles after a change; a change that does not apply has no effect."""
        if change.action == "rollback":
            rolled_back = self._rolled_back(change.version)
            # The command that ends a canary or a shadow says nothing against a version that served before.
            ends_trial = change.by == "command" and change.role != "serving"
            return rolled_back if ends_trial else rolled_back.without_previous(change.version)
        if change.role == "serving":
            return self._promoted(change.version)
        if self.serving in {None, change.version}:
            return self
        rest = self._without(change.version)
        if change.percent is not None:
            return replace(rest, canary=Canary(change.version, change.percent))
        return replace(rest, shadow=change.version)

    def without_previous(self, version: str) -> "Roles":
        """Return the roles after which no rollback returns to this version."""
        return replace(self, previous=tuple(other for other in self.previous if other != version))

    def _promoted(self, version: str) -> "Roles":
        if version == self.serving:
            return replace(self, canary=None, shadow=None)
        kept = tuple(other for other in self.previous if other not in {version, self.serving})
        return Roles(version, previous=kept if self.serving is None else (*kept, self.serving))

    def _rolled_back(self, version: str) -> "Roles":
        if version != self.serving:
            return self._without(version)
        if not self.previous:
            return self
        *kept, serving = self.previous
        return replace(self._without(serving), serving=serving, previous=tuple(kept))

    def _without(self, version: str) -> "Roles":
        """Return the roles without the canary or shadow of this version."""
        canary = self.canary if self.canary and self.canary.version != version else None
        return replace(self, canary=canary, shadow=self.shadow if self.shadow != version else None)


@dataclass(frozen=True, slots=True)
class Published:
    """Archive of a version in the topic: checksum, bytes, offset, and time in milliseconds since 1970."""

    version: str
    sha256: str
    size: int
    offset: int
    time: int


@dataclass(frozen=True, slots=True)
class AppliedChange:
    """Role change with its offset and time, and whether it changed a role."""

    offset: int
    time: int
    change: RoleChange
    effective: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """Report of a worker, and its offset."""

    offset: int
    report: WorkerReport


@dataclass(frozen=True, slots=True)
class Registry:
    """Content of the models topic up to an offset.

    `pins` has the checksum that the newest promotion of a version named. `verdicts` has the newest report by worker and
    version.
    """

    roles: Roles = Roles()
    published: Mapping[str, Published] = field(default_factory=dict)
    pins: Mapping[str, str] = field(default_factory=dict)
    history: tuple[AppliedChange, ...] = ()
    verdicts: Mapping[tuple[str, str], Verdict] = field(default_factory=dict)
    #: Offset of the role change that gave a version the role that it has.
    since: Mapping[str, int] = field(default_factory=dict)

    def archive_of(self, version: str) -> Published | None:
        """Return where the archive is that a promotion named, or None if it is missing or another one."""
        published = self.published.get(version)
        return published if published is not None and published.sha256 == self.pins.get(version) else None

    def verdicts_on(self, version: str, workers: Container[str]) -> list[WorkerReport]:
        """Return what these workers have reported about a version since it got its role."""
        decided = self.since.get(version)
        return [
            verdict.report
            for (worker, reported), verdict in self.verdicts.items()
            if decided is not None and reported == version and verdict.offset > decided and worker in workers
        ]

    def is_rejected(self, version: str) -> bool:
        """Return whether workers have reported about a version since it was promoted to serve, all that they reject it.

        A version that was a canary or shadow since then may have served before.
        """
        promotions = [
            each for each in self.history if each.change.action == "promote" and each.change.version == version
        ]
        if not promotions or promotions[-1].change.role != "serving":
            return False
        accepted = [
            verdict.report.accepted
            for (_, reported), verdict in self.verdicts.items()
            if reported == version and verdict.offset > promotions[-1].offset
        ]
        return bool(accepted) and not any(accepted)

    def returnable(self) -> list[str]:
        """Return the versions that served before, the newest last, without those that all workers rejected."""
        return [version for version in self.roles.previous if not self.is_rejected(version)]

    def rollback_target(self) -> str | None:
        """Return the version that a rollback ends: the canary, else the shadow, else the serving one if it can."""
        roles = self.roles
        if roles.canary is not None:
            return roles.canary.version
        return roles.shadow or (roles.serving if roles.previous else None)


def fold(entries: Iterable[Entry], registry: Registry = Registry()) -> Registry:
    """Return the state after these entries, which follow those of `registry` in offset order."""
    roles, history = registry.roles, list(registry.history)
    published, pins, verdicts = dict(registry.published), dict(registry.pins), dict(registry.verdicts)
    since = registry.since
    for entry in entries:
        match entry.content:
            case Publication(version, None, _):
                published.pop(version, None)
            case Publication(version, bytes(archive), sha256):
                published[version] = Published(version, sha256, len(archive), entry.offset, entry.time)
            case RoleChange() as change:
                before, roles = roles, roles.after(change)
                history.append(AppliedChange(entry.offset, entry.time, change, roles != before))
                since = _since(since, before, roles, entry.offset)
                if change.action == "promote":
                    pins[change.version] = change.sha256
            case WorkerReport() as report:
                verdicts[report.worker, report.version] = Verdict(entry.offset, report)
    return Registry(roles, published, pins, tuple(history), verdicts, since)


def _since(since: Mapping[str, int], before: Roles, after: Roles, offset: int) -> dict[str, int]:
    """Return the offset for each version with a role: this one, unless it had the same role and share before."""
    return {
        version: since[version] if _share(before, version) == _share(after, version) else offset
        for version in after.in_use
    }


def _share(roles: Roles, version: str) -> tuple[Role | None, float | None]:
    role = roles.role_of(version)
    return role, roles.canary.percent if roles.canary and role == "canary" else None
