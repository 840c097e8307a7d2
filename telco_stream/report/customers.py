"""Newest prediction of each customer: whom the label is expected of, who is flagged, and which contacts pay.

A customer's newest prediction is the prediction of the newest event: `event_ts` as an instant, since it can be in any
time zone. Of equal instants, the last one added counts. The order of arrival is not enough: a replayed dead letter or a
backfill brings an old event late, and raw records without a key spread a customer over several partitions.

A customer takes one dictionary entry and about twenty bytes in arrays, however many predictions there are. Any program
can write any text to the topic, so the number of segments and the length of IDs are limited.
"""

import hashlib
import math
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import nsmallest
from itertools import compress
from typing import TypeVar

from telco_stream.contract.schema import Boolean, Carried, Category, Contract
from telco_stream.messages.prediction import APPROXIMATE_MARK, Prediction, main_reason
from telco_stream.model.reasons.sentences import Sentences, sentence_about
from telco_stream.runtime.period import to_timestamp

#: Key of a group of customers.
_Key = TypeVar("_Key", int, tuple[int, int])
#: Name of the segment for values beyond the limits, and for predictions that do not have the column.
OTHER, MISSING = "(other)", "(missing)"
#: Maximum number of segments; further values not in the contract count as `OTHER`.
MAX_SEGMENTS = 100
#: Maximum length of a segment's name and of an ID that is kept in full, in characters.
MAX_NAME = 200


@dataclass(frozen=True, slots=True)
class CustomerSegment:
    """Customers with the same value of a column; the shares are of the segment's customers, from 0 to 1."""

    customers: int
    expected_leavers: float
    expected_share: float
    flagged: int
    flagged_share: float


@dataclass(frozen=True, slots=True)
class AtRisk:
    """Newest prediction of a customer at high risk, with the values of the contract's segments.

    `main_reason` is the feature that raises the probability most, or has the largest effect if none raises it, after +
    or - for its direction; None if the prediction has no reasons. `meaning` is the sentence about it, in the live view.
    """

    key: str
    probability: float
    segments: Mapping[str, str]
    main_reason: str | None = None
    meaning: str = ""


@dataclass(frozen=True, slots=True)
class MainReason:
    """Flagged customers for whom the same feature raises the probability most.

    `share` is of the flagged customers with reasons, from 0 to 1, and `meaning` the sentence about the feature.
    """

    reason: str
    customers: int
    share: float
    meaning: str = ""


@dataclass(frozen=True, slots=True)
class ContactPlan:
    """Customers whom it pays to contact: `threshold` is the probability from which on a contact earns its cost."""

    contact_cost: float
    customer_value: float
    threshold: float
    customers: int
    expected_leavers: float
    expected_profit: float


