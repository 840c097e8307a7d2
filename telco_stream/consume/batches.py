"""Processing of one batch of `consume`, by the models that serve at its time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from telco_stream.consume.counters import ConsumePlan
from telco_stream.messages.record import Record
from telco_stream.model.serving import Models, ServingModels
from telco_stream.scoring import Outcome, compare_shadow, process


@dataclass(frozen=True, slots=True)
class BatchScorer:
    """Processes batches with models that can change between them."""

    models: Models
    plan: ConsumePlan
    utc_timestamp: Callable[[], str]

    def process(self, records: Sequence[Record], consecutive_before: int) -> Outcome:
        """Process a batch; if a version on trial fails too often, by its fallback, unless that fails as often."""
        outcome = self._process(records, consecutive_before, models := self.models.current())
        failing = self.models.on_scored(outcome.by_version)
        if failing is None:
            return outcome
        answered = self._process(records, consecutive_before, models.fallbacks[failing])
        if answered.failed >= outcome.failed:
            return outcome
        self.models.roll_back(failing)
        return answered

    def compare_shadow(self, outcome: Outcome) -> Outcome:
        """Score a batch with the shadow model, if there is one, while it is being committed.

        The outcome loses its events: only the models keep a number of them.
        """
        self.models.on_answered(outcome.events)
        shadow = self.models.active.shadow
        comparison = None if shadow is None else compare_shadow(shadow, outcome)
        return replace(outcome, events=(), shadow=comparison)

    def _process(self, records: Sequence[Record], consecutive_before: int, models: ServingModels) -> Outcome:
        return process(
            records,
            models.scorer,
            processed_at=self.utc_timestamp(),
            limits=self.plan.limits,
            topic_id=self.plan.topic_id,
            consecutive_before=consecutive_before,
            canary=models.canary,
            holdout=self.plan.holdout,
            reasons=self.plan.reasons,
        )
