"""What the predictions topic says.

A prediction's time is that of the answer, `processed_ts`: dead letters have the same, so that one period means the same
for both, where the event's own time may be any in a letter.
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
from telco_stream.runtime.period import ALWAYS, Period, instant

#: Hears of each prediction that is counted, and when it was made, in seconds since 1970.
Look: TypeAlias = Callable[[Prediction, float], None]

#: Model versions that are named where the one that was asked for isn't there.
_NAMED = 3


@dataclass(frozen=True, slots=True)
class PredictionFilter:
    """Which predictions count: those of the period, and of the model version if one is given."""

    period: Period = ALWAYS
    model_version: str | None = None


#: All predictions.
ALL = PredictionFilter()


@dataclass(frozen=True, slots=True)
class Report:
    """The summary, and what is no part of its JSON: how many values are no predictions, and both segments crossed."""

    summary: Summary
    unreadable: int
    crosstab: dict[tuple[str, str], Segment] = field(default_factory=dict)


def report(
    records: Iterable[Record], *, wanted: PredictionFilter = ALL, top_k: int = 10, looks: Sequence[Look] = ()
) -> Report:
    """The numbers of the wanted predictions among a topic's records, in their order, each of them shown to `looks`.

    Raises `UsageError` where no prediction of the period has the model version.
    """
    analytics, selection = Analytics(), Selection(records, wanted)
    for prediction, time in selection:
        analytics.add(prediction)
        for look in looks:
            look(prediction, time)
    selection.check_version()
    return Report(analytics.result(top_k), selection.unreadable, analytics.crosstab())


class Selection:
    """The wanted predictions among a topic's records, each with its time."""

    def __init__(self, records: Iterable[Record], wanted: PredictionFilter) -> None:
        self._records = records
        self._version = wanted.model_version
        self._start, self._end = wanted.period.bounds()
        self._others = TopCounter()
        self._found = 0
        #: Values so far that are no predictions; another hand has written them.
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
                self._found += 1
                yield prediction, time
            else:
                self._others.add(prediction.model_version)

    def check_version(self) -> None:
        """Raises `UsageError` where a model version was asked for that no prediction has."""
        if self._version is None or self._found:
            return
        there = "there are no predictions at all"
        if names := [name[:40] for name, _ in self._others.most_common()]:
            more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
            there = f"there are predictions of {', '.join(names[:_NAMED])}{more}"
        raise UsageError(f"No prediction here has model version {self._version[:40]!r}: {there}")


class _Clock:
    """Reads times; all answers of a micro-batch have the same, which is then read once."""

    def __init__(self) -> None:
        self._text = ""
        self._instant = -math.inf

    def time_of(self, prediction: Prediction, record: Record) -> float:
        """When the prediction was made; where it doesn't say so, when its record was written."""
        if prediction.processed_ts != self._text:
            self._text = prediction.processed_ts
            self._instant = instant(self._text)
        return self._instant if self._instant > -math.inf else record.timestamp()[1] / 1_000


def _decode(value: bytes | None) -> Prediction | None:
    """The prediction, or nothing where another hand has written something else to the topic."""
    try:
        prediction = decode_prediction(value or b"")
    except BAD_DATA:
        return None
    return prediction if 0 <= prediction.churn_probability <= 1 else None
