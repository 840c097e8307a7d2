"""Predictions to numbers, as a fold: what `report` shows, and what a batch run closes with.

The newest prediction of a customer is that of the newest event, by `event_ts` as an instant; of equal instants the one
added last counts. Order of arrival alone would let a replayed dead letter or a backfill, which bring an old event late,
take the place of a newer answer; and raw records without a key reach a customer's partition from several others.
Instants, because the text may carry any zone.

A customer costs a dictionary's entry and twenty bytes in arrays, whatever the number of predictions. Anybody may write
any text to the topic, so segments and the length of ids are limited.
"""

import hashlib
from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from heapq import nsmallest

from telco_stream.contract.customer import CATEGORIES
from telco_stream.messages.prediction import CHURN, Prediction
from telco_stream.runtime.period import instant

#: The segment of all values that have none of their own.
OTHER = "(other)"
#: Pairs of contract and internet service beyond which a value that the contract doesn't name counts as `OTHER`.
MAX_SEGMENTS = 100
#: Characters of the longest value that has a segment, and of the longest id that is kept.
_MAX_NAME = 200
_CONTRACTS, _SERVICES = map(frozenset, (CATEGORIES["Contract"], CATEGORIES["InternetService"]))


@dataclass(frozen=True, slots=True)
class Segment:
    """A group of predictions; `churn_rate` is from 0 to 1, and 0 of none."""

    total: int
    churners: int
    churn_rate: float


@dataclass(frozen=True, slots=True)
class AtRisk:
    """A customer and the newest probability of churn."""

    customerID: str  # noqa: N815 - named as in the message
    churn_probability: float
    Contract: str
    InternetService: str


@dataclass(frozen=True, slots=True)
class Summary:
    """What the predictions say; rates are shares of predictions, from 0 to 1, and 0 where there are none."""

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
    """One micro-batch of a batch run; windows are numbered from 1."""

    number: int
    consumed: int
    predicted: int
    dead_lettered: int
    churners: int
    seconds: float

    @property
    def churn_rate(self) -> float:
        """Churners among the window's predictions, from 0 to 1."""
        return _share(self.churners, self.predicted)


class Analytics:
    """The predictions so far, folded."""

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
        """Count each prediction, in their order."""
        add = self.add
        for prediction in predictions:
            add(prediction)

    def result(self, top_k: int) -> Summary:
        """The numbers so far, with the `top_k` customers at the highest risk; equal ones by id."""
        total, churners = sum(self._totals), sum(self._churners)
        return Summary(
            total=total,
            customers=len(self._rows),
            churners=churners,
            churn_rate=_share(churners, total),
            mean_probability=_share(self._probability_sum, total),
            by_contract=self._by(0),
            by_internet_service=self._by(1),
            top=tuple(self._top(top_k)),
        )

    def crosstab(self) -> dict[tuple[str, str], Segment]:
        """The segments so far by contract and internet service together, in alphabetical order."""
        counts = {pair: (self._totals[place], self._churners[place]) for pair, place in self._segments.items()}
        return {pair: Segment(*counts[pair], _share(counts[pair][1], counts[pair][0])) for pair in sorted(counts)}

    def _new_segment(self, pair: tuple[str, str]) -> int:
        """Return the number of the pair's segment, which may be one of those that stand for all others."""
        if len(self._segments) >= MAX_SEGMENTS or max(map(len, pair)) > _MAX_NAME:
            contract, service = pair
            pair = (contract if contract in _CONTRACTS else OTHER, service if service in _SERVICES else OTHER)
        if pair not in self._segments:
            self._totals.append(0)
            self._churners.append(0)
        return self._segments.setdefault(pair, len(self._segments))

    def _remember(self, prediction: Prediction, segment: int) -> None:
        """Keep the customer's newest prediction."""
        when = instant(prediction.event_ts)
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

    def _by(self, place: int) -> dict[str, Segment]:
        """The segments by the first or the second of their names, in alphabetical order."""
        sums: dict[str, tuple[int, int]] = {}
        for pair, segment in self._segments.items():
            total, churners = sums.get(pair[place], (0, 0))
            sums[pair[place]] = (total + self._totals[segment], churners + self._churners[segment])
        return {name: Segment(*sums[name], _share(sums[name][1], sums[name][0])) for name in sorted(sums)}

    def _top(self, size: int) -> Iterator[AtRisk]:
        pairs, probabilities = list(self._segments), self._probabilities
        highest = nsmallest(size, self._rows.items(), key=lambda item: (-probabilities[item[1]], item[0]))
        for customer, row in highest:
            yield AtRisk(customer, probabilities[row], *pairs[self._segment_of[row]])


def _shortened(customer: str) -> str:
    """Return the id's beginning and its hash, which tells it from others that begin in the same way."""
    return f"{customer[:_MAX_NAME]}…{hashlib.sha256(customer.encode()).hexdigest()}"


def _share(part: float, whole: int) -> float:
    return part / whole if whole else 0.0
