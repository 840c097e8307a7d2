"""Import of a model that another program fitted: the fastest engine that is equal to the original serves it."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from telco_stream.contract.document import encode_contract
from telco_stream.csv.validation import CsvFormat
from telco_stream.errors import ModelError
from telco_stream.messages.codec import Codec, compile_contract
from telco_stream.model.artifact import (
    BASELINE,
    CONTRACT,
    GOLDEN,
    MANIFEST,
    ONNX,
    check_target,
    checksums,
    write_folder,
)
from telco_stream.model.drift.baseline import encode_baseline, make_baseline
from telco_stream.model.engines import EngineFile, Judgement, judge
from telco_stream.model.evaluation import AUTOMATIC, Floats, ThresholdRule, measure
from telco_stream.model.features import feature_table
from telco_stream.model.golden import make_golden
from telco_stream.model.imports.originals import GIVEN, SKL2ONNX, TREES, Opened, open_model
from telco_stream.model.labelled import LabelledEvents, ReportStage, read_labelled_events
from telco_stream.model.manifest import EngineReport, Manifest, Metrics, Parity, Serving, TrainingData, encode_manifest
from telco_stream.model.probes import edge_events, split_events
from telco_stream.model.reasons.build import build_reasons
from telco_stream.model.results import ImportResult
from telco_stream.model.scorer import Scorer, ScoringError
from telco_stream.model.training import (
    check_class_sizes,
    library_versions,
    model_version,
    replaced_model,
    sentences_of,
)
from telco_stream.runtime.files import read_file

#: Largest model file, in bytes.
_MAX_BYTES = 1_073_741_824
#: Area under the curve below which a model orders the rows hardly better than chance.
_POOR_AUC = 0.55
_IN_SAMPLE = "in-sample: on the rows of the import's data, which the model may have been fitted to"
_HOLDOUT = "hold-out: on the rows of a file that was given as not used for fitting"
_NEEDS_PICKLE = (
    "No other engine is equal, so scikit-learn serves the model from its pickle: commands load it only with --engine "
    "sklearn, and it can't be published to a topic of models"
)
_POOR = (
    "The model orders the rows hardly better than chance (AUC {:.3f}): is it the right file, and is the contract's "
    "positive label the value that it predicts?"
)


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """Options of an import: labelled rows, rows to measure on, the rule of the threshold, and whether to unpickle."""

    data: Path
    holdout: Path | None = None
    rule: ThresholdRule = AUTOMATIC
    trust: bool = False
    replace_model: bool = False
    seed: int = 0


def import_model(  # noqa: PLR0913 - options of the command
    file: Path,
    out: Path,
    csv_format: CsvFormat,
    options: ImportOptions,
    *,
    created_at: str,
    progress: ReportStage = lambda *_: None,
) -> ImportResult:
    """Check a fitted model, and write it to the folder `out` with the fastest engine that is equal to it.

    `created_at` is RFC 3339. Raise ModelError if the model cannot be used, DataError if a file has bad rows or too few
    of a label, and UsageError if `out` cannot be written or holds a model that must not be replaced.
    """
    started = time.perf_counter()
    check_target(out, replace_model=options.replace_model)
    codec = compile_contract(csv_format.contract)
    content = read_file(file, _MAX_BYTES)
    progress("loading the model", 0, 1)
    opened = open_model(content, str(file), codec, trust=options.trust)
    labelled = replace(csv_format, requires_label=True, ignores_time=True)
    data = read_labelled_events(options.data, labelled, codec, progress)
    held_out = data if options.holdout is None else read_labelled_events(options.holdout, labelled, codec, progress)
    for path, rows in ((options.data, data), (options.holdout, held_out)):
        if path is not None:
            check_class_sizes(path, rows, codec.contract)
    measured = _measure(file, opened, held_out, options)
    judgement = _judge(file, opened, data, codec, measured.threshold, options.seed, progress)
    progress("computing reasons", 0, 1)
    reasons = build_reasons(opened.read, judgement.serving.scorer, _compiled(judgement.serving), data)
    files = _files(opened, judgement.serving, codec, data, options.seed)
    files |= reasons.files | _baseline(codec, data, measured)
    manifest = _manifest(created_at, data, options.seed, measured, judgement, opened, files, reasons.refused)
    replaced = replaced_model(out, manifest)
    files |= {MANIFEST: encode_manifest(manifest)} | sentences_of(out, manifest, codec.contract)
    write_folder(out, files, replace_model=options.replace_model)
    result = ImportResult(
        version=manifest.model_version,
        path=out,
        kind=opened.original.name,
        rows=len(data.positive),
        threshold=manifest.threshold,
        engines=manifest.engines,
        metrics=manifest.metrics,
        notes=(*opened.notes, *measured.notes),
        replaced=replaced,
        seconds=time.perf_counter() - started,
    )
    return replace(result, notes=(*result.notes, _NEEDS_PICKLE)) if result.needs_pickle else result


@dataclass(frozen=True, slots=True)
class _Measured:
    threshold: float
    rule: str
    metrics: Metrics
    notes: tuple[str, ...]
    #: Of the rows that were not used for fitting, if there are any.
    probabilities: Floats


def _measure(file: Path, opened: Opened, rows: LabelledEvents, options: ImportOptions) -> _Measured:
    """Measure the original on these rows, and choose the threshold."""
    try:
        probabilities = np.array([opened.original.file.scorer.score(rows.events)])
    except ScoringError as error:
        raise ModelError(f"{file} can't be imported: it fails on rows of the data: {error.reason}") from error
    if not np.isfinite(probabilities).all():
        raise ModelError(f"{file} can't be imported: some of its answers for the data are not numbers")
    labels = np.array(rows.positive)
    threshold, rule = options.rule.choose(probabilities, labels)
    method = _IN_SAMPLE if options.holdout is None else _HOLDOUT
    metrics = replace(measure(probabilities, labels, threshold), method=method)
    notes = (_POOR.format(metrics.roc_auc),) if metrics.roc_auc < _POOR_AUC else ()
    return _Measured(threshold, f"{rule}, {method.partition(':')[0]}", metrics, notes, probabilities[0])


def _judge(  # noqa: PLR0913, PLR0917 - what is judged
    file: Path,
    opened: Opened,
    data: LabelledEvents,
    codec: Codec,
    threshold: float,
    seed: int,
    progress: ReportStage,
) -> Judgement:
    events = [
        *data.events,
        *edge_events(codec, data.events, seed=seed),
        *split_events(codec, data.events, opened.splits, seed=seed),
    ]
    steps = len(opened.candidates) + 1
    done = iter(range(steps))
    try:
        with threadpool_limits(1, "openmp"):  # as in training; and serving has one thread
            return judge(
                opened.original,
                opened.candidates,
                events,
                rows=len(data.events),
                threshold=threshold,
                progress=lambda name: progress(f"comparing {name}", next(done), steps),
            )
    except ScoringError as error:
        raise ModelError(f"{file} can't be imported: it fails on values of the contract: {error.reason}") from error


def _files(opened: Opened, serving: EngineFile, codec: Codec, data: LabelledEvents, seed: int) -> dict[str, bytes]:
    """Return the files of the folder: the original, the form that serves if it is another, and golden rows."""
    original = opened.original.file
    files = {serving.artifact: serving.content, original.artifact: original.content}
    golden = make_golden(serving.scorer, data.events, seed=seed)
    return files | {CONTRACT: encode_contract(codec.contract), GOLDEN: golden}


def _baseline(codec: Codec, data: LabelledEvents, measured: _Measured) -> dict[str, bytes]:
    """Return the file of the baseline: the features of the data, and the scores that the metrics were measured on."""
    baseline = make_baseline(codec.events, feature_table(codec.events, data.events), measured.probabilities)
    return {BASELINE: encode_baseline(baseline)}


def _compiled(serving: EngineFile) -> bytes | None:
    return serving.content if serving.artifact == ONNX else None


def _manifest(  # noqa: PLR0913, PLR0917 - what the manifest holds
    created_at: str,
    data: LabelledEvents,
    seed: int,
    measured: _Measured,
    judgement: Judgement,
    opened: Opened,
    files: Mapping[str, bytes],
    no_reasons: str | None,
) -> Manifest:
    artifact, scorer = judgement.serving.artifact, judgement.serving.scorer
    return Manifest(
        model_version=model_version(created_at, opened.original.file.content, files[CONTRACT], measured.threshold),
        created_at=created_at,
        threshold=measured.threshold,
        threshold_rule=measured.rule,
        metrics=measured.metrics,
        training_data=TrainingData(data.sha256, len(data.positive), sum(data.positive), seed),
        artifacts=checksums(files),
        onnx=_parity(judgement.reports, len(judgement.expected)),
        libraries=library_versions(*opened.packages),
        engines=judgement.reports,
        serving=Serving(scorer.engine, artifact, _positive(scorer)),  # type: ignore[arg-type] # its names are those of scorers
        no_reasons=no_reasons,
    )


def _parity(reports: tuple[EngineReport, ...], rows: int) -> Parity:
    """Return the comparison of the ONNX form that serves, or of the last one that was rejected."""
    compiled = [report for report in reports if report.name in {TREES, SKL2ONNX, GIVEN}]
    report = next((report for report in compiled if report.serves), compiled[-1] if compiled else None)
    if report is None:
        return Parity(refused="its library has no ONNX form that is equal")
    return Parity(rows, report.max_difference, report.decisions_differing, report.rejected)


def _positive(scorer: Scorer) -> int:
    positive: int = getattr(scorer, "positive", 1)
    return positive
