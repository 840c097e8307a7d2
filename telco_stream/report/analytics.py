"""Aggregation of predictions, for `report` and for the summary of a batch run."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from telco_stream.contract.customer import CATEGORIES
from telco_stream.messages.prediction import CHURN, Prediction
from telco_stream.model.manifest import LiftStep
from telco_stream.report.customers import (
    DEFAULT_COLUMNS,
    MAX_NAME,
    MAX_SEGMENTS,
    OTHER,
    AtRisk,
    ContactPlan,
    CustomerSegment,
    NewestPredictions,
    share,
)

_CONTRACTS, _SERVICES = map(frozenset, (CATEGORIES["Contract"], CATEGORIES["InternetService"]))


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
    customers at or above the threshold (prediction Yes), `revenue_at_risk` the monthly charges expected to be lost
    (null unless the predictions have a numeric `MonthlyCharges`), and `segments` have the same by value of each column.
    By prediction: `total`, `churners` (Yes), `churn_rate`, `mean_probability` and `by_*`. `report` alone has `lift`
    (the share of leavers reached by contacting a share of the customers, from cross-validation; if the model made any
    of the predictions), with `--since` the totals of the `previous` period of the same length, and with the options for
    it the `contact_plan`.
    """

    total: int
    customers: int
    churners: int
    churn_rate: float
    mean_probability: float
    by_contract: Mapping[str, Segment]
    by_internet_service: Mapping[str, Segment]
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
    """Running aggregate of predictions; `columns` are segments and the attributes of a prediction that hold them."""

    def __init__(self, columns: Mapping[str, str] = DEFAULT_COLUMNS) -> None:
        self._segments: dict[tuple[str, str], int] = {}
        self._totals: list[int] = []
        self._churners: list[int] = []
        self._probability_sum = 0.0
        #: Newest prediction of each customer.
        self.newest = NewestPredictions(columns)

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
        self.newest.add(prediction)

    def add_all(self, predictions: Iterable[Prediction]) -> None:
        """Count predictions in order."""
        add = self.add
        for prediction in predictions:
            add(prediction)

    def result(self, top_k: int) -> Summary:
        """Return the summary so far, with the `top_k` customers at the highest risk, equal risks ordered by ID."""
        total, churners = sum(self._totals), sum(self._churners)
        customers = self.newest.total()
        return Summary(
            total=total,
            customers=customers.customers,
            churners=churners,
            churn_rate=share(churners, total),
            mean_probability=share(self._probability_sum, total),
            by_contract=self._grouped(0),
            by_internet_service=self._grouped(1),
            top=tuple(self.newest.top(top_k)),
            expected_leavers=customers.expected_leavers,
            expected_share=customers.expected_share,
            flagged=customers.flagged,
            flagged_share=customers.flagged_share,
            revenue_at_risk=self.newest.revenue_at_risk(),
            segments=self.newest.segments(),
        )

    def _new_segment(self, pair: tuple[str, str]) -> int:
        """Return the number of the pair's segment; beyond the limits, of a segment with `OTHER`."""
        if len(self._segments) >= MAX_SEGMENTS or max(map(len, pair)) > MAX_NAME:
            contract, service = pair
            pair = (contract if contract in _CONTRACTS else OTHER, service if service in _SERVICES else OTHER)
        if pair not in self._segments:
            self._totals.append(0)
            self._churners.append(0)
        return self._segments.setdefault(pair, len(self._segments))

    def _grouped(self, position: int) -> dict[str, Segment]:
        """Return the segments by the contract (0) or the internet service (1), in alphabetical order."""
        sums: dict[str, tuple[int, int]] = {}
        for pair, segment in self._segments.items():
            total, churners = sums.get(pair[position], (0, 0))
            sums[pair[position]] = (total + self._totals[segment], churners + self._churners[segment])
        return {name: Segment(*sums[name], share(sums[name][1], sums[name][0])) for name in sorted(sums)}