class NewestPredictions:
    """Newest prediction of each customer, in arrays, and the customers by value of the columns `by`.

    `attributes` has the attribute of a prediction that holds each column.
    """

    def __init__(self, contract: Contract, attributes: Mapping[str, str], by: Sequence[str] = ()) -> None:
        self._positive, self._charge_of = contract.label.positive, attributes.get(contract.charge or "")
        self._contract_segments = contract.segments
        self._rows: dict[str, int] = {}
        self._instants, self._probabilities, self._flagged = array("d"), array("d"), array("B")
        #: Whether each customer belongs to the control group, which is not contacted.
        self._control = array("B")
        self._features = [feature.name for feature in contract.features]
        #: Position of each customer's main reason among the features, from 1, negative if it lowers the probability,
        #: and 0 without one; approximate ones follow the last feature. None until a prediction has reasons.
        self._reasons: array[int] | None = None
        #: Charges expected to be lost; None until a prediction has a charge.
        self._revenues: array[float] | None = None
        known = {column.name: known_segments(column) for column in contract.columns}
        names = dict.fromkeys([*contract.segments, *by])
        self._columns = {name: _Column(known.get(name, ()), attributes[name]) for name in names}
        self._by = tuple(by)
        self._arrays: list[array[float] | array[int]] = [
            self._instants,
            self._probabilities,
            self._flagged,
            self._control,
        ]
        self._arrays += [column.numbers for column in self._columns.values()]

    def add(self, prediction: Prediction) -> None:
        """Keep the prediction if it is the customer's newest."""
        when, customer = to_timestamp(prediction.event_ts), prediction.key
        row = self._rows.setdefault(customer if len(customer) <= MAX_NAME else shorten_id(customer), len(self._rows))
        if row == len(self._instants):
            for values in self._arrays:
                values.append(0)
        elif when < self._instants[row]:
            return
        self._instants[row] = when
        self._probabilities[row] = prediction.probability
        self._flagged[row] = prediction.prediction == self._positive
        self._control[row] = prediction.control is True
        if prediction.reasons is not None or self._reasons is not None:
            self._set_reason(row, prediction)
        charge = getattr(prediction, self._charge_of) if self._charge_of else None
        if charge is not None or self._revenues:
            self._set_revenue(row, charge)
        for column in self._columns.values():
            column.numbers[row] = column.number_of(prediction)

    def total(self) -> CustomerSegment:
        """Return all customers as one segment."""
        return _segment(len(self._rows), math.fsum(self._probabilities), sum(self._flagged))

    def segments(self) -> dict[str, dict[str, CustomerSegment]]:
        """Return the customers by value of each column, in alphabetical order."""
        return {name: self._by_value(self._columns[name]) for name in self._by}

    def crosstab(self) -> dict[tuple[str, str], CustomerSegment]:
        """Return the customers by pair of values of the first two segments, in alphabetical order; none without two."""
        if len(self._contract_segments) < 2:  # noqa: PLR2004 - a pair
            return {}
        rows, columns = (self._columns[name] for name in self._contract_segments[:2])
        pairs = self._group(zip(rows.numbers, columns.numbers, strict=True)).items()
        named = {(rows.names[row], columns.names[column]): segment for (row, column), segment in pairs}
        return {pair: named[pair] for pair in sorted(named)}

    def is_missing(self, column: str) -> bool:
        """Return whether there are predictions, and none of them has the column."""
        return self._columns[column].names == [MISSING]

    def revenue_at_risk(self) -> float | None:
        """Return the charges expected to be lost; None if no prediction has a number as charge."""
        return None if self._revenues is None else math.fsum(self._revenues)

    def control(self) -> int:
        """Return the number of customers in the control group."""
        return sum(self._control)

    def top(self, size: int) -> Iterator[AtRisk]:
        """Yield the customers at the highest risk outside the control group, equal risks ordered by ID."""
        probabilities, columns = self._probabilities, [self._columns[name] for name in self._contract_segments]
        highest = nsmallest(size, self._contactable(), key=lambda item: (-probabilities[item[1]], item[0]))
        for customer, row in highest:
            values = (column.names[column.numbers[row]] for column in columns)
            segments = dict(zip(self._contract_segments, values, strict=True))
            yield AtRisk(customer, probabilities[row], segments, self._reason(row))

    def main_reasons(self, sentences: Mapping[str, Sentences]) -> tuple[MainReason, ...] | None:
        """Return the main reasons of the flagged customers, most frequent first; None without reasons.

        `sentences` are about the features of the model.
        """
        if self._reasons is None:
            return None
        counts = Counter(compress(self._reasons, self._flagged))
        known = sum(number for position, number in counts.items() if position)
        return tuple(
            MainReason(self._reason_text(position), number, number / known, self._meaning(position, sentences))
            for position, number in counts.most_common()
            if position
        )

    def contact_plan(self, cost: float, value: float) -> ContactPlan:
        """Return the customers whose contact is expected to earn more than it costs; `cost` is below `value`.

        A contact earns `value` if the label had become positive: its expected profit is probability x value - cost. The
        control group is not contacted.
        """
        threshold = cost / value
        contacted = [
            probability
            for probability, control in zip(self._probabilities, self._control, strict=True)
            if probability >= threshold and not control
        ]
        expected = math.fsum(contacted)
        return ContactPlan(cost, value, threshold, len(contacted), expected, expected * value - len(contacted) * cost)

    def _contactable(self) -> Iterator[tuple[str, int]]:
        """Yield ID and row of each customer outside the control group."""
        control = self._control
        return (item for item in self._rows.items() if not control[item[1]])

    def _reason(self, row: int) -> str | None:
        return self._reason_text(self._reasons[row]) if self._reasons is not None and self._reasons[row] else None

    def _meaning(self, position: int, sentences: Mapping[str, Sentences]) -> str:
        return sentence_about(sentences, self._feature(position), position)

    def _reason_text(self, position: int) -> str:
        mark = APPROXIMATE_MARK if abs(position) > len(self._features) else ""
        return f"{'+' if position > 0 else '-'}{self._feature(position)}{mark}"

    def _feature(self, position: int) -> str:
        return self._features[(abs(position) - 1) % len(self._features)]

    def _set_reason(self, row: int, prediction: Prediction) -> None:
        """Set the main reason of the customer."""
        main = main_reason(prediction, flagged=bool(self._flagged[row]))
        if self._reasons is None:
            if main is None:
                return
            self._reasons = array("h", bytes(2 * len(self._instants)))
            self._arrays.append(self._reasons)
        position = 0
        if main is not None and main.feature in self._features:
            position = self._features.index(main.feature) + 1
            position += len(self._features) if prediction.reasons_approximate is True else 0
        self._reasons[row] = -position if main is not None and main.contribution < 0 else position

    def _set_revenue(self, row: int, charge: object) -> None:
        """Set the charge that is expected to be lost with the customer, 0 if the charge is not a number."""
        lost = 0.0
        if isinstance(charge, (int, float)) and not isinstance(charge, bool):
            lost = charge * self._probabilities[row]
            if self._revenues is None:
                self._revenues = array("d", bytes(8 * len(self._instants)))
                self._arrays.append(self._revenues)
        if self._revenues is not None:
            self._revenues[row] = lost

    def _by_value(self, column: "_Column") -> dict[str, CustomerSegment]:
        segments = {column.names[number]: segment for number, segment in self._group(column.numbers).items()}
        return {name: segments[name] for name in sorted(segments)}

    def _group(self, keys: Iterable[_Key]) -> dict[_Key, CustomerSegment]:
        """Return the customers with the same key as a segment; `keys` has one for each customer."""
        totals: dict[_Key, list[float]] = {}
        for key, probability, flagged in zip(keys, self._probabilities, self._flagged, strict=True):
            total = totals.get(key)
            if total is None:
                total = totals[key] = [0, 0.0, 0]
            total[0] += 1
            total[1] += probability
            total[2] += flagged
        return {key: _segment(int(size), expected, int(flagged)) for key, (size, expected, flagged) in totals.items()}


