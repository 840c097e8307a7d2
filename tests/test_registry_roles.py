"""The roles of the versions: a fold over the records of the models topic."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telco_stream.registry.records import Entry, Publication, Role, RoleChange, WorkerReport
from telco_stream.registry.roles import Canary, Registry, Roles, fold

VERSIONS = "ABCD"


def promote(version: str, percent: float | None = None, *, shadow: bool = False) -> RoleChange:
    role: Role = "shadow" if shadow else "serving" if percent is None else "canary"
    return RoleChange("promote", version, version.lower() * 64, role, "command", "", percent)


def roll_back(version: str, reason: str | None = None) -> RoleChange:
    return RoleChange("rollback", version, version.lower() * 64, "serving", "worker", "", reason=reason)


def end(version: str, role: Role) -> RoleChange:
    """Return the rollback that a command makes."""
    return RoleChange("rollback", version, version.lower() * 64, role, "command", "")


def publish(version: str, archive: bytes | None = b"zip", sha256: str | None = None) -> Publication:
    return Publication(version, archive, sha256 or version.lower() * 64)


def entries(*contents: Publication | RoleChange | WorkerReport) -> list[Entry]:
    return [Entry(offset, 1_000 + offset, content) for offset, content in enumerate(contents)]


def roles_after(*changes: RoleChange) -> Roles:
    return fold(entries(*changes)).roles


CHANGES = st.one_of(
    st.builds(promote, st.sampled_from(VERSIONS)),
    st.builds(promote, st.sampled_from(VERSIONS), st.sampled_from([1.0, 100.0])),
    st.builds(lambda version: promote(version, shadow=True), st.sampled_from(VERSIONS)),
    st.builds(roll_back, st.sampled_from(VERSIONS), st.sampled_from([None, "slow"])),
    st.builds(end, st.sampled_from(VERSIONS), st.sampled_from(["serving", "canary", "shadow"])),
)
CONTENTS = st.lists(st.one_of(CHANGES, st.builds(publish, st.sampled_from(VERSIONS))), max_size=30)


@pytest.mark.parametrize(
    ("changes", "roles"),
    [
        ([], Roles()),
        ([promote("A")], Roles("A")),
        ([promote("A"), promote("B"), promote("C")], Roles("C", previous=("A", "B"))),
        ([promote("A"), promote("B"), promote("A")], Roles("A", previous=("B",))),
        ([promote("A"), promote("B", 5.0)], Roles("A", Canary("B", 5.0))),
        ([promote("A"), promote("B", 5.0), promote("B", 9.0)], Roles("A", Canary("B", 9.0))),
        ([promote("A"), promote("B", 5.0), promote("C", shadow=True)], Roles("A", Canary("B", 5.0), "C")),
        ([promote("A"), promote("B", 5.0), promote("B", shadow=True)], Roles("A", shadow="B")),
        ([promote("A"), promote("B", 5.0), promote("C", shadow=True), promote("B")], Roles("B", previous=("A",))),
        ([promote("A"), promote("B", 5.0), promote("C", shadow=True), promote("A")], Roles("A")),
        ([promote("A", 5.0)], Roles()),
        ([promote("A", shadow=True)], Roles()),
        ([promote("A"), promote("A", 5.0)], Roles("A")),
        ([promote("A"), promote("A", shadow=True)], Roles("A")),
        ([promote("A"), promote("B"), roll_back("B")], Roles("A")),
        ([promote("A"), promote("B"), promote("C"), roll_back("C")], Roles("B", previous=("A",))),
        ([promote("A"), promote("B"), roll_back("A")], Roles("B")),
        ([promote("A"), promote("B"), promote("C"), roll_back("B")], Roles("C", previous=("A",))),
        ([promote("A"), promote("B"), promote("C"), roll_back("B"), roll_back("C")], Roles("A")),
        ([promote("A"), promote("B"), promote("C"), end("B", "serving"), end("C", "serving")], Roles("A")),
        ([promote("A"), promote("B"), promote("A", 5.0), end("A", "canary")], Roles("B", previous=("A",))),
        ([promote("A"), promote("B"), promote("A", shadow=True), end("A", "shadow")], Roles("B", previous=("A",))),
        ([promote("A"), promote("B"), promote("A", 5.0), roll_back("A")], Roles("B")),
        ([promote("A"), roll_back("A")], Roles("A")),
        ([roll_back("A")], Roles()),
        ([promote("A"), promote("B", 5.0), roll_back("B")], Roles("A")),
        ([promote("A"), promote("B", shadow=True), roll_back("B")], Roles("A")),
        ([promote("A"), promote("B", 5.0), promote("C", shadow=True), roll_back("C")], Roles("A", Canary("B", 5.0))),
        ([promote("A"), promote("B"), promote("A", 5.0), roll_back("B")], Roles("A")),
    ],
)
def test_fold_returns_the_roles_after_changes(changes: Sequence[RoleChange], roles: Roles) -> None:
    assert roles_after(*changes) == roles


@given(st.lists(CHANGES, max_size=20), st.sampled_from(VERSIONS), st.integers(1, 5))
def test_fold_ignores_further_rollbacks_of_the_same_version(
    changes: list[RoleChange], version: str, copies: int
) -> None:
    once = roles_after(*changes, roll_back(version))
    if once.serving != version:  # it is the only one
        assert roles_after(*changes, *(roll_back(version, str(copy)) for copy in range(copies + 1))) == once


@given(st.lists(CHANGES, max_size=10), st.permutations([roll_back("A", str(worker)) for worker in range(4)]))
def test_fold_is_the_same_in_any_order_of_duplicate_rollbacks(
    changes: list[RoleChange], rollbacks: list[RoleChange]
) -> None:
    first = fold(entries(*changes, *rollbacks))
    second = fold(entries(*changes, *sorted(rollbacks, key=lambda change: change.reason or "")))
    assert first.roles == second.roles
    assert sum(change.effective for change in first.history[len(changes) :]) <= 1


@given(CONTENTS, st.integers(0, 30))
def test_fold_continues_where_a_fold_of_a_prefix_ended(contents: list[Publication | RoleChange], length: int) -> None:
    whole = entries(*contents)
    assert fold(whole[length:], fold(whole[:length])) == fold(whole)


@given(CONTENTS)
def test_fold_gives_the_same_roles_after_compaction(contents: list[Publication | RoleChange]) -> None:
    """Compaction keeps the newest publication of a version, and every role change."""
    whole = entries(*contents)
    newest = {entry.content.version: entry for entry in whole if isinstance(entry.content, Publication)}
    kept = [entry for entry in whole if not isinstance(entry.content, Publication) or entry in newest.values()]
    assert fold(kept) == fold(whole)


@given(st.lists(CHANGES, max_size=30))
def test_fold_gives_a_version_at_most_one_role(changes: list[RoleChange]) -> None:
    registry = fold(entries(*changes))
    roles = registry.roles
    held = [*roles.in_use, *roles.previous]
    in_use = roles.in_use
    assert len(set(in_use)) == len(in_use)
    assert len(set(roles.previous)) == len(roles.previous)
    assert roles.serving not in roles.previous
    assert set(held) <= {change.version for change in changes}
    assert all(roles.role_of(version) is not None for version in in_use)
    assert [change.change for change in registry.history] == changes


@given(st.lists(CHANGES, max_size=20))
def test_rollback_target_is_a_version_whose_rollback_has_an_effect(changes: list[RoleChange]) -> None:
    registry = fold(entries(*changes))
    target = registry.rollback_target()
    roles = registry.roles
    if target is None:
        assert (roles.canary, roles.shadow, roles.previous) == (None, None, ())
    else:
        assert roles.after(roll_back(target)) != roles


def test_archive_of_is_none_unless_the_checksum_is_that_of_the_promotion() -> None:
    registry = fold(entries(publish("A"), publish("B", sha256="0" * 64), promote("A"), promote("B"), promote("C")))
    archive = registry.archive_of("A")
    assert archive is not None
    assert (archive.offset, archive.time, archive.size) == (0, 1_000, 3)
    assert [registry.archive_of(version) for version in "BCD"] == [None, None, None]


def test_fold_forgets_a_version_when_it_is_deleted() -> None:
    registry = fold(entries(publish("A"), promote("A"), publish("A", None)))
    assert (registry.roles.serving, registry.archive_of("A")) == ("A", None)


def test_fold_keeps_the_newest_report_of_a_worker_on_each_version() -> None:
    reports = [
        WorkerReport(worker, version, accepted=True, at="") for worker, version in ("1A", "2A", "1B", "1B", "1B")
    ]
    verdicts = fold(entries(*reports)).verdicts
    assert {key: verdict.offset for key, verdict in verdicts.items()} == {("1", "A"): 0, ("2", "A"): 1, ("1", "B"): 4}


def report(worker: str, version: str) -> WorkerReport:
    return WorkerReport(worker, version, accepted=True, at="")


@pytest.mark.parametrize(
    ("changes", "version", "workers"),
    [
        ([promote("A"), report("1", "A"), report("2", "B")], "A", ["1"]),
        ([report("1", "A"), promote("A")], "A", []),
        ([promote("A"), report("1", "A"), promote("B", 5.0), roll_back("B")], "A", ["1"]),
        ([promote("A"), report("1", "A"), promote("B"), roll_back("B"), report("2", "A")], "A", ["2"]),
        ([promote("A"), promote("B", 5.0), report("1", "B"), promote("B", 9.0)], "B", []),
        ([promote("A"), promote("B", 5.0), report("1", "B"), promote("B")], "B", []),
        ([promote("A"), report("1", "A"), promote("B")], "A", []),
    ],
)
def test_verdicts_on_are_those_since_the_version_got_its_role(
    changes: list[RoleChange | WorkerReport], version: str, workers: list[str]
) -> None:
    registry = fold(entries(*changes, report("3", version)))
    assert [verdict.worker for verdict in registry.verdicts_on(version, {"1", "2"})] == workers


def rejection(worker: str, version: str) -> WorkerReport:
    return WorkerReport(worker, version, accepted=False, at="")


@pytest.mark.parametrize(
    ("contents", "is_rejected"),
    [
        ([promote("A")], False),
        ([promote("A"), rejection("1", "A"), rejection("2", "A")], True),
        ([promote("A"), rejection("1", "A"), report("2", "A")], False),
        ([promote("A"), rejection("1", "A"), report("1", "A")], False),
        ([promote("A"), rejection("1", "B")], False),
        ([rejection("1", "A"), promote("A")], False),
        ([promote("A"), report("1", "A"), promote("B"), promote("A", 5.0), rejection("1", "A")], False),
        ([promote("B"), promote("A", 5.0), report("1", "A"), promote("A"), rejection("1", "A")], True),
    ],
)
def test_version_is_rejected_when_no_worker_accepts_its_promotion(
    contents: list[RoleChange | WorkerReport], is_rejected: bool
) -> None:
    registry = fold(entries(*contents, promote("C")))
    assert registry.is_rejected("A") is is_rejected
    assert ("A" in registry.returnable()) is (not is_rejected)


@pytest.mark.parametrize(("percent", "lowest", "highest"), [(100.0, 10_000, 10_000), (5.0, 400, 600), (0.01, 0, 6)])
def test_canary_takes_its_share_of_the_keys(percent: float, lowest: int, highest: int) -> None:
    canary = Canary("B", percent)
    taken = {key for key in range(10_000) if canary.takes(str(key).encode())}
    assert lowest <= len(taken) <= highest
    if percent < 100:
        larger = Canary("B", percent * 2)
        assert all(larger.takes(str(key).encode()) for key in taken)


def test_fold_of_nothing_is_empty() -> None:
    assert fold([]) == Registry()
