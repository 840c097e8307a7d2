"""Aggregation of predictions, for `report` and for the summary of a batch run."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from types import MappingProxyType
from typing import Any

from telco_stream.contract.document import builtin_contract
from telco_stream.contract.schema import Contract
from telco_stream.messages.prediction import Prediction, PredictionCodec
from telco_stream.model.drift.results import DriftResult
from telco_stream.model.manifest import LiftStep
from telco_stream.model.reasons.sentences import Sentences
from telco_stream.report.customers import (
    MAX_NAME,
    MAX_SEGMENTS,
    MISSING,
    OTHER,
    AtRisk,
    ContactPlan,
    CustomerSegment,
    MainReason,
    NewestPredictions,
    known_segments,
    segment_name,
    share,
)


@dataclass(frozen=True, slots=True)
class Segment:
    """Counts of a group of predictions; `churn_rate` is from 0 to 1, and 0 without predictions."""

    total: int
    churners: int
    churn_rate: float


@dataclass(frozen=True, slots=True)
class PreviousPeriod:
    """Totals of the period of the same length before, from `since` to `until`."""

    since: str
    until: str
    total: int
    customers: int
    expected_leavers: float
    expected_share: float
    flagged: int
    flagged_share: float


@dataclass(frozen=True, slots=True)
class Summary:
    """Aggregated predictions; shares and rates are from 0 to 1, and 0 without predictions.

    By each customer's newest prediction: `expected_leavers` is the sum of the probabilities, `flagged` the number of
    customers at or above the threshold (the positive label), `revenue_at_risk` the charges expected to be lost (null
    unless the predictions have the contract's charge as a number), and `segments` have the same by value of each
    column. By prediction: `total`, `churners` (the positive label), `churn_rate`, `mean_probability`, and the same
    `by_*` value of each of the contract's segments. `report` alone has `lift` (the share of the positive labels reached
    by contacting a share of the customers, from its manifest; if the model made any of the predictions), with
    `--since` the totals of the `previous` period of the same length, and with the options for it the `contact_plan`.
    With `--drift` it has the `drift` of the records. `control` is the number of customers in the control group, who are
    not in `top` and `contact_plan`. If predictions have reasons, `reasons` counts the main ones of flagged customers.
    """

    total: int
    customers: int
    churners: int
    churn_rate: float
    mean_probability: float
    by: Mapping[str, Mapping[str, Segment]]
    top: tuple[AtRisk, ...]
    expected_leavers: float
    expected_share: float
    flagged: int
    flagged_share: float
    revenue_at_risk: float | None
    segments: Mapping[str, Mapping[str, CustomerSegment]]
    lift: tuple[LiftStep, ...] | None = None
    contact_plan: ContactPlan | None = None
    previous: PreviousPeriod | None = None
    control: int = 0
    drift: DriftResult | None = None
    reasons: tuple[MainReason, ...] | None = None
    #: Contract of the predictions, by which the summary is worded; not part of the JSON.
    contract: Contract = field(default_factory=builtin_contract)


@dataclass(frozen=True, slots=True)
class Window:
    """Counts of one micro-batch of a batch run, or of several together; windows are numbered from 1."""

    number: int
    consumed: int
    predicted: int
    dead_lettered: int
    churners: int
    seconds: float
    #: Number of the last window, if there are several.
    last: int | None = None

    @property
    def churn_rate(self) -> float:
        """Return the share of churners among the window's predictions, from 0 to 1."""
        return share(self.churners, self.predicted)

    def merge(self, later: "Window") -> "Window":
        """Return this window and a later one together."""
        return Window(
            self.number,
            self.consumed + later.consumed,
            self.predicted + later.predicted,
            self.dead_lettered + later.dead_lettered,
            self.churners + later.churners,
            self.seconds + later.seconds,
            last=later.last or later.number,
        )


class Analytics:
    """Running aggregate of the predictions of a contract, and of their customers by value of the columns `by`."""

    def __init__(
        self,
        codec: PredictionCodec,
        by: Sequence[str] | None = None,
        sentences: Mapping[str, Sentences] = MappingProxyType({}),
    ) -> None:
        """Begin without predictions; `sentences` are about the features of the model."""
        contract = self._contract = codec.contract
        self._sentences = sentences
        columns = {column.name: column for column in contract.columns}
        self._known = [known_segments(columns[name]) for name in contract.segments]
        self._group_of = _getter(["prediction", *(codec.attributes[name] for name in contract.segments)])
        #: Predictions by their word and the values of their segments.
        self._groups: dict[tuple[Any, ...], int] = {}
        #: Different values of the segments.
        self._combinations: set[tuple[Any, ...]] = set()
        self._probability_sum = 0.0
        #: Newest prediction of each customer.
        self.newest = NewestPredictions(contract, codec.attributes, contract.segments if by is None else by)

    def add(self, prediction: Prediction) -> None:
        """Count one prediction."""
        group = self._group_of(prediction)
        if group in self._groups:
            self._groups[group] += 1
        else:
            group = self._new_group(group)
            self._groups[group] = self._groups.get(group, 0) + 1
        self._probability_sum += prediction.probability
        self.newest.add(prediction)

    def add_all(self, predictions: Iterable[Prediction]) -> None:
        """Count predictions in order."""
        add = self.add
        for prediction in predictions:
            add(prediction)

    def result(self, top_k: int) -> Summary:
        """Return the summary so far, with the `top_k` customers at the highest risk, equal risks ordered by ID."""
        positive = self._contract.label.positive
        total = sum(self._groups.values())
        churners = sum(number for group, number in self._groups.items() if group[0] == positive)
        customers = self.newest.total()
        return Summary(
            total=total,
            customers=customers.customers,
            churners=churners,
            churn_rate=share(churners, total),
            mean_probability=share(self._probability_sum, total),
            by={name: self._by_value(position) for position, name in enumerate(self._contract.segments, 1)},
            top=tuple(self.newest.top(top_k)),
            expected_leavers=customers.expected_leavers,
            expected_share=customers.expected_share,
            flagged=customers.flagged,
            flagged_share=customers.flagged_share,
            revenue_at_risk=self.newest.revenue_at_risk(),
            segments=self.newest.segments(),
            control=self.newest.control(),
            reasons=self.newest.main_reasons(self._sentences),
            contract=self._contract,
        )

    def _new_group(self, group: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return the group; beyond the limits, the one in which unknown values count as `OTHER`."""
        values = [segment_name(value) for value in group[1:]]
        if group[1:] in self._combinations:
            return group
        if len(self._combinations) < MAX_SEGMENTS and max(map(len, values), default=0) <= MAX_NAME:
            self._combinations.add(group[1:])
            return group
        pairs = zip(values, self._known, strict=True)
        return group[0], *(value if value in known or value == MISSING else OTHER for value, known in pairs)

    def _by_value(self, position: int) -> dict[str, Segment]:
        """Return the predictions by the value at this position of their group, in alphabetical order."""
        positive, sums = self._contract.label.positive, dict[str, tuple[int, int]]()
        for group, number in self._groups.items():
            name = segment_name(group[position])
            total, churners = sums.get(name, (0, 0))
            sums[name] = (total + number, churners + number * (group[0] == positive))
        return {name: Segment(*sums[name], share(sums[name][1], sums[name][0])) for name in sorted(sums)}


def _getter(attributes: Sequence[str]) -> Callable[[Prediction], tuple[Any, ...]]:
    """Return a function that returns these attributes, also a single one as a tuple."""
    get = attrgetter(*attributes)
    return get if len(attributes) > 1 else lambda prediction: (get(prediction),)
