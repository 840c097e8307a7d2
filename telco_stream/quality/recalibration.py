"""One run of `model recalibrate`: fits a calibration to outcomes, and writes the calibrated model as a folder."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, log_loss
from sklearn.model_selection import StratifiedKFold

from telco_stream.contract.schema import Label
from telco_stream.errors import DataError
from telco_stream.kafka.clients import Clients
from telco_stream.model.artifact import (
    BASELINE,
    CALIBRATION,
    CONTRACT,
    GOLDEN,
    MANIFEST,
    PIPELINE,
    check_target,
    checksums,
    load_files,
    manifest_of,
    read_folder,
    write_folder,
)
from telco_stream.model.calibration import (
    CalibratedScorer,
    Calibration,
    Isotonic,
    Platt,
    decode_calibration,
    encode_calibration,
    logit,
)
from telco_stream.model.drift.baseline import decode_baseline, encode_baseline, map_score
from telco_stream.model.evaluation import AUTOMATIC, FOLDS, REPEATS, Floats, Labels, ThresholdRule, measure
from telco_stream.model.golden import make_golden, score_golden
from telco_stream.model.manifest import CalibrationReport, CalibrationTrial, Manifest, Metrics, encode_manifest
from telco_stream.model.scorer import Scorer
from telco_stream.model.training import model_version
from telco_stream.quality.joining import Joined
from telco_stream.quality.results import RecalibrationResult, coverage_advice, describe_unreadable
from telco_stream.quality.run import QualityOptions, join_outcomes
from telco_stream.runtime.signals import Stop

#: Smallest number of outcomes of each value: with fewer, a calibration follows chance.
MIN_OUTCOMES = 50
#: Inverse of the strength of the regularization: it only limits the slope where the outcomes are separated.
_WEAK = 100.0
#: Rise of an isotonic calibration from 0 to 1 where it is constant.
_RISE = 1e-6
_METHOD = (
    f"on outcomes: {REPEATS} x repeated stratified {FOLDS}-fold cross-validation of the calibration of {{}}; each"
    " outcome predicted by calibrations that never saw it"
)
_NO_BETTER = "Neither calibration is better than the model as it is: {} may not be worth publishing"


@dataclass(frozen=True, slots=True)
class RecalibrationOptions:
    """Model folder, the folder to write, which outcomes to fit to, and how to choose the threshold.

    The model version and the contract of `outcomes` are replaced by those of the model.
    """

    folder: Path
    out: Path
    outcomes: QualityOptions
    rule: ThresholdRule = AUTOMATIC
    replace_model: bool = False
    seed: int = 0


def recalibrate(clients: Clients, options: RecalibrationOptions, *, created_at: str, stop: Stop) -> RecalibrationResult:
    """Calibrate a model on the outcomes of its own predictions, and write it to a folder; `created_at` is RFC 3339.

    Raise ModelError if the model cannot be used, DataError if there are too few outcomes, and UsageError if the folder
    cannot be written or holds a model that must not be replaced.
    """
    started = time.perf_counter()
    check_target(options.out, replace_model=options.replace_model)
    files, origin = read_folder(options.folder), str(options.folder)
    manifest, scorer = manifest_of(files, origin), load_files(files, origin)
    contract = scorer.codec.contract
    criteria = replace(options.outcomes.criteria, model_version=manifest.model_version)
    joined = join_outcomes(clients, replace(options.outcomes, criteria=criteria, contract=contract), stop)
    _check_outcomes(joined, manifest.model_version, contract.label)
    fitted = fit(joined.probability, joined.positive, options.seed)
    threshold, rule = options.rule.choose(fitted.probabilities, joined.positive)
    metrics = measure(fitted.probabilities, joined.positive, threshold)
    metrics = replace(metrics, method=_METHOD.format(manifest.model_version))
    steps = (*_steps(files, origin), fitted.step)
    written = _files(files, scorer, Calibration(steps), Calibration((fitted.step,)), options.seed)
    calibrated = _manifest(manifest, created_at, written, threshold, rule, metrics, fitted, joined.positive)
    write_folder(options.out, written | {MANIFEST: encode_manifest(calibrated)}, replace_model=options.replace_model)
    return RecalibrationResult(
        version=calibrated.model_version,
        path=options.out,
        of_version=manifest.model_version,
        method=fitted.method,
        outcomes=len(joined.positive),
        positive=int(joined.positive.sum()),
        threshold=threshold,
        trials=fitted.trials,
        metrics=metrics,
        notes=tuple(_notes(joined, fitted, options)),
        seconds=time.perf_counter() - started,
    )


@dataclass(frozen=True, slots=True)
class Fitted:
    """Calibration with the lower cross-validated log loss, and its out-of-fold probabilities as [repeats, rows]."""

    step: Platt | Isotonic
    probabilities: Floats
    trials: tuple[CalibrationTrial, ...]

    @property
    def method(self) -> str:
        """Name of the calibration."""
        return next(trial.method for trial in self.trials if trial.kept)

    @property
    def is_better(self) -> bool:
        """Whether its log loss is below that of the model as it was."""
        losses = {trial.method: trial.log_loss for trial in self.trials}
        return losses[self.method] < losses["none"]  # type: ignore[index] # one of the methods


def fit(probability: Floats, positive: Labels, seed: int) -> Fitted:
    """Cross-validate both calibrations on the same folds, and fit the one with the lower log loss to all outcomes."""
    out_of_fold = {
        "platt": np.empty((REPEATS, len(positive))),
        "isotonic": np.empty((REPEATS, len(positive))),
    }
    for repeat in range(REPEATS):
        folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed + repeat)
        for rows, held_out in folds.split(probability, positive):
            for method, predicted in out_of_fold.items():
                step = _FITS[method](probability[rows], positive[rows])
                predicted[repeat, held_out] = step.apply(probability[held_out])
    trials = [_trial(method, predicted, positive) for method, predicted in out_of_fold.items()]
    best = min(trials, key=lambda trial: trial.log_loss)
    return Fitted(
        _FITS[best.method](probability, positive),
        out_of_fold[best.method],
        (_trial("none", probability[np.newaxis], positive), *(replace(trial, kept=trial is best) for trial in trials)),
    )


def fit_platt(probability: Floats, positive: Labels) -> Platt:
    """Fit a logistic regression on the logit; a slope that isn't positive becomes almost 0, which orders as before."""
    model = LogisticRegression(C=_WEAK, tol=1e-8).fit(logit(probability).reshape(-1, 1), positive)
    return Platt(max(float(model.coef_[0, 0]), 1e-6), float(model.intercept_[0]))


