"""`model compare`: two models on the same labelled rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from telco_stream.contract.events import Event
from telco_stream.errors import ModelError, UsageError
from telco_stream.model.labelled import LabelledEvents
from telco_stream.model.manifest import Manifest
from telco_stream.model.results import ChangedRow, ComparedModel, ModelComparison
from telco_stream.model.scorer import Scorer, ScoringError

Floats: TypeAlias = NDArray[np.float64]
Booleans: TypeAlias = NDArray[np.bool_]

#: Rows scored at a time.
_BATCH = 5_000


@dataclass(frozen=True, slots=True)
class Contestant:
    """A loaded model, its manifest, and the rows as its contract decodes them."""

    scorer: Scorer
    manifest: Manifest
    data: LabelledEvents


def compare(a: Contestant, b: Contestant, limit: int) -> ModelComparison:
    """Score the same rows with both models; list the `limit` rows with the largest changes.

    Raise `UsageError` if their contracts do not label the rows alike, and `ModelError` if a model fails on a row.
    """
    if a.data.positive != b.data.positive or not a.data.positive:
        raise UsageError(
            "The models can't be compared: the file is empty, or their contracts label its rows differently"
        )
    labels = np.array(a.data.positive)
    before, after = _score(a), _score(b)
    answers = [before >= a.scorer.threshold, after >= b.scorer.threshold]
    changes = after - before
    order = np.argsort(-np.abs(changes), kind="stable")[:limit]
    return ModelComparison(
        rows=len(labels),
        a=_measure(a, before, answers[0], labels),
        b=_measure(b, after, answers[1], labels),
        changed_decisions=int((answers[0] != answers[1]).sum()),
        changed_to_positive=int((~answers[0] & answers[1]).sum()),
        changed_to_negative=int((answers[0] & ~answers[1]).sum()),
        mean_change=float(changes.mean()),
        largest_change=float(np.abs(changes).max()),
        largest=[_row(a, b, before, after, int(row)) for row in order if changes[row]],
    )


def area_under_curve(labels: Booleans, probabilities: Floats) -> float | None:
    """Return the area under the ROC curve, or None if all labels are the same."""
    positives = int(labels.sum())
    pairs = positives * (len(labels) - positives)
    if not pairs:
        return None
    _, places, counts = np.unique(probabilities, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[places]  # equal probabilities share the mean of their ranks
    return float((ranks[labels].sum() - positives * (positives + 1) / 2) / pairs)


def _score(model: Contestant) -> Floats:
    events = model.data.events
    try:
        scores = [_checked(model, events[start : start + _BATCH]) for start in range(0, len(events), _BATCH)]
    except ScoringError as error:
        raise ModelError(f"Model {model.scorer.version} fails on a row of the file: {error.cause}") from error
    return np.concatenate(scores)


def _checked(model: Contestant, events: Sequence[Event]) -> Floats:
    scores = np.array(model.scorer.score(events))
    if not ((scores >= 0) & (scores <= 1)).all():
        raise ModelError(f"Model {model.scorer.version} gives no probability for a row of the file")
    return scores


def _measure(model: Contestant, probabilities: Floats, answers: Booleans, labels: Booleans) -> ComparedModel:
    return ComparedModel(
        version=model.scorer.version,
        threshold=model.scorer.threshold,
        roc_auc=area_under_curve(labels, probabilities),
        brier=float(np.square(probabilities - labels).mean()),
        flagged=int(answers.sum()),
        trained_on_this_file=model.manifest.training_data.sha256 == model.data.sha256,
    )


def _row(a: Contestant, b: Contestant, before: Floats, after: Floats, row: int) -> ChangedRow:
    label = a.scorer.codec.contract.label
    words: Mapping[bool, str] = {True: label.positive, False: label.negative}
    probabilities = float(before[row]), float(after[row])
    answers = words[probabilities[0] >= a.scorer.threshold], words[probabilities[1] >= b.scorer.threshold]
    return ChangedRow(str(a.data.events[row].key), *probabilities, *answers, words[a.data.positive[row]])
