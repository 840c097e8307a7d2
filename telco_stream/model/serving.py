"""Models that answer in a run, and their replacement between two batches.

The loop asks `Models.current` once per batch, so that a batch has one set of models. Another thread may set
`Models.serving` at any time; the new models answer from the next batch on.
"""

import math
from collections import deque
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from telco_stream.contract.events import Event
from telco_stream.model.reasons.sentences import Sentences
from telco_stream.model.scorer import Scorer

#: Failures below this number never end a trial: a few bad records say nothing about a model.
_MIN_FAILURES = 5
#: Standard deviations below the limit's expected failures that end a trial: a model that fails as often as the limit
#: allows has fewer in 2 of 100 batches.
_DEVIATIONS = 2


@dataclass(frozen=True, slots=True)
class VersionCounts:
    """Records that a version has answered by a prediction, and those for which it has failed or has no probability."""

    predicted: int
    failed: int


@dataclass(frozen=True, slots=True)
class CanaryModel:
    """Model that answers for the keys that `takes` accepts."""

    scorer: Scorer
    takes: Callable[[bytes], bool]


@dataclass(frozen=True, slots=True)
class ServingModels:
    """Models of one batch, which share a contract; `shadow` scores it too, but does not answer."""

    scorer: Scorer
    canary: CanaryModel | None = None
    shadow: Scorer | None = None
    #: Time at which the serving model was trained (RFC 3339).
    created_at: str | None = None
    #: Content of its `baseline.json`, if it has one.
    baseline: bytes | None = None
    #: What its `reasons.json` says about each feature; empty unless reasons are asked for.
    sentences: Mapping[str, Sentences] = field(default_factory=dict)
    #: Models that answer instead if a version fails too often in its trial, by that version.
    fallbacks: Mapping[str, "ServingModels"] = field(default_factory=dict)
    #: Promotion that began the trial of a version in `fallbacks`: a later one begins another trial.
    promotions: Mapping[str, Hashable] = field(default_factory=dict)

    @property
    def by_role(self) -> dict[str, Scorer]:
        """Models by role: serving, and canary and shadow if there are any."""
        canary = self.canary.scorer if self.canary else None
        roles = {"serving": self.scorer, "canary": canary, "shadow": self.shadow}
        return {role: scorer for role, scorer in roles.items() if scorer is not None}

    def wrap(self, wrap: Callable[[Scorer], Scorer]) -> "ServingModels":
        """Return the same models with each scorer wrapped that answers."""
        canary = self.canary and replace(self.canary, scorer=wrap(self.canary.scorer))
        fallbacks = {version: fallback.wrap(wrap) for version, fallback in self.fallbacks.items()}
        return replace(self, scorer=wrap(self.scorer), canary=canary, fallbacks=fallbacks)


@dataclass(frozen=True, slots=True)
class Trial:
    """Limits for a model that was promoted while records were being answered."""

    #: Number of its first records that are counted.
    records: int = 100_000
    #: Share of failed records from which on the model is rolled back.
    max_failures: float = 0.01


class Models:
    """Models of a run. Only the loop calls the methods; any thread may set `serving`."""

    def __init__(self, serving: ServingModels, trial: Trial = Trial(), recent: int = 0) -> None:
        """Begin with these models, and keep references to the events of the `recent` newest predictions."""
        #: Models that answer from the next batch on.
        self.serving = serving
        #: Wraps each scorer that answers, for example to time its calls.
        self.wrap: Callable[[Scorer], Scorer] = lambda scorer: scorer
        #: Called with a version and the reason when its fallback has replaced it.
        self.on_rollback: Callable[[str, str], None] = lambda _version, _reason: None
        #: Candidates that were rejected, and versions that were rolled back, by this process.
        self.rejected = self.rolled_back = 0
        self._trial = trial
        self._source: ServingModels | None = None
        self._active = serving
        self._counts: dict[str, VersionCounts] = {}
        #: Versions and promotions whose trial has ended with a rollback.
        self._failed: set[tuple[str, Hashable]] = set()
        self._recent: deque[Event] = deque(maxlen=recent)

    @property
    def recent(self) -> list[Event]:
        """Events of the newest predictions; safe to read from any thread."""
        return list(self._recent)  # copied in C code, which no other thread interrupts

    @property
    def is_followed(self) -> bool:
        """Whether another thread replaces the models."""
        return bool(self._recent.maxlen)

    def versions(self) -> dict[str, str]:
        """Return the followed versions by role; empty for a fixed model."""
        if not self.is_followed:
            return {}
        return {role: scorer.version for role, scorer in self.active.by_role.items()}

    def sentences(self) -> Mapping[str, Sentences]:
        """Return the sentences about the features; empty unless reasons are asked for."""
        return self.active.sentences

    @property
    def active(self) -> ServingModels:
        """Models of the newest batch; safe to read from any thread."""
        return self._active

    def current(self) -> ServingModels:
        """Return the models for the next batch."""
        if (serving := self.serving) is not self._source:
            self._source, self._active = serving, self._without_failed(serving).wrap(self.wrap)
            self._counts = {
                version: self._counts.get(version, VersionCounts(0, 0)) for version in self._active.fallbacks
            }
        return self._active

    def on_answered(self, events: Sequence[Event]) -> None:
        """Keep the events of a batch's predictions."""
        if self.is_followed:
            self._recent.extend(events)

    def on_scored(self, answered: Mapping[str, VersionCounts]) -> str | None:
        """Count a batch; return the version on trial that has failed too often and has a fallback, or None."""
        for version, before in self._counts.items():
            batch = answered.get(version, VersionCounts(0, 0))
            counts = VersionCounts(before.predicted + batch.predicted, before.failed + batch.failed)
            is_on_trial = before.predicted + before.failed < self._trial.records
            if not is_on_trial:
                continue
            self._counts[version] = counts
            if batch.failed and self._exceeds_limit(counts):
                return version
        return None

    def roll_back(self, version: str) -> None:
        """Let the fallback of this version answer until another promotion gives it a role."""
        counts = self._counts[version]
        total = counts.predicted + counts.failed
        self._failed.add((version, self._active.promotions.get(version)))
        self._active = self._active.fallbacks[version]
        self._counts = {
            version: counts for version, counts in self._counts.items() if version in self._active.fallbacks
        }
        self.rolled_back += 1
        self.on_rollback(version, f"it failed on {counts.failed} of its first {total} records")

    def _without_failed(self, models: ServingModels) -> ServingModels:
        """Return the fallbacks of versions that were rolled back: their roles end when the topic has the rollback."""
        for version, fallback in models.fallbacks.items():
            if (version, models.promotions.get(version)) in self._failed:
                return self._without_failed(fallback)
        return models

    def _exceeds_limit(self, counts: VersionCounts) -> bool:
        """Return whether the failures are as many as those of a model that fails at the limit, within chance."""
        limit = self._trial.max_failures
        expected = limit * (counts.predicted + counts.failed)
        return counts.failed >= max(_MIN_FAILURES, expected - _DEVIATIONS * math.sqrt(expected * (1 - limit)))
