"""Filters and aggregates the records of the predictions topic.

A period filters by `processed_ts`, the time of the answer. Dead letters have this time too, so one period covers both;
the event time of a dead letter may be missing or wrong.
"""

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TypeAlias

from telco_stream.contract.document import builtin_contract
from telco_stream.contract.events import BAD_DATA
from telco_stream.contract.schema import Contract, Number
from telco_stream.errors import UsageError
from telco_stream.messages.prediction import APPROXIMATE, CONTROL, REASONS, Prediction, PredictionCodec
from telco_stream.messages.record import Record
from telco_stream.model.manifest import Manifest
from telco_stream.model.reasons.sentences import Sentences
from telco_stream.report.analytics import Analytics, PreviousPeriod, Summary
from telco_stream.report.customers import CustomerSegment, NewestPredictions
from telco_stream.report.trends import TopCounter
from telco_stream.runtime.period import ALWAYS, Period, to_rfc3339, to_timestamp

#: Called with each counted prediction and its time in seconds since 1970.
OnPrediction: TypeAlias = Callable[[Prediction, float], None]

#: Maximum number of model versions that the error for an unknown version names.
_MAX_NAMED = 3
#: Field of a prediction that segments although the contract does not name it.
_MODEL_VERSION = "model_version"
#: Maximum number of columns that the error for an unknown one names.
_MAX_COLUMNS = 30
#: Caches the last time: all answers of a micro-batch have the same one.
_to_timestamp = lru_cache(maxsize=1)(to_timestamp)


@dataclass(frozen=True, slots=True)
class PredictionFilter:
    """Selects the predictions of a period and, unless None, of a model version."""

    period: Period = ALWAYS
    model_version: str | None = None


@dataclass(frozen=True, slots=True)
class ContactCosts:
    """Cost of contacting a customer, and what it earns if the label had become positive; raises `UsageError`."""

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
    #: Columns whose segments are included; None for the contract's.
    by: Sequence[str] | None = None
    #: Period whose totals are included for comparison.
    previous: Period | None = None
    contract: Contract = field(default_factory=builtin_contract)
    #: Manifest of the model whose lift table is included if it made any of the predictions.
    manifest: Manifest | None = None
    #: Sentences about the features of the model.
    sentences: Mapping[str, Sentences] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Report:
    """Summary, and data that its JSON doesn't include."""

    summary: Summary
    #: Records whose value is not a prediction; another program wrote them.
    unreadable: int
    #: Customers by pair of values of the contract's first two segments.
    crosstab: dict[tuple[str, str], CustomerSegment]
    #: Whether the model of the options' manifest made any of the predictions.
    is_by_model: bool = False


def report(records: Iterable[Record], options: ReportOptions) -> Report:
    """Aggregate the matching predictions among a topic's records, and pass each of them to `on_prediction`.

    Raises `UsageError` if no prediction of the period has the model version, or one of the columns.
    """
    aggregate = _Aggregate(options)
    for record in records:
        aggregate.add(record)
    return aggregate.result()


