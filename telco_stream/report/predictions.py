"""Filters and aggregates the records of the predictions topic.

A period filters by `processed_ts`, the time of the answer. Dead letters have this time too, so one period covers both;
the event time of a dead letter may be missing or wrong.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TypeAlias

from telco_stream.contract.customer import BAD_DATA
from telco_stream.errors import UsageError
from telco_stream.messages.prediction import Prediction, decode_prediction
from telco_stream.messages.record import Record
from telco_stream.model.manifest import Manifest
from telco_stream.report.analytics import Analytics, Summary
from telco_stream.report.customers import CustomerSegment
from telco_stream.report.trends import TopCounter
from telco_stream.runtime.period import ALWAYS, Period, to_timestamp

#: Called with each counted prediction and its time in seconds since 1970.
OnPrediction: TypeAlias = Callable[[Prediction, float], None]

#: Maximum number of model versions that the error for an unknown version names.
_MAX_NAMED = 3
#: Caches the last time: all answers of a micro-batch have the same one.
_to_timestamp = lru_cache(maxsize=1)(to_timestamp)


@dataclass(frozen=True, slots=True)
class PredictionFilter:
    """Selects the predictions of a period and, unless None, of a model version."""

    period: Period = ALWAYS
    model_version: str | None = None


@dataclass(frozen=True, slots=True)
class ContactCosts:
    """Cost of contacting a customer, and what it earns if the customer would have left; raises `UsageError`."""

    cost: float
    value: float

    def __post_init__(self) -> None:
        if not 0 <= self.cost < self.value < math.inf:
            raise UsageError("--contact-cost must be 0 or more and below --customer-value; otherwise no contact pays")


@dataclass(frozen=True, slots=True)
class ReportOptions:
    """Options of one run of `report`; `on_read` is called with the number of records of each batch."""

    top_k: int = 10
    criteria: PredictionFilter = PredictionFilter()
    on_prediction: Sequence[OnPrediction] = ()
    on_read: Callable[[int], None] = lambda _records: None
    contact_costs: ContactCosts | None = None
    #: Manifest of the model whose lift table is included if it made any of the predictions.
    manifest: Manifest | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """Summary, and data that its JSON doesn't include."""

    summary: Summary
    #: Records whose value is not a prediction; another program wrote them.
    unreadable: int
    #: Customers by contract and internet service.
    crosstab: dict[tuple[str, str], CustomerSegment]


def report(records: Iterable[Record], options: ReportOptions) -> Report:
    """Aggregate the matching predictions among a topic's records, and pass each of them to `on_prediction`.

    Raises `UsageError` if no prediction of the period has the model version.
    """
    analytics, other_versions, unreadable, is_by_model = Analytics(), TopCounter(), 0, False
    model = options.manifest.model_version if options.manifest else None
    version, (start, end) = options.criteria.model_version, options.criteria.period.bounds()
    for record in records:
        prediction = decode_valid(record.value())
        if prediction is None:
            unreadable += 1
            continue
        time = time_of(prediction, record)
        if not start <= time < end:
            continue
        if version not in {None, prediction.model_version}:
            other_versions.add(prediction.model_version)
            continue
        analytics.add(prediction)
        is_by_model = is_by_model or prediction.model_version == model
        for call in options.on_prediction:
            call(prediction, time)
    summary = _complete(analytics, options, is_by_model=is_by_model)
    if version is not None and not summary.total:
        raise UsageError(f"No prediction here has model version {version[:40]!r}: {_describe_versions(other_versions)}")
    return Report(summary, unreadable, analytics.newest.crosstab())


def _complete(analytics: Analytics, options: ReportOptions, *, is_by_model: bool) -> Summary:
    """Return the summary with the lift of the model and the customers whom it pays to contact."""
    summary, costs = analytics.result(options.top_k), options.contact_costs
    lift = options.manifest.metrics.lift if options.manifest and is_by_model else ()
    plan = analytics.newest.contact_plan(costs.cost, costs.value) if costs else None
    return replace(summary, lift=lift or None, contact_plan=plan)


def decode_valid(value: bytes | None) -> Prediction | None:
    """Return the prediction; None if the value is not a prediction with a probability from 0 to 1."""
    try:
        prediction = decode_prediction(value or b"")
    except BAD_DATA:
        return None
    return prediction if 0 <= prediction.churn_probability <= 1 else None


def time_of(prediction: Prediction, record: Record) -> float:
    """Return the prediction's time in seconds since 1970, or its record's if that time is invalid."""
    time = _to_timestamp(prediction.processed_ts)
    return time if time > -math.inf else record.timestamp()[1] / 1_000


def _describe_versions(versions: TopCounter) -> str:
    names = [name[:40] for name, _ in versions.most_common()]
    if not names:
        return "there are no predictions at all"
    more = f" and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else ""
    return f"there are predictions of {', '.join(names[:_MAX_NAMED])}{more}"
