"""Models for the roles of the topic: loads the versions, lets candidates pass the gate, and keeps what may serve."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from telco_stream.contract.events import Event
from telco_stream.errors import ModelError, TelcoStreamError
from telco_stream.model.artifact import BASELINE, GOLDEN, load_requested, manifest_of
from telco_stream.model.golden import golden_events
from telco_stream.model.reasons.files import SENTENCES
from telco_stream.model.reasons.request import ReasonRequest
from telco_stream.model.reasons.sentences import Sentences, read_sentences
from telco_stream.model.scorer import Scorer, ScoringError, call_model
from telco_stream.model.serving import CanaryModel, ServingModels
from telco_stream.registry.gate import GateLimits, compare, measure
from telco_stream.registry.records import Role
from telco_stream.registry.roles import Published, Registry
from telco_stream.registry.topic import missing_archive
from telco_stream.runtime.choices import Engine

#: Reads the files of an archive; raises ModelError if they can't be used.
ReadFiles: TypeAlias = Callable[[Published], Mapping[str, bytes]]

#: Newest events on which a candidate is judged alone; with fewer, golden rows are added.
_ENOUGH_EVENTS = 1_000
_NEVER_ACCEPTED = "no worker accepted it when it was promoted"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Decision about a version that was given a role; `reason` says why it was rejected."""

    version: str
    role: Role
    reason: str | None


@dataclass(frozen=True, slots=True)
class _Decision:
    """Role change that gave a version its role: its offset and time, and whether it promoted the version."""

    offset: int
    time: int
    is_promotion: bool


@dataclass(frozen=True, slots=True)
class _Loaded:
    """Model of a version with the events of its golden rows, its baseline, and the sentences of its reasons."""

    sha256: str
    scorer: Scorer
    created_at: str
    golden: Sequence[Event]
    baseline: bytes | None
    sentences: Mapping[str, Sentences]