class _Aggregate:
    """Aggregate of the predictions of the period, and of the customers of the period before."""

    def __init__(self, options: ReportOptions) -> None:
        self._options, self._criteria = options, options.criteria
        contract = options.contract
        self._by = contract.segments if options.by is None else _check_columns(options.by, contract)
        extra = [*self._by, *([contract.charge] if contract.charge else []), CONTROL, REASONS, APPROXIMATE]
        self._codec = PredictionCodec(contract, extra)
        self._analytics = Analytics(self._codec, self._by, options.sentences)
        self._previous, self._previous_total = NewestPredictions(contract, self._codec.attributes), 0
        self._bounds = self._criteria.period.bounds()
        self._previous_bounds = options.previous.bounds() if options.previous else (math.inf, math.inf)
        self._other_versions, self._unreadable, self._is_by_model = TopCounter(), 0, False
        #: Last value that was counted; its fields are the columns that exist.
        self._example = b"{}"

    def add(self, record: Record) -> None:
        """Count the record's prediction if it is of one of the periods."""
        value = record.value() or b""
        prediction = decode_valid(value, self._codec)
        if prediction is None:
            self._unreadable += 1
            return
        time = time_of(prediction, record)
        is_current = self._bounds[0] <= time < self._bounds[1]
        if not is_current and not self._previous_bounds[0] <= time < self._previous_bounds[1]:
            return
        if self._criteria.model_version not in {None, prediction.model_version}:
            self._other_versions.add(prediction.model_version)
        elif is_current:
            self._example = value
            self._count(prediction, time)
        else:
            self._previous_total += 1
            self._previous.add(prediction)

    def result(self) -> Report:
        """Return the report, with the model's lift, the contacts that pay and the period before."""
        options, version, manifest = self._options, self._criteria.model_version, self._options.manifest
        summary, costs = self._analytics.result(options.top_k), options.contact_costs
        if version is not None and not summary.total:
            versions = _describe_versions(self._other_versions, self._unreadable)
            raise UsageError(f"No prediction here has model version {version[:40]!r}: {versions}")
        unknown = (name for name in self._by if name not in self._codec.names)
        if missing := next(filter(self._analytics.newest.is_missing, unknown), None):
            others = (name for name in json.loads(self._example) if name not in self._codec.names)
            columns = dict.fromkeys([*_segment_columns(options.contract), *others])
            raise UsageError(_describe_columns(missing, list(columns)))
        lift = manifest.metrics.lift if manifest and self._is_by_model else ()
        plan = self._analytics.newest.contact_plan(costs.cost, costs.value) if costs else None
        complete = replace(summary, lift=lift or None, contact_plan=plan, previous=self._previous_period())
        return Report(complete, self._unreadable, self._analytics.newest.crosstab(), is_by_model=self._is_by_model)

    def _count(self, prediction: Prediction, time: float) -> None:
        self._analytics.add(prediction)
        manifest = self._options.manifest
        if manifest and not self._is_by_model:
            self._is_by_model = prediction.model_version == manifest.model_version
        for call in self._options.on_prediction:
            call(prediction, time)

    def _previous_period(self) -> PreviousPeriod | None:
        period, total = self._options.previous, self._previous.total()
        if not period or not period.since or not period.until:
            return None
        return PreviousPeriod(
            since=to_rfc3339(period.since),
            until=to_rfc3339(period.until),
            total=self._previous_total,
            customers=total.customers,
            expected_leavers=total.expected_leavers,
            expected_share=total.expected_share,
            flagged=total.flagged,
            flagged_share=total.flagged_share,
        )


def _segment_columns(contract: Contract) -> tuple[str, ...]:
    """Return the columns of every prediction that can be segments: texts, categories, booleans and whole numbers."""
    numbers = {column.name for column in contract.columns if isinstance(column, Number)}
    return (*(name for name in contract.repeated if name not in numbers), _MODEL_VERSION)


def _check_columns(columns: Sequence[str], contract: Contract) -> Sequence[str]:
    """Return the columns; raise `UsageError` for a field that describes the answer, or that no JSON field can be."""
    known = _segment_columns(contract)
    others = set(PredictionCodec(contract).names).difference(known)
    for column in (column for column in columns if column not in known):
        if column in others or not column.isprintable() or {'"', "\\"} & set(column):
            raise UsageError(_describe_columns(column, known))
    return tuple(dict.fromkeys(columns))


def _describe_columns(column: str, existing: Sequence[str]) -> str:
    names = ", ".join(name[:40] for name in existing[:_MAX_COLUMNS])
    return f"--by: the predictions have no column {column[:40]!r} to group by; they have {names}"


def decode_valid(value: bytes | None, codec: PredictionCodec) -> Prediction | None:
    """Return the prediction; None if the value is not a prediction with a probability from 0 to 1."""
    try:
        prediction: Prediction = codec.decode(value or b"")
    except BAD_DATA:
        return None
    return prediction if 0 <= prediction.probability <= 1 else None


def time_of(prediction: Prediction, record: Record) -> float:
    """Return the prediction's time in seconds since 1970, or its record's if that time is invalid."""
    time = _to_timestamp(prediction.processed_ts)
    return time if time > -math.inf else record.timestamp()[1] / 1_000


def _describe_versions(versions: TopCounter, unreadable: int) -> str:
    names = [name[:40] for name, _ in versions.most_common()]
    if not names and unreadable:
        return f"{unreadable:,} values are not predictions of this contract; --model names the model that made them"
    if not names:
        return "there are no predictions at all"
    more = f" and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else ""
    return f"there are predictions of {', '.join(names[:_MAX_NAMED])}{more}"