def fit_isotonic(probability: Floats, positive: Labels) -> Isotonic:
    """Fit an isotonic regression; no point is nearer to 0 or 1 than the number of outcomes allows.

    Its steps rise by up to a millionth, so that they keep the order of the probabilities.
    """
    nearest = 1 / (len(positive) + 2)
    model = IsotonicRegression(y_min=nearest, y_max=1 - nearest, out_of_bounds="clip").fit(probability, positive)
    given = np.unique([0.0, *model.X_thresholds_, 1.0])
    calibrated = model.predict(given) + min(nearest, _RISE) * (given - 0.5)
    return Isotonic(tuple(zip(given.tolist(), calibrated.tolist(), strict=True)))


_FITS: dict[str, Callable[[Floats, Labels], Platt | Isotonic]] = {"platt": fit_platt, "isotonic": fit_isotonic}


def _trial(method: str, predicted: Floats, positive: Labels) -> CalibrationTrial:
    """Return the mean log loss and Brier score of the repeats."""
    losses = [float(log_loss(positive, repeat, labels=[False, True])) for repeat in predicted]
    briers = [float(brier_score_loss(positive, repeat)) for repeat in predicted]
    return CalibrationTrial(method, float(np.mean(losses)), float(np.mean(briers)))  # type: ignore[arg-type]


def _check_outcomes(joined: Joined, version: str, label: Label) -> None:
    """Raise DataError if there are too few outcomes to calibrate on."""
    known, positive = len(joined.positive), int(joined.positive.sum())
    if min(positive, known - positive) < MIN_OUTCOMES:
        raise DataError(
            f"{known:,} of {joined.coverage.predictions:,} predictions of model {version} have an outcome, {positive:,}"
            f" of them {label.positive}: at least {MIN_OUTCOMES} of {label.positive} and {MIN_OUTCOMES} of"
            f" {label.negative} are needed to calibrate it{coverage_advice(joined.coverage)}"
        )


def _notes(joined: Joined, fitted: Fitted, options: RecalibrationOptions) -> Iterator[str]:
    if not fitted.is_better:
        yield _NO_BETTER.format(options.out)
    if skipped := describe_unreadable(joined.coverage):
        yield skipped


def _steps(files: Mapping[str, bytes], origin: str) -> tuple[Platt | Isotonic, ...]:
    """Return the calibrations that the model has already."""
    return decode_calibration(files[CALIBRATION], origin).steps if CALIBRATION in files else ()


def _files(
    files: Mapping[str, bytes], scorer: Scorer, calibration: Calibration, newest: Calibration, seed: int
) -> dict[str, bytes]:
    """Return the files of the calibrated model, without its manifest; `scorer` is that of the model as it was."""
    calibrated = CalibratedScorer(scorer, newest)
    golden = score_golden(files[GOLDEN], calibrated) if GOLDEN in files else make_golden(calibrated, [], seed=seed)
    kept = {name: content for name, content in files.items() if name != MANIFEST}
    if BASELINE in files:
        baseline = decode_baseline(files[BASELINE], scorer.codec.events)
        kept[BASELINE] = encode_baseline(map_score(baseline, newest.apply))
    return kept | {CALIBRATION: encode_calibration(calibration), GOLDEN: golden}


def _manifest(  # noqa: PLR0913, PLR0917 - what the manifest holds
    manifest: Manifest,
    created_at: str,
    files: Mapping[str, bytes],
    threshold: float,
    rule: str,
    metrics: Metrics,
    fitted: Fitted,
    positive: NDArray[np.bool_],
) -> Manifest:
    served = manifest.serving.artifact if manifest.serving else PIPELINE
    contract = files.get(CONTRACT, b"")
    return replace(
        manifest,
        model_version=model_version(created_at, files[served] + files[CALIBRATION], contract, threshold),
        created_at=created_at,
        threshold=threshold,
        threshold_rule=f"{rule}, on outcomes",
        metrics=metrics,
        artifacts=checksums(files),
        calibration=CalibrationReport(manifest.model_version, len(positive), int(positive.sum()), fitted.trials),
    )
