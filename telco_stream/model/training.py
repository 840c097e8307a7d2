"""Training of a model on a labelled CSV file."""

import hashlib
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from io import BytesIO
from pathlib import Path

import joblib
import numpy as np
from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits

from telco_stream.contract.document import encode_contract
from telco_stream.contract.schema import Contract
from telco_stream.csv.validation import CsvFormat
from telco_stream.errors import DataError, ModelError
from telco_stream.messages.codec import Codec, compile_contract
from telco_stream.model.artifact import (
    BASELINE,
    CONTRACT,
    GOLDEN,
    MANIFEST,
    ONNX,
    PIPELINE,
    check_target,
    checksums,
    read_manifest,
    read_sentences_file,
    write_folder,
)
from telco_stream.model.drift.baseline import encode_baseline, make_baseline
from telco_stream.model.evaluation import FOLDS, choose_threshold
from telco_stream.model.features import feature_table
from telco_stream.model.golden import make_golden
from telco_stream.model.labelled import LabelledEvents, ReportStage, read_labelled_events
from telco_stream.model.manifest import Manifest, TrainingData, encode_manifest
from telco_stream.model.onnx_engine import load_onnx
from telco_stream.model.pipelines import Build, Variant, standard_candidates
from telco_stream.model.reasons.build import build_reasons, read_trees
from telco_stream.model.reasons.files import SENTENCES
from telco_stream.model.reasons.sentences import write_sentences
from telco_stream.model.results import ReplacedModel, TrainingResult, compare_models
from telco_stream.model.scorer import Scorer
from telco_stream.model.selection import Selected, TrainingRows, select_model
from telco_stream.model.sklearn_engine import SklearnScorer, frame

#: Libraries that the coefficients may depend on; the manifest holds their versions.
_LIBRARIES = ("joblib", "numpy", "onnx", "onnxruntime", "pandas", "scikit-learn", "scipy", "skl2onnx")
_THRESHOLD_RULE = "the highest F1 on the out-of-fold predictions of the cross-validation, in steps of 0.01"


def train(  # noqa: PLR0913 - options of the command, and the pipeline
    source: Path,
    out: Path,
    csv_format: CsvFormat | None = None,
    *,
    created_at: str,
    replace_model: bool = False,
    seed: int = 0,
    progress: ReportStage = lambda *_: None,
    build: Build | None = None,
) -> TrainingResult:
    """Fit a model to a labelled CSV file, and write it to the folder `out`; `created_at` is RFC 3339.

    The file has the columns of `csv_format`'s contract, or of the built-in one. A linear and a boosted model are tried,
    or only the pipeline that `build` returns, which is not fitted yet (`docs/models.md`). Raise DataError if the
    file has bad rows or too few of a label, and UsageError if `out` cannot be written or holds a model that
    `replace_model` does not allow to replace.
    """
    started = time.perf_counter()
    check_target(out, replace_model=replace_model)
    csv_format = replace(csv_format or CsvFormat(), requires_label=True, ignores_time=True)
    codec = compile_contract(csv_format.contract)
    candidates = standard_candidates(codec) if build is None else [[Variant("own", "", build)]]
    data = read_labelled_events(source, csv_format, codec, progress)
    check_class_sizes(source, data, codec.contract)
    selected = _select(data, codec, seed, candidates, progress)
    threshold = choose_threshold(selected.probabilities, selected.positive)
    files, no_reasons = _model_files(selected, codec, data, seed)
    trained_on = TrainingData(data.sha256, len(data.positive), sum(data.positive), seed)
    manifest = _manifest(created_at, trained_on, threshold, selected, files, no_reasons)
    replaced = replaced_model(out, manifest)
    files |= {MANIFEST: encode_manifest(manifest)} | sentences_of(out, manifest, codec.contract)
    write_folder(out, files, replace_model=replace_model)
    return TrainingResult(
        version=manifest.model_version,
        path=out,
        rows=trained_on.rows,
        threshold=threshold,
        candidates=manifest.candidates,
        metrics=manifest.metrics,
        onnx=manifest.onnx,
        replaced=replaced,
        seconds=time.perf_counter() - started,
    )