class Candidates:
    """Models of the versions that hold a role in the topic, as far as they may serve."""

    def __init__(
        self, read_files: ReadFiles, engine: Engine, limits: GateLimits, reasons: ReasonRequest | None = None
    ) -> None:
        """If `reasons` are requested, models without them are rejected."""
        self._read_files = read_files
        self._engine = engine
        self._reasons = reasons
        self._limits = limits
        self._loaded: dict[str, _Loaded] = {}
        #: Reason to reject by role change and archive, None if it was accepted.
        self._rejections: dict[tuple[Role, int, str | None], str | None] = {}
        self._current: _Loaded | None = None
        #: Verdicts that were not taken yet.
        self._verdicts: list[Verdict] = []

    def take_verdicts(self) -> list[Verdict]:
        """Return the verdicts since the last call."""
        verdicts, self._verdicts = self._verdicts, []
        return verdicts

    def select(self, registry: Registry, recent: Sequence[Event] = ()) -> ServingModels | None:
        """Return the models for the roles, with the newest events for the gate; None if no version can serve.

        A version that is rejected leaves its role to the model before. Raises `KafkaError` if an archive can't be read.
        """
        roles = registry.roles
        if roles.serving is None:
            return None if self._current is None else _alone(self._current)
        previous = self._load_previous(registry)
        reference = self._model_before(registry, previous)
        serving = self._accepted(registry, "serving", roles.serving, reference, recent)
        self._current = serving or reference
        if self._current is None:
            return None
        models = _alone(self._current)
        decision = _decision(registry, "serving", roles.serving)
        is_on_trial = serving is not None and decision.is_promotion
        if is_on_trial and previous is not None and previous is not serving:
            fallbacks, promotions = {roles.serving: _alone(previous)}, {roles.serving: decision}
            models = replace(models, fallbacks=fallbacks, promotions=promotions)
        models = self._with_others(registry, models, recent)
        self._forget(registry)
        return models

    def _with_others(self, registry: Registry, models: ServingModels, recent: Sequence[Event]) -> ServingModels:
        """Add canary and shadow."""
        roles, current = registry.roles, self._current
        if roles.canary is not None and (
            canary := self._accepted(registry, "canary", roles.canary.version, current, recent)
        ):
            version = roles.canary.version
            fallbacks = {**models.fallbacks, version: models}
            promotions = {**models.promotions, version: _decision(registry, "canary", version)}
            model = CanaryModel(canary.scorer, roles.canary.takes)
            models = replace(models, canary=model, fallbacks=fallbacks, promotions=promotions)
        if roles.shadow is not None and (shadow := self._accepted(registry, "shadow", roles.shadow, current, recent)):
            models = replace(models, shadow=shadow.scorer)
        return models

    def _model_before(self, registry: Registry, previous: _Loaded | None) -> _Loaded | None:
        """Return the model that serves here, or the previous one if that has been rolled back."""
        roles, current = registry.roles, self._current
        is_held = current is not None and current.scorer.version in {roles.serving, *roles.previous}
        return current if is_held else previous or current

    def _load_previous(self, registry: Registry) -> _Loaded | None:
        """Return the version that served before, to which a rollback returns, if it can be loaded."""
        if not (versions := registry.returnable()):
            return None
        try:
            return self._load(registry, versions[-1])
        except ModelError:
            return None

    def _accepted(
        self, registry: Registry, role: Role, version: str, reference: _Loaded | None, recent: Sequence[Event]
    ) -> _Loaded | None:
        """Return the model of a version, or None if it was or is rejected for this role."""
        decision, archive = _decision(registry, role, version), registry.archive_of(version)
        key = (role, decision.offset, archive.sha256 if archive else None)
        if key not in self._rejections:
            self._rejections[key] = self._examine(registry, version, decision, reference, recent)
            self._verdicts.append(Verdict(version, role, self._rejections[key]))
        return self._load(registry, version) if self._rejections[key] is None else None

    def _examine(
        self,
        registry: Registry,
        version: str,
        decision: _Decision,
        reference: _Loaded | None,
        recent: Sequence[Event],
    ) -> str | None:
        """Return why a version is rejected, or None.

        A version that serves again after a rollback is not compared with the model that was rolled back, but rejected
        if no worker accepted its promotion. The first version has no model to be compared with, and none that could
        answer instead: it is not timed either, since a busy machine would keep a process from starting.
        """
        try:
            candidate = self._load(registry, version)
        except ModelError as error:
            return str(error)
        serving = self._current or reference
        if serving and candidate.scorer.codec.contract != serving.scorer.codec.contract:
            return "its contract is not that of the serving model: publish it to another topic of models"
        if reference is None or reference is candidate:
            return None
        if not decision.is_promotion:
            return _NEVER_ACCEPTED if registry.is_rejected(version) else None
        events = recent if len(recent) >= _ENOUGH_EVENTS else [*recent, *reference.golden, *candidate.golden]
        if not events:
            return None
        return compare(reference.scorer, candidate.scorer, events, self._limits) or measure(
            candidate.scorer, events, time.perf_counter, self._limits
        )

    def _load(self, registry: Registry, version: str) -> _Loaded:
        """Return the model of a version; raise `ModelError` if it can't be used here."""
        if (archive := registry.archive_of(version)) is None:
            raise missing_archive(version)
        if (loaded := self._loaded.get(version)) is None or loaded.sha256 != archive.sha256:
            files = self._read_files(archive)
            try:
                loaded = call_model("loading", lambda _: self._load_files(files, archive), ())
            except ScoringError as error:  # a damaged file may raise anything in the library that reads it
                cause = error.__cause__
                raise ModelError(str(cause) if isinstance(cause, TelcoStreamError) else error.reason) from error
            self._loaded[version] = loaded
        return loaded

    def _load_files(self, files: Mapping[str, bytes], archive: Published) -> _Loaded:
        """Load a model and score its golden rows, which warms up its session: the first call is slow."""
        version = archive.version
        scorer = load_requested(files, version, self._engine, self._reasons)
        manifest = manifest_of(files, version)
        if manifest.model_version != version:
            raise ModelError(f"The archive of {version} has the manifest of another version")
        golden = golden_events(files[GOLDEN], scorer.codec.events) if GOLDEN in files else []
        sentences = read_sentences(files.get(SENTENCES), scorer.codec.contract) if self._reasons else {}
        return _Loaded(archive.sha256, scorer, manifest.created_at, golden, files.get(BASELINE), sentences)

    def _forget(self, registry: Registry) -> None:
        """Drop models without a role, except the one before, and the reasons of earlier role changes."""
        kept = {*registry.roles.in_use, *registry.returnable()[-1:]}
        self._loaded = {
            version: loaded for version, loaded in self._loaded.items() if version in kept or loaded is self._current
        }
        offsets = {
            _decision(registry, role, version).offset
            for version in registry.roles.in_use
            if (role := registry.roles.role_of(version))
        }
        self._rejections = {key: reason for key, reason in self._rejections.items() if key[1] in offsets}


def _alone(loaded: _Loaded) -> ServingModels:
    return ServingModels(
        loaded.scorer, created_at=loaded.created_at, baseline=loaded.baseline, sentences=loaded.sentences
    )


def _decision(registry: Registry, role: Role, version: str) -> _Decision:
    """Return the newest effective role change that gave the version its role."""
    for applied in reversed(registry.history):
        change = applied.change
        if not applied.effective or change.role != role:
            continue
        if change.action == "promote" and change.version == version:
            return _Decision(applied.offset, applied.time, is_promotion=True)
        # Another rollback may have ended no role, but that a version can be returned to.
        if change.action == "rollback" and role == "serving" and registry.since[version] == applied.offset:
            return _Decision(applied.offset, applied.time, is_promotion=False)
    return _Decision(-1, -1, is_promotion=False)
