"""What `consume --reasons` asks for, and the fields that predictions get from it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from msgspec import UNSET

from telco_stream.contract.events import EventBatch
from telco_stream.messages.prediction import APPROXIMATE, BASE, REASONS
from telco_stream.model.scorer import Scorer
from telco_stream.runtime.choices import Baseline


@dataclass(frozen=True, slots=True)
class ReasonRequest:
    """Number of reasons of a prediction, whether only flagged ones have any, and whether to repeat the values.

    They are relative to the `baseline`, and exact or `approximate`.
    """

    count: int
    flagged_only: bool = False
    with_values: bool = False
    baseline: Baseline = "all"
    approximate: bool = False

    def fields(self, scorer: Scorer, events: EventBatch, probabilities: Sequence[float]) -> dict[str, list[Any]]:
        """Return the fields of the reasons for each event; none if the scorer has no reasons.

        Raise ScoringError if the model fails.
        """
        explainer = scorer.explainer
        if explainer is None:
            return {}
        rows = self._rows(scorer, probabilities)
        if not rows:
            return {}
        if len(rows) == len(events):
            of_all = explainer.reasons_to_send(events, self.count, with_values=self.with_values)
            fields: dict[str, list[Any]] = {BASE: [explainer.base] * len(events), REASONS: of_all}
        else:
            fields = {BASE: [UNSET] * len(events), REASONS: [UNSET] * len(events)}
            found = explainer.reasons_to_send(events, self.count, with_values=self.with_values, rows=rows)
            for row, reasons in zip(rows, found, strict=True):
                fields[BASE][row], fields[REASONS][row] = explainer.base, reasons
        if explainer.is_approximate:
            fields[APPROXIMATE] = [UNSET if base is UNSET else True for base in fields[BASE]]
        return fields

    def _rows(self, scorer: Scorer, probabilities: Sequence[float]) -> Sequence[int]:
        """Return the positions of the events that get reasons: not of those without a probability, which is NaN."""
        if not self.flagged_only and not math.isnan(sum(probabilities)):
            return range(len(probabilities))
        lowest = scorer.threshold if self.flagged_only else 0.0
        return [row for row, probability in enumerate(probabilities) if probability >= lowest]
