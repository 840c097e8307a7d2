"""Scoring of events in batches."""

from collections.abc import Sequence

from telco_stream.contract.events import Event
from telco_stream.model.scorer import Scorer


def score_in_batches(scorer: Scorer, events: Sequence[Event], size: int) -> list[float]:
    parts = [scorer.score(events[start : start + size]) for start in range(0, len(events), size)]
    return [score for part in parts for score in part]
