"""The gate: why a candidate is rejected, and which models the roles of the topic lead to."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from telco_stream.contract.events import Event
from telco_stream.errors import KafkaError, ModelError
from telco_stream.model.artifact import load_files, read_folder
from telco_stream.model.reasons.request import ReasonRequest
from telco_stream.model.serving import Models, ServingModels, VersionCounts
from telco_stream.registry.archive import pack, unpack
from telco_stream.registry.candidates import Candidates
from telco_stream.registry.gate import GateLimits, Scores, compare, judge, measure
from telco_stream.registry.records import Entry, Publication, RoleChange, WorkerReport
from telco_stream.registry.roles import Published, Registry, fold
from tests.support.model_folder import COMMITTED
from tests.support.model_variants import variant
from tests.support.records import RuleScorer, good
from tests.support.telco import CODEC

NAN = math.nan
#: Wider than a busy machine needs, far below the slow model.
LIMITS = GateLimits(microseconds=400.0)
EVENTS = [CODEC.events.decode(good(tenure=number % 73, MonthlyCharges=20 + number % 80)) for number in range(1_000)]


@pytest.mark.parametrize(
    ("after", "reason"),
    [
        ([0.2, 0.2, 0.8, 0.8], None),
        ([0.2, 0.2, 0.8, NAN], "it fails on 1 of 4 events"),
        ([0.2, 0.6, 0.8, 0.8], "it changes 1 of 4 decisions"),
        ([0.4, 0.4, 0.9, 0.9], "its mean probability differs by +0.150"),
        ([0.0, 0.0, 0.7, 0.7], "its mean probability differs by -0.150"),
    ],
)
def test_judge_rejects_scores_beyond_a_limit(after: Sequence[float], reason: str | None) -> None:
    found = judge(Scores([0.2, 0.2, 0.8, 0.8], 0.5), Scores(after, 0.5), GateLimits())
    assert (found is None) if reason is None else (found or "").startswith(reason)


def test_judge_accepts_scores_at_the_limits() -> None:
    limits = GateLimits(failures=0.25, changed_decisions=1 / 3, shift=0.5)
    assert judge(Scores([0.2] * 4, 0.5), Scores([0.6, 0.2, 0.2, NAN], 0.5), limits) is None


def test_judge_ignores_events_on_which_both_fail() -> None:
    assert judge(Scores([NAN, 0.2], 0.5), Scores([NAN, 0.2], 0.5), GateLimits()) is None


def test_judge_uses_the_threshold_of_each_model() -> None:
    assert judge(Scores([0.4] * 2, 0.5), Scores([0.4] * 2, 0.3), GateLimits()) is not None


def test_compare_stops_early_when_most_events_fail() -> None:
    candidate = RuleScorer(explode)
    assert compare(RuleScorer(), candidate, EVENTS, GateLimits(failures=1.0)) is None
    candidate.calls.clear()
    reason = compare(RuleScorer(), candidate, EVENTS * 3, GateLimits())
    assert reason == "it fails on 2000 of the first 2000 events"
    assert max(candidate.calls) == 500


def test_measure_takes_the_fastest_of_several_calls() -> None:
    times = iter([0.0, 1.0, 1.0, 1.05, 2.0, 4.0])
    assert measure(RuleScorer(), EVENTS[:3], lambda: next(times), GateLimits(microseconds=101)) is None
    times = iter([0.0, 1.0, 1.0, 1.05, 2.0, 4.0])
    reason = measure(RuleScorer(), EVENTS[:3], lambda: next(times), GateLimits(microseconds=99))
    assert reason == "it takes 100 µs per event in blocks of 500, more than 99"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("contract", "its contract"),
        ("golden rows", "other probabilities than where it was made"),
        ("fails", "it fails on"),
        ("no probability", "it fails on"),
        ("slow", "µs per event"),
        ("shifted", "decisions"),
        ("always yes", "decisions"),
    ],
)
def test_candidates_reject_a_bad_model_and_keep_the_current(change: str, reason: str) -> None:
    topic = FakeTopic(a="equal", bad=change)
    assert version(topic.promote("a")) == "a"
    models = topic.promote("bad")
    assert (version(models), models.fallbacks) == ("a", {})
    (verdict,) = topic.candidates.take_verdicts()[1:]
    assert (verdict.version, verdict.role) == ("bad", "serving")
    assert reason in (verdict.reason or "")


def test_candidates_reject_a_damaged_archive() -> None:
    topic = FakeTopic(a="equal", b="equal")
    topic.promote("a")
    topic.archives["b"] = topic.archives["b"][:-100]
    assert version(topic.promote("b")) == "a"
    assert topic.reasons()[1].startswith("The archive")


def test_candidates_reject_the_archive_of_another_version() -> None:
    topic = FakeTopic(a="equal", b="equal")
    topic.archives["b"] = topic.archives["a"]
    topic.promote("a")
    assert version(topic.promote("b")) == "a"
    assert topic.reasons()[1] == "The archive of b has the manifest of another version"


def test_candidates_reject_sentences_that_cannot_be_read() -> None:
    """If reasons are asked for, since the live view shows them."""
    topic, files = FakeTopic(a="equal", b="equal"), read_folder(COMMITTED)
    for name, sentences in (("a", files["reasons.json"]), ("b", b"{")):
        manifest = json.loads(files["manifest.json"]) | {"model_version": name}
        changed = {"manifest.json": json.dumps(manifest).encode(), "reasons.json": sentences}
        topic.archives[name] = pack(files | changed)
    assert topic.promote("a").sentences == {}
    assert version(topic.promote("b")) == "b"
    with_reasons = Candidates(topic.read, "auto", LIMITS, ReasonRequest(1))
    models = with_reasons.select(topic.registry)
    assert models is not None
    assert (version(models), models.sentences["tenure"].raises) == ("a", "tenure raises the probability.")
    assert "reasons.json has another form" in (with_reasons.take_verdicts()[0].reason or "")


def test_candidates_reject_a_bad_model_without_records_by_golden_rows() -> None:
    topic = FakeTopic(a="equal", bad="always yes")
    topic.promote("a")
    topic.promote("bad")
    restarted = Candidates(topic.read, "auto", LIMITS)
    models = restarted.select(topic.registry)
    assert models is not None
    assert version(models) == "a", "a restarted worker answers like the others"
    assert [verdict.reason is None for verdict in restarted.take_verdicts()] == [False]


@pytest.mark.parametrize(("recent", "judged"), [(0, 400), (3, 403), (999, 1_399), (1_000, 1_000)])
def test_candidates_add_golden_rows_to_few_recent_events(recent: int, judged: int) -> None:
    """Both models have 200."""
    topic = FakeTopic(a="equal", bad="always yes")
    topic.promote("a")
    topic.recent = EVENTS[:recent]
    topic.promote("bad")
    assert f" of {judged} decisions" in topic.reasons()[1]


def test_candidates_accept_a_slow_model_before_any_has_served() -> None:
    """No other model could answer instead, and a busy machine makes each model slow."""
    topic = FakeTopic(slow="slow")
    topic.promote("slow")
    assert topic.reasons() == [""]


def test_candidates_put_a_promoted_version_on_trial() -> None:
    topic = FakeTopic(a="equal", b="close")
    assert topic.promote("a").fallbacks == {}
    models = topic.promote("b")
    assert {name: version(fallback) for name, fallback in models.fallbacks.items()} == {"b": "a"}
    models = topic.roll_back("b")
    assert (version(models), models.fallbacks) == ("a", {}), "a version that serves again is not on trial"


def test_candidates_accept_a_rollback_from_a_very_different_model() -> None:
    topic = FakeTopic(GateLimits(changed_decisions=1, shift=1), a="equal", b="always yes")
    topic.promote("a")
    assert version(topic.promote("b")) == "b"
    topic.candidates._limits = LIMITS
    assert version(topic.roll_back("b")) == "a"
    assert topic.reasons() == ["", "", ""]


def test_version_promoted_before_a_rollback_was_written_stays_on_trial() -> None:
    """It falls back to the version before the one that has failed."""
    topic = FakeTopic(a="equal", failing="close", c="close")
    topic.promote("a")
    topic.promote("failing")
    models = topic.promote("c")
    assert {name: version(fallback) for name, fallback in models.fallbacks.items()} == {"c": "failing"}
    after = topic.roll_back("failing")
    assert (version(after), after.promotions) == ("c", models.promotions)
    assert {name: version(fallback) for name, fallback in after.fallbacks.items()} == {"c": "a"}
    assert version(topic.roll_back("c")) == "a"
    assert topic.reasons() == ["", "", "", ""], "the last one is about a, which serves again"


def test_version_rolled_back_does_not_serve_when_the_next_is_rejected() -> None:
    topic = FakeTopic(a="equal", failing="close", bad="always yes")
    topic.promote("a")
    topic.promote("failing")
    assert version(topic.promote("bad")) == "failing"
    assert version(topic.roll_back("failing")) == "a"


def test_no_rollback_returns_to_a_version_that_all_workers_rejected() -> None:
    """Neither in the loop nor by a record, and a restarted worker answers like the others."""
    topic = FakeTopic(a="equal", bad="always yes", c="close")
    topic.promote("a")
    topic.promote("bad")
    topic.report("1", "bad", accepted=False)
    models = topic.promote("c")
    assert {name: version(fallback) for name, fallback in models.fallbacks.items()} == {"c": "a"}
    topic.report("1", "c", accepted=True)
    assert version(topic.roll_back("c")) == "a"
    assert (topic.registry.roles.serving, topic.registry.roles.previous) == ("bad", ("a",))
    assert topic.reasons()[-1] == "no worker accepted it when it was promoted"
    topic.candidates = Candidates(topic.read, "auto", LIMITS)
    assert version(topic.select()) == "a"


def test_rollback_returns_to_a_version_that_one_worker_accepted() -> None:
    topic = FakeTopic(a="equal", b="close", c="close")
    topic.promote("a")
    topic.promote("b")
    topic.report("1", "b", accepted=False)
    topic.report("2", "b", accepted=True)
    topic.promote("c")
    assert version(topic.roll_back("c")) == "b"


def test_candidates_give_canary_and_shadow_their_roles() -> None:
    topic = FakeTopic(a="equal", b="close", c="close")
    topic.promote("a")
    topic.promote("b", "canary", 50.0)
    models = topic.promote("c", "shadow")
    assert {role: scorer.version for role, scorer in models.by_role.items()} == {
        "serving": "a",
        "canary": "b",
        "shadow": "c",
    }
    assert models.canary is not None
    assert 0 < sum(models.canary.takes(str(number).encode()) for number in range(100)) < 100
    assert version(models.fallbacks["b"]) == "a"
    assert models.fallbacks["b"].canary is None
    models = topic.roll_back("b", "canary")
    assert set(models.by_role) == {"serving", "shadow"}


def test_candidates_keep_serving_when_a_canary_is_rejected() -> None:
    topic = FakeTopic(a="equal", bad="shifted")
    topic.promote("a")
    assert set(topic.promote("bad", "canary", 5.0).by_role) == {"serving"}
    assert set(topic.promote("bad", "shadow").by_role) == {"serving"}
    assert [bool(reason) for reason in topic.reasons()] == [False, True, True]


def test_candidates_judge_a_role_change_once() -> None:
    topic = FakeTopic(a="equal", bad="shifted")
    topic.promote("a")
    topic.promote("bad")
    reads = topic.reads
    topic.select()
    assert (topic.reads, len(topic.reasons())) == (reads, 2)


def test_candidates_select_again_when_an_archive_could_not_be_read() -> None:
    topic = FakeTopic(a="equal", b="close")
    topic.promote("a")
    topic.is_away = True
    with pytest.raises(KafkaError):
        topic.promote("b")
    topic.is_away = False
    assert version(topic.select()) == "b"


def test_candidates_accept_an_archive_that_arrives_after_its_promotion() -> None:
    topic = FakeTopic(a="equal", b="close")
    topic.promote("a")
    assert version(topic.promote("b", sha256="b" * 64)) == "a"
    assert version(topic.publish("b")) == "b"


def test_candidates_select_none_before_the_first_promotion() -> None:
    topic = FakeTopic(a="equal")
    assert topic.candidates.select(topic.registry) is None


def test_version_rolled_back_by_the_loop_answers_only_after_another_promotion() -> None:
    """Other records may come before that of the rollback; a canary is rolled back like a serving version."""
    topic = FakeTopic(a="equal", b="close", c="close", d="close")
    topic.promote("a")
    models = Models(topic.promote("b"))
    assert version(rolled_back(models, "b")) == "a"
    models.serving = topic.publish("d")
    assert version(models.current()) == "a"
    models.serving = topic.promote("c", "shadow")
    assert version(models.current()) == "a"
    topic.roll_back("b")
    models.serving = topic.promote("b")
    assert version(models.current()) == "b", "a new trial, although the loop has not seen the rollback"
    models.serving = topic.promote("c", "canary", 50.0)
    assert rolled_back(models, "c").canary is None
    models.serving = topic.select()
    assert (version(models.current()), models.current().canary) == ("b", None)


def test_candidates_forget_versions_without_a_role() -> None:
    topic = FakeTopic(LIMITS, **{f"v{number}": "equal" for number in range(5)})
    for number in range(5):
        topic.promote(f"v{number}")
    assert set(topic.candidates._loaded) == {"v3", "v4"}
    assert len(topic.candidates._rejections) == 1


class FakeTopic:
    """Content of a models topic, with archives of variants by version; its checksums are the versions'."""

    def __init__(self, limits: GateLimits = LIMITS, **changes: str) -> None:
        self.archives = {name: pack(variant(name, change)) for name, change in changes.items()}
        self.candidates = Candidates(self.read, "auto", limits)
        self.registry = Registry()
        self.recent: Sequence[Event] = EVENTS
        self.is_away = False
        self.reads = 0
        self._verdicts: list[str] = []
        for name in changes:
            self._add(Publication(name, b"archive", checksum(name)))

    def read(self, archive: Published) -> Mapping[str, bytes]:
        self.reads += 1
        if self.is_away:
            raise KafkaError("away")
        try:
            return unpack(self.archives[archive.version])
        except ValueError as error:
            raise ModelError(f"The archive of {archive.version} was rejected") from error

    def publish(self, name: str) -> ServingModels:
        self._add(Publication(name, b"archive", "b" * 64))
        return self.select()

    def promote(
        self, name: str, role: Any = "serving", percent: float | None = None, sha256: str | None = None
    ) -> ServingModels:
        self._add(RoleChange("promote", name, sha256 or checksum(name), role, "command", "now", percent))
        return self.select()

    def roll_back(self, name: str, role: Any = "serving") -> ServingModels:
        self._add(RoleChange("rollback", name, checksum(name), role, "command", "now"))
        return self.select()

    def report(self, worker: str, name: str, *, accepted: bool) -> None:
        self._add(WorkerReport(worker, name, accepted, "now", None if accepted else "slow"))

    def select(self) -> ServingModels:
        models = self.candidates.select(self.registry, self.recent)
        assert models is not None
        return models

    def reasons(self) -> list[str]:
        """Return the reasons so far, empty if a version was accepted."""
        self._verdicts += [verdict.reason or "" for verdict in self.candidates.take_verdicts()]
        return self._verdicts

    def _add(self, content: Publication | RoleChange | WorkerReport) -> None:
        self.registry = fold([Entry(self.offset, 0, content)], self.registry)

    @property
    def offset(self) -> int:
        return len(self.registry.history) + len(self.registry.published) + 1


def rolled_back(models: Models, name: str) -> ServingModels:
    """Let a version fail; return the models that answer after its rollback."""
    models.current()
    assert models.on_scored({name: VersionCounts(0, 100)}) == name
    models.roll_back(name)
    return models.current()


def version(models: ServingModels) -> str:
    return models.scorer.version


def checksum(name: str) -> str:
    return name.encode().hex().ljust(64, "0")


def explode(_event: Event) -> float:
    raise ZeroDivisionError


def test_variants_load() -> None:
    """The changes that only live records show pass the checks of a load."""
    for change in ("fails", "no probability", "slow", "shifted", "always yes"):
        assert load_files(variant("v", change), "v").version == "v"
