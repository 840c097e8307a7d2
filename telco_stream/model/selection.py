"""Choice among models: the one with the lowest log loss on held-out rows whose compiled form is equal."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.pipeline import Pipeline

from telco_stream.contract.events import Event
from telco_stream.messages.codec import Codec
from telco_stream.model.compilation import Compiled, compile_if_equal
from telco_stream.model.evaluation import FOLDS, REPEATS, Floats, Labels, cross_validate, measure
from telco_stream.model.labelled import ReportStage
from telco_stream.model.manifest import Candidate, Metrics
from telco_stream.model.pipelines import Variant
from telco_stream.model.sklearn_engine import adapt


@dataclass(frozen=True, slots=True)
class TrainingRows:
    """Labelled events, and the data frame that pipelines are fitted to."""

    codec: Codec
    events: Sequence[Event]
    features: pd.DataFrame
    positive: Labels
    seed: int

    def cross_validate(self, variant: Variant, repeats: Sequence[int], progress: ReportStage, stage: str) -> Floats:
        """Return out-of-fold probabilities as [repeats, rows]; report the number of each fold."""
        folds, done = FOLDS * len(repeats), iter(range(FOLDS * len(repeats)))
        probabilities = cross_validate(
            partial(variant.build, self.codec),
            self.features,
            self.positive,
            [self.seed + repeat for repeat in repeats],
            lambda: progress(stage, next(done), folds),
        )
        progress(stage, folds, folds)
        return probabilities


@dataclass(frozen=True, slots=True)
class Selected:
    """Kept model, fitted to all rows; its compiled form; its out-of-fold probabilities; and all models tried."""

    pipeline: Pipeline
    compiled: Compiled
    probabilities: Floats
    positive: Labels
    candidates: tuple[Candidate, ...]

    def metrics(self, threshold: float) -> Metrics:
        """Return the quality of the model on rows that it was not fitted to."""
        return measure(self.probabilities, self.positive, threshold)


@dataclass(frozen=True, slots=True)
class _Fit:
    variant: Variant
    pipeline: Pipeline
    compiled: Compiled


def select_model(rows: TrainingRows, candidates: Sequence[Sequence[Variant]], progress: ReportStage) -> Selected:
    """Try the candidates, best first, and the variants of each until the compiled form of one is equal.

    If none is, keep the best one without a compiled form. Candidates are compared by the first repeat of the
    cross-validation, and the kept one is evaluated by all repeats.
    """
    first = {
        variants[0]: rows.cross_validate(variants[0], [0], progress, f"trying the {variants[0].name} model")
        for variants in candidates
        if len(candidates) > 1
    }
    ranked = sorted(candidates, key=lambda variants: _log_loss(rows, first.get(variants[0])))
    fits = _fit_until_equal(rows, [variant for variants in ranked for variant in variants], progress)
    kept = fits[-1] if fits[-1].compiled.refused is None else fits[0]
    known = list(first.get(kept.variant, []))
    repeats = range(len(known), REPEATS)
    probabilities = np.array([*known, *rows.cross_validate(kept.variant, repeats, progress, "cross-validating")])
    first[kept.variant] = probabilities[:1]
    tried: dict[Variant, _Fit] = {fit.variant: fit for fit in fits}
    described = [_describe(rows, variant, first.get(variant), tried.get(variant), kept) for variant in tried | first]
    return Selected(kept.pipeline, kept.compiled, probabilities, rows.positive, tuple(described))


def _fit_until_equal(rows: TrainingRows, variants: Sequence[Variant], progress: ReportStage) -> list[_Fit]:
    """Fit the variants to all rows and compile them, until a compiled form is equal to the original."""
    fits: list[_Fit] = []
    for variant in variants:
        progress("fitting", 0, 1)
        pipeline = variant.build(rows.codec).fit(rows.features, rows.positive)
        adapt(pipeline, rows.codec)
        progress("compiling", 0, 1)
        fits.append(_Fit(variant, pipeline, compile_if_equal(pipeline, rows.codec, rows.events, seed=rows.seed)))
        if fits[-1].compiled.refused is None:
            break
    return fits


def _log_loss(rows: TrainingRows, probabilities: Floats | None) -> float:
    return 0.0 if probabilities is None else float(log_loss(rows.positive, probabilities[0]))


def _describe(
    rows: TrainingRows, variant: Variant, probabilities: Floats | None, fit: _Fit | None, kept: _Fit
) -> Candidate:
    is_measured = probabilities is not None
    return Candidate(
        name=variant.name,
        settings=variant.settings,
        kept=variant is kept.variant,
        log_loss=_log_loss(rows, probabilities) if is_measured else None,
        roc_auc=float(roc_auc_score(rows.positive, probabilities[0])) if probabilities is not None else None,
        max_difference=fit.compiled.max_difference if fit else None,
        refused=fit.compiled.refused if fit else None,
    )