class _Column:
    """Values of a column, numbered in the order in which they were first seen, and each customer's number."""

    def __init__(self, known: Iterable[str], attribute: str) -> None:
        self.names: list[str] = []
        self.numbers = array("H")
        self._attribute = attribute
        self._known = frozenset(known) | {MISSING}
        self._number_of: dict[str, int] = {}

    def number_of(self, prediction: Prediction) -> int:
        """Return the number of the prediction's value; beyond the limits, of `OTHER`."""
        name = segment_name(getattr(prediction, self._attribute))
        number = self._number_of.get(name)
        return self._add(name) if number is None else number

    def _add(self, name: str) -> int:
        if name not in self._known and (len(self.names) >= MAX_SEGMENTS or len(name) > MAX_NAME):
            name = OTHER
        number = self._number_of.setdefault(name, len(self.names))
        if number == len(self.names):
            self.names.append(name)
        return number


def known_segments(column: Carried) -> frozenset[str]:
    """Return the names of the segments of a column that the contract defines."""
    if isinstance(column, Boolean):
        return frozenset({"true", "false"})
    if not isinstance(column, Category):
        return frozenset()
    return frozenset([*column.values, *([column.other] if column.other is not None else [])])


def segment_name(value: object) -> str:
    """Return the name of the segment with a value: booleans as in JSON, and `MISSING` for null and empty text."""
    if isinstance(value, str) and value:
        return value
    if value is None or value == "":
        return MISSING
    return str(value).lower() if isinstance(value, bool) else str(value)


def share(part: float, whole: int) -> float:
    """Return a part of a whole from 0 to 1, and any part of zero as 0."""
    return part / whole if whole else 0.0


def _segment(customers: int, expected: float, flagged: int) -> CustomerSegment:
    return CustomerSegment(customers, expected, share(expected, customers), flagged, share(flagged, customers))


def shorten_id(customer: str) -> str:
    """Return the beginning of the ID and its hash, which is different for IDs that begin alike."""
    return f"{customer[:MAX_NAME]}…{hashlib.sha256(customer.encode()).hexdigest()}"
