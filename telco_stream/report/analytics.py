"""Aggregation of predictions, for `report` and for the summary of a batch run.

A customer's newest prediction is the prediction of the newest event: `event_ts` as an instant, since it can be in any
time zone. Of equal instants, the last one added counts. The order of arrival is not enough: a replayed dead letter or a
backfill brings an old event late, and raw records without a key spread a customer over several partitions.

A customer takes one dictionary entry and twenty bytes in arrays, however many predictions there are. Any program can
write any text to the topic, so the number of segments and the length of IDs are limited.
"""

import hashlib
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from heapq import nsmallest
from typing import TypeVar

from telco_stream.contract.customer import CATEGORIES
from telco_stream.messages.prediction import CHURN, Prediction
from telco_stream.runtime.period import to_timestamp

#: Name of the segment for values beyond the limits.
OTHER = "(other)"
#: Maximum number of pairs of contract and internet service; further values not in the contract count as `OTHER`.
MAX_SEGMENTS = 100
#: Maximum length of a segment's name and of an ID that is kept in full, in characters.
_MAX_NAME = 200
#: Name of a group of segments.
_Name = TypeVar("_Name", str, tuple[str, str])
_CONTRACTS, _SERVICES = map(frozenset, (CATEGORIES["Contract"], CATEGORIES["InternetService"]))


@dataclass(frozen=True, slots=True)
class Segment:
    """Counts of a group of predictions; `churn_rate` is from 0 to 1, and 0 without predictions."""

    total: int
    churners: int
    churn_rate: float


@dataclass(frozen=True, slots=True)
class AtRisk:
    """Newest prediction of a customer at high risk."""

    customerID: str  # noqa: N815 - named as in the message
    churn_probability: float
    Contract: str
    InternetService: str


@dataclass(frozen=True, slots=True)
class Summary:
    """Aggregated predictions; rates are shares of predictions, from 0 to 1, and 0 without predictions."""

    total: int
    customers: int
    churners: int
    churn_rate: float
    mean_probability: float
    by_contract: Mapping[str, Segment]
    by_internet_service: Mapping[str, Segment]
    top: tuple[AtRisk, ...]


@dataclass(frozen=True, slots=True)
class Window:
    """Counts of one micro-batch of a batch run; windows are numbered from 1."""

    number: int
    consumed: int
    predicted: int
    dead_lettered: int
    churners: int
    seconds: float

    @property
    def churn_rate(self) -> float:
        """Return the share of churners among the window's predictions, from 0 to 1."""
        return _share(self.churners, self.predicted)


class Analytics:
    """Running aggregate of predictions."""

    def __init__(self) -> None:
        self._segments: dict[tuple[str, str], int] = {}
        self._totals: list[int] = []
        self._churners: list[int] = []
        self._probability_sum = 0.0
        self._rows: dict[str, int] = {}
        self._instants = array("d")
        self._probabilities = array("d")
        self._segment_of = array("I")

    def add(self, prediction: Prediction) -> None:
        """Count one prediction."""
        pair = (prediction.Contract, prediction.InternetService)
        segment = self._segments.get(pair)
        if segment is None:
            segment = self._new_segment(pair)
        self._totals[segment] += 1
        if prediction.prediction == CHURN:
            self._churners[segment] += 1
        self._probability_sum += prediction.churn_probability
        self._remember(prediction, segment)

    def add_all(self, predictions: Iterable[Prediction]) -> None:
        """Count predictions in order."""
        add = self.add
        for prediction in predictions:
            add(prediction)

    def result(self, top_k: int) -> Summary:
        """Return the summary so far, with the `top_k` customers at the highest risk, equal risks ordered by ID."""
        total, churners = sum(self._totals), sum(self._churners)
        return Summary(
            total=total,
            customers=len(self._rows),
            churners=churners,
            churn_rate=_share(churners, total),
            mean_probability=_share(self._probability_sum, total),
            by_contract=self._grouped(lambda pair: pair[0]),
            by_internet_service=self._grouped(lambda pair: pair[1]),
            top=tuple(self._top(top_k)),
        )

    def crosstab(self) -> dict[tuple[str, str], Segment]:
        """Return the segments so far by pair of contract and internet service, in alphabetical order."""
        return self._grouped(lambda pair: pair)

    def _new_segment(self, pair: tuple[str, str]) -> int:
        """Return the number of the pair's segment; beyond the limits, of a segment with `OTHER`."""
        if len(self._segments) >= MAX_SEGMENTS or max(map(len, pair)) > _MAX_NAME:
            contract, service = pair
            pair = (contract if contract in _CONTRACTS else OTHER, service if service in _SERVICES else OTHER)
        if pair not in self._segments:
            self._totals.append(0)
            self._churners.append(0)
        return self._segments.setdefault(pair, len(self._segments))

    def _remember(self, prediction: Prediction, segment: int) -> None:
        """Keep the prediction if it is the customer's newest."""
        when = to_timestamp(prediction.event_ts)
        rows = self._rows
        customer = prediction.customerID
        row = rows.setdefault(customer if len(customer) <= _MAX_NAME else _shortened(customer), len(rows))
        if row == len(self._instants):
            self._instants.append(when)
            self._probabilities.append(prediction.churn_probability)
            self._segment_of.append(segment)
        elif when >= self._instants[row]:
            self._instants[row] = when
            self._probabilities[row] = prediction.churn_probability
            self._segment_of[row] = segment

    def _grouped(self, name_of: Callable[[tuple[str, str]], _Name]) -> dict[_Name, Segment]:
        """Return the segments by their name, in alphabetical order."""
        sums: dict[_Name, tuple[int, int]] = {}
        for pair, segment in self._segments.items():
            total, churners = sums.get(name_of(pair), (0, 0))
            sums[name_of(pair)] = (total + self._totals[segment], churners + self._churners[segment])
        return {name: Segment(*sums[name], _share(sums[name][1], sums[name][0])) for name in sorted(sums)}

    def _top(self, size: int) -> Iterator[AtRisk]:
        pairs, probabilities = list(self._segments), self._probabilities
        highest = nsmallest(size, self._rows.items(), key=lambda item: (-probabilities[item[1]], item[0]))
        for customer, row in highest:
            yield AtRisk(customer, probabilities[row], *pairs[self._segment_of[row]])


def _shortened(customer: str) -> str:
    """Return the beginning of the ID and its hash, which is different for IDs that begin alike."""
    return f"{customer[:_MAX_NAME]}…{hashlib.sha256(customer.encode()).hexdigest()}"


def _share(part: float, whole: int) -> float:
    return part / whole if whole else 0.0
