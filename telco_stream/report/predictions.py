"""Filters and aggregates the records of the predictions topic.

A period filters by `processed_ts`, the time of the answer. Dead letters have this time too, so one period covers both;
the event time of a dead letter may be missing or wrong.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from telco_stream.contract.customer import BAD_DATA
from telco_stream.errors import UsageError
from telco_stream.messages.prediction import Prediction, decode_prediction
from telco_stream.messages.record import Record
from telco_stream.report.analytics import Analytics, Segment, Summary
from telco_stream.report.trends import TopCounter
from telco_stream.runtime.period import ALWAYS, Period, to_timestamp

#: Called with each counted prediction and its time in seconds since 1970.
OnPrediction: TypeAlias = Callable[[Prediction, float], None]

#: Maximum number of model versions that the error for an unknown version names.
_MAX_NAMED = 3


@dataclass(frozen=True, slots=True)
class PredictionFilter:
    """Selects the predictions of a period and, unless None, of a model version."""

    period: Period = ALWAYS
    model_version: str | None = None


#: All predictions.
ALL = PredictionFilter()


@dataclass(frozen=True, slots=True)
class Report:
    """Summary, and data that its JSON doesn't include."""

    summary: Summary
    #: Records whose value is not a prediction.
    unreadable: int
    #: Segments by contract and internet service.
    crosstab: dict[tuple[str, str], Segment] = field(default_factory=dict)


def report(
    records: Iterable[Record],
    *,
    criteria: PredictionFilter = ALL,
    top_k: int = 10,
    on_prediction: Sequence[OnPrediction] = (),
) -> Report:
    """Aggregate the matching predictions among a topic's records, and pass each of them to `on_prediction`.

    Raises `UsageError` if no prediction of the period has the model version.
    """
    analytics, selection = Analytics(), _Selection(records, criteria)
    for prediction, time in selection:
        analytics.add(prediction)
        for call in on_prediction:
            call(prediction, time)
    selection.check_version()
    return Report(analytics.result(top_k), selection.unreadable, analytics.crosstab())


class _Selection:
    """Iterator over the matching predictions among a topic's records, each with its time."""

    def __init__(self, records: Iterable[Record], criteria: PredictionFilter) -> None:
        self._records = records
        self._version = criteria.model_version
        self._start, self._end = criteria.period.bounds()
        self._other_versions = TopCounter()
        self._matches = 0
        #: Records so far whose value is not a prediction; another program wrote them.
        self.unreadable = 0

    def __iter__(self) -> Iterator[tuple[Prediction, float]]:
        clock = _Clock()
        for record in self._records:
            prediction = _decode(record.value())
            if prediction is None:
                self.unreadable += 1
                continue
            time = clock.time_of(prediction, record)
            if not self._start <= time < self._end:
                continue
            if self._version in {None, prediction.model_version}:
                self._matches += 1
                yield prediction, time
            else:
                self._other_versions.add(prediction.model_version)

    def check_version(self) -> None:
        """Raise `UsageError` if no prediction has the model version of the filter."""
        if self._version is None or self._matches:
            return
        available = "there are no predictions at all"
        if names := [name[:40] for name, _ in self._other_versions.most_common()]:
            more = f" and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else ""
            available = f"there are predictions of {', '.join(names[:_MAX_NAMED])}{more}"
        raise UsageError(f"No prediction here has model version {self._version[:40]!r}: {available}")


class _Clock:
    """Parser of prediction times that caches the last one: all answers of a micro-batch have the same time."""

    def __init__(self) -> None:
        self._text = ""
        self._instant = -math.inf

    def time_of(self, prediction: Prediction, record: Record) -> float:
        """Return the prediction's time in seconds since 1970, or its record's if that time is invalid."""
        if prediction.processed_ts != self._text:
            self._text = prediction.processed_ts
            self._instant = to_timestamp(self._text)
        return self._instant if self._instant > -math.inf else record.timestamp()[1] / 1_000


def _decode(value: bytes | None) -> Prediction | None:
    """Return the prediction; None if the value is not a prediction with a probability from 0 to 1."""
    try:
        prediction = decode_prediction(value or b"")
    except BAD_DATA:
        return None
    return prediction if 0 <= prediction.churn_probability <= 1 else None
