"""One run of `quality`: reads predictions and outcomes, joins them and measures each model version and week."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from telco_stream.contract.document import builtin_contract
from telco_stream.contract.events import EventCodec
from telco_stream.contract.outcomes import outcome_contract
from telco_stream.contract.schema import Contract
from telco_stream.csv.reader import STRIDE, open_reader
from telco_stream.csv.validation import CsvFormat
from telco_stream.errors import DataError
from telco_stream.kafka.clients import Clients
from telco_stream.kafka.cluster import Cluster
from telco_stream.kafka.reading import read
from telco_stream.messages.prediction import CONTROL, PredictionCodec
from telco_stream.model.quality import Measures, QualityResult, Uplift, VersionQuality
from telco_stream.quality.joining import Join, Joined
from telco_stream.quality.measures import measure, measure_uplift
from telco_stream.quality.results import coverage_advice
from telco_stream.report.predictions import PredictionFilter, decode_valid, time_of
from telco_stream.report.run import offsets_of
from telco_stream.runtime.clock import rfc3339
from telco_stream.runtime.humanize import to_datetime
from telco_stream.runtime.period import to_timestamp
from telco_stream.runtime.signals import Stop
from telco_stream.scoring import decode_events

_WEEK = 7 * 86_400
#: Monday, 5 January 1970, in seconds since 1970: the first Monday of Unix time.
_MONDAY = 4 * 86_400


@dataclass(frozen=True, slots=True)
class QualityOptions:
    """Options of one run of `quality`; `on_read` is called with the number of records of each batch."""

    #: Seconds after a prediction within which its outcome counts.
    horizon: float = 30 * 86_400
    #: Share from 0 to 1 of the predictions that can be contacted.
    capacity: float = 0.1
    criteria: PredictionFilter = field(default_factory=PredictionFilter)
    contract: Contract = field(default_factory=builtin_contract)
    #: File of outcomes, to read instead of their topic.
    outcomes: Path | None = None
    #: Whether to compare the control group with the other customers: never, if there is one, or always.
    uplift: Literal["never", "possible", "always"] = "never"
    csv_format: CsvFormat = field(default_factory=CsvFormat)
    on_read: Callable[[int], None] = lambda _records: None


def run_quality(clients: Clients, options: QualityOptions, *, stop: Stop) -> QualityResult:
    """Measure what the topics hold now, or with the outcomes of a file.

    Raises `DataError` for a bad row of the file, if no prediction has an outcome, or for the uplift, if no flagged
    prediction of the control group has one.
    """
    joined = join_outcomes(clients, options, stop)
    coverage, topics = joined.coverage, clients.settings.topics
    if not coverage.predictions:
        of = "" if options.criteria == PredictionFilter() else " of this period and model version"
        raise DataError(f"Topic {topics.predictions} has no predictions{of}: answer records with telco-stream consume")
    if not coverage.outcomes + coverage.unreadable_outcomes:
        advice = f"Topic {topics.outcomes} has no outcomes: send them with telco-stream outcomes send FILE"
        raise DataError(f"{options.outcomes} has no outcomes" if options.outcomes else advice)
    if not coverage.with_outcome:
        raise DataError(
            f"None of {coverage.predictions:,} predictions has an outcome: of {coverage.outcomes:,} outcomes,"
            f" {coverage.unknown_key:,} have a key without predictions, {coverage.before_prediction:,} are older than"
            f" the predictions and {coverage.after_horizon:,} came after the horizon{coverage_advice(coverage)}"
        )
    return _quality(joined, options)


def find_quality(clients: Clients, options: QualityOptions, *, stop: Stop) -> QualityResult | None:
    """Measure as `run_quality` does; return None if no prediction has an outcome."""
    joined = join_outcomes(clients, options, stop)
    return _quality(joined, options) if joined.coverage.with_outcome else None


def _quality(joined: Joined, options: QualityOptions) -> QualityResult:
    return QualityResult(
        horizon_days=options.horizon / 86_400,
        capacity=options.capacity,
        coverage=joined.coverage,
        total=_measured(joined, slice(None), options),
        by_version=_by_group(joined, options, by_week=False),
        by_week=_by_group(joined, options, by_week=True),
        uplift=None if options.uplift == "never" else _uplift(joined, is_required=options.uplift == "always"),
    )


def _uplift(joined: Joined, *, is_required: bool) -> Uplift | None:
    """Compare the flagged predictions since the first one of the control group."""
    first = float(joined.time[joined.control].min()) if joined.control.any() else math.inf
    rows = joined.flagged & (joined.time >= first)
    since = rfc3339(to_datetime(first)) if math.isfinite(first) else ""
    uplift = measure_uplift(joined.probability[rows], joined.positive[rows], joined.control[rows], since)
    if uplift is None and is_required:
        control = int((joined.flagged & joined.control).sum())
        raise DataError(
            f"The uplift can't be measured: of {int(joined.flagged.sum()):,} flagged predictions with an outcome,"
            f" {control:,} are of the control group; consume --holdout-percent marks it"
        )
    return uplift


def join_outcomes(clients: Clients, options: QualityOptions, stop: Stop) -> Joined:
    """Join the predictions that the topic holds now with the outcomes of their topic or of a file.

    Raises `DataError` for a bad row of the file.
    """
    join, cluster = Join(), Cluster(clients, stop)
    _add_predictions(join, cluster, options)
    if options.outcomes is not None:
        _add_file(join, options.outcomes, options, stop)
    else:
        _add_topic(join, cluster, options)
    return join.result(options.horizon)


def _add_predictions(join: Join, cluster: Cluster, options: QualityOptions) -> None:
    """Add the matching predictions, and count the values that are not predictions."""
    codec = PredictionCodec(options.contract, [] if options.uplift == "never" else [CONTROL])
    criteria, positive = options.criteria, options.contract.label.positive
    first, last = criteria.period.bounds()
    offsets = offsets_of(cluster, cluster.clients.settings.topics.predictions, criteria.period)
    for batch in read(cluster, offsets.topic, starts=offsets.starts, ends=offsets.ends):
        for record in batch:
            prediction = decode_valid(record.value(), codec)
            if prediction is None:
                join.unreadable_predictions += 1
                continue
            time, version = time_of(prediction, record), prediction.model_version
            if first <= time < last and criteria.model_version in {None, version}:
                is_flagged = prediction.prediction == positive
                is_control = prediction.control is True
                values = prediction.key, time, prediction.probability, version
                join.add_prediction(*values, flagged=is_flagged, control=is_control)
        options.on_read(len(batch))


def _add_topic(join: Join, cluster: Cluster, options: QualityOptions) -> None:
    """Add the outcomes of the topic, and count the records for which `outcomes check` writes a dead letter."""
    codec, label = EventCodec(outcome_contract(options.contract)), options.contract.label
    for batch in read(cluster, cluster.clients.settings.topics.outcomes):
        _, events, rejected = decode_events(batch, codec)
        for event, value in zip(events, codec.values(label.name, events), strict=True):
            join.add_outcome(event.key, to_timestamp(event.event_ts), positive=value == label.positive)
        join.unreadable_outcomes += len(rejected)
        options.on_read(len(batch))


def _add_file(join: Join, path: Path, options: QualityOptions, stop: Stop) -> None:
    """Add the outcomes of the file, whose rows must all have a time; a bad row is an error."""
    positive = options.contract.label.positive
    with stop.interrupting(), open_reader(path, options.csv_format) as reader:
        if options.contract.time.name not in reader.layout.codec.names:
            raise DataError(f"{path} has no column time: the time of an outcome tells which predictions came before")
        key_of = reader.layout.codec.key
        while (chunk := reader.take(STRIDE)).rows:
            for row in chunk.rows:
                time: str = row.event_ts  # type: ignore[attr-defined]
                join.add_outcome(key_of(row), to_timestamp(time), positive=row.label == positive)
            options.on_read(len(chunk.rows))


def _measured(joined: Joined, rows: NDArray[np.int64] | slice, options: QualityOptions) -> Measures:
    return measure(joined.probability[rows], joined.positive[rows], joined.flagged[rows], options.capacity)


def _by_group(joined: Joined, options: QualityOptions, *, by_week: bool) -> list[VersionQuality]:
    """Measure each model version with outcomes, or each of its weeks from Monday 00:00 UTC, in the order of time."""
    weeks = np.floor((joined.time - _MONDAY) / _WEEK).astype(np.int64)
    names = weeks * len(joined.versions) + joined.version if by_week else joined.version
    groups = [np.flatnonzero(names == name) for name in np.unique(names)]
    groups.sort(key=lambda rows: float(joined.time[rows].min()))
    return [
        VersionQuality(
            joined.versions[joined.version[rows[0]]],
            _date(weeks[rows[0]]) if by_week else None,
            _measured(joined, rows, options),
        )
        for rows in groups
    ]


def _date(week: int) -> str:
    return datetime.fromtimestamp(week * _WEEK + _MONDAY, UTC).date().isoformat()