def check_class_sizes(source: Path, data: LabelledEvents, contract: Contract) -> None:
    """Raise DataError if one of the labels is too rare to be in each fold."""
    rows, positive = len(data.positive), sum(data.positive)
    if min(positive, rows - positive) < FOLDS:
        raise DataError(
            f"{source} has {positive} rows with {contract.label.name} {contract.label.positive} among {rows}: at least "
            f"{FOLDS} of each label are needed"
        )


def _select(
    data: LabelledEvents, codec: Codec, seed: int, candidates: Sequence[Sequence[Variant]], progress: ReportStage
) -> Selected:
    """Try the candidates on these rows.

    OpenMP, which only boosted trees use, gets one thread: several are no faster here, and many times slower where
    other processes use the cores.
    """
    rows = TrainingRows(codec, data.events, frame(codec.events, data.events), np.array(data.positive), seed)
    with threadpool_limits(1, "openmp"):
        return select_model(rows, candidates, progress)


def _model_files(
    selected: Selected, codec: Codec, data: LabelledEvents, seed: int
) -> tuple[dict[str, bytes], str | None]:
    """Return the files of the model folder, and why the model has no exact reasons, if it has none."""
    compiled = selected.compiled
    pipeline = selected.pipeline
    files = {PIPELINE: _pickle(pipeline), CONTRACT: encode_contract(codec.contract)}
    scorer: Scorer = SklearnScorer("", 0.5, pipeline, codec)
    if compiled.content and compiled.refused is None:
        files = {ONNX: compiled.content} | files
        scorer = load_onnx(compiled.content, codec, version="", threshold=0.5)
    # Scores out of fold are spread as those of new records; the model's own for the rows that it was fitted to are not.
    baseline = make_baseline(codec.events, feature_table(codec.events, data.events), selected.probabilities[0])
    reasons = build_reasons(partial(read_trees, pipeline, codec), scorer, files.get(ONNX), data)
    golden = make_golden(scorer, data.events, seed=seed)
    return files | reasons.files | {GOLDEN: golden, BASELINE: encode_baseline(baseline)}, reasons.refused


def _manifest(  # noqa: PLR0913, PLR0917 - what the manifest holds
    created_at: str,
    trained_on: TrainingData,
    threshold: float,
    selected: Selected,
    files: Mapping[str, bytes],
    no_reasons: str | None,
) -> Manifest:
    return Manifest(
        model_version=model_version(created_at, files[PIPELINE], files[CONTRACT], threshold),
        created_at=created_at,
        threshold=threshold,
        threshold_rule=_THRESHOLD_RULE,
        metrics=selected.metrics(threshold),
        training_data=trained_on,
        artifacts=checksums(files),
        onnx=selected.compiled.parity(threshold),
        libraries=library_versions(),
        candidates=selected.candidates,
        no_reasons=no_reasons,
    )


def replaced_model(folder: Path, new: Manifest) -> ReplacedModel | None:
    """Compare the new model with the one in the folder, if its manifest can be read."""
    try:
        return compare_models(read_manifest(folder), new)
    except ModelError:
        return None


def sentences_of(folder: Path, manifest: Manifest, contract: Contract) -> dict[str, bytes]:
    """Return the file with the sentences of a new model's reasons, if it has any; edited ones of the folder stay."""
    if manifest.no_reasons is not None:
        return {}
    return {SENTENCES: write_sentences(contract, read_sentences_file(folder))}


def _pickle(pipeline: Pipeline) -> bytes:
    buffer = BytesIO()
    joblib.dump(pipeline, buffer)
    return buffer.getvalue()


def model_version(created_at: str, model: bytes, contract: bytes, threshold: float) -> str:
    """Return the date and a hash of model and contract, so that the same training gives the same version."""
    content = model + str(threshold).encode() + contract
    return f"{created_at[:10]}-{hashlib.sha256(content).hexdigest()[:8]}"


def library_versions(*more: str) -> dict[str, str]:
    """Return the versions of Python and of the libraries that a model may depend on."""
    return {"python": platform.python_version()} | {name: _version(name) for name in (*_LIBRARIES, *more)}


def _version(package: str) -> str:
    """Return the version of a package, or of the one of its name without `-cpu`, which has the same library."""
    try:
        return version(package)
    except PackageNotFoundError:
        return version(package.removesuffix("-cpu"))
