"""Plan, counters and result of a run of `consume`."""

import time
from dataclasses import dataclass, field
from typing import Literal

from telco_stream.contract.document import builtin_contract
from telco_stream.contract.schema import Contract
from telco_stream.errors import DataError
from telco_stream.messages.codec import compile_contract
from telco_stream.messages.prediction import Holdout
from telco_stream.model.reasons.request import ReasonRequest
from telco_stream.report.analytics import Analytics, Summary
from telco_stream.runtime.choices import Mode
from telco_stream.scoring import Limits, Outcome

#: Records of the first batch of a stream, which is small so that its answers come soon.
_FIRST_BATCH = 500

StoppedBy = Literal["signal", "idle", "max-messages", "end"]


@dataclass(frozen=True, slots=True)
class ConsumePlan:
    """Size of the batches and stop conditions of a run."""

    mode: Mode
    batch_size: int
    limits: Limits
    max_messages: int | None = None
    idle_timeout: float | None = None
    #: Seconds that the group may take to assign partitions before the run counts as idle.
    join_timeout: float = 0.0
    #: 0 is unlimited.
    max_consecutive_dead_letters: int = 0
    top_k: int = 10
    #: ID of the raw topic when the run began; None if the broker lacks topic IDs.
    topic_id: str | None = None
    #: Contract of the model.
    contract: Contract = field(default_factory=builtin_contract)
    #: Keys whose predictions are marked; None marks none.
    holdout: Holdout | None = None
    #: Reasons that predictions get; None for none.
    reasons: ReasonRequest | None = None


@dataclass(frozen=True, slots=True)
class ConsumeResult:
    """Result of a run; `analytics` in batch mode only."""

    mode: str
    consumed: int
    predicted: int
    dead_lettered: int
    batches: int
    seconds: float
    rate: float
    stopped_by: StoppedBy
    analytics: Summary | None = None


@dataclass(slots=True)
class CommittedTotals:
    """Counts of the committed batches of a run."""

    predicted: int = 0
    dead_lettered: int = 0
    batches: int = 0

    @property
    def consumed(self) -> int:
        """Records answered by a prediction or a dead letter."""
        return self.predicted + self.dead_lettered

    def add(self, predicted: int, dead_lettered: int) -> None:
        """Count a committed batch."""
        self.predicted += predicted
        self.dead_lettered += dead_lettered
        self.batches += 1

    def result(
        self, mode: Mode, seconds: float, stopped_by: StoppedBy, analytics: Summary | None = None
    ) -> ConsumeResult:
        """Return the result of a run in which the batches took `seconds`."""
        return ConsumeResult(
            mode=mode,
            consumed=self.consumed,
            predicted=self.predicted,
            dead_lettered=self.dead_lettered,
            batches=self.batches,
            seconds=round(seconds, 3),
            rate=round(self.consumed / seconds, 1) if seconds else 0.0,
            stopped_by=stopped_by,
            analytics=analytics,
        )


class RunCounters:
    """Counts of the committed batches and of the one in flight."""

    def __init__(self, plan: ConsumePlan) -> None:
        self._plan = plan
        self._analytics = Analytics(compile_contract(plan.contract).predictions)
        self._totals = CommittedTotals()
        self._first_received = self._last_committed = 0.0
        #: Time (`time.perf_counter`) of the last record or commit.
        self.idle_since = time.perf_counter()
        self._in_flight = self._consecutive_before = 0
        #: Dead letters at the end of the last batch, whether it is committed or in flight.
        self.consecutive_dead_letters = 0

    def remaining(self) -> int:
        """Return how many records the next batch may have."""
        is_first = self._plan.mode == "streaming" and not self._totals.batches and not self._in_flight
        size = min(self._plan.batch_size, _FIRST_BATCH) if is_first else self._plan.batch_size
        if self._plan.max_messages is None:
            return size
        return min(size, self._plan.max_messages - self._totals.consumed - self._in_flight)

    def on_received(self, consecutive: int | None) -> None:
        """Count from this number of dead letters on, if a new partition's last owner has left a higher one."""
        self.idle_since = time.perf_counter()
        self._first_received = self._first_received or self.idle_since
        self.consecutive_dead_letters = max(self.consecutive_dead_letters, consecutive or 0)
        self._consecutive_before = max(self._consecutive_before, consecutive or 0)

    def on_deliver(self, outcome: Outcome) -> None:
        """Count a batch as in flight; raise `DataError` if it has too many consecutive dead letters."""
        _check_consecutive_dead_letters(outcome, self._plan.max_consecutive_dead_letters)
        self._in_flight = outcome.consumed
        self._consecutive_before, self.consecutive_dead_letters = (
            self.consecutive_dead_letters,
            outcome.consecutive_dead_letters,
        )

    def on_committed(self, outcome: Outcome, ended: float) -> None:
        """Count the batch in flight as committed at this time (`time.perf_counter`)."""
        self._in_flight = 0
        self._totals.add(len(outcome.prediction_messages), len(outcome.dead_letter_messages))
        self._last_committed, self.idle_since = ended, time.perf_counter()
        if self._plan.mode == "batch":
            self._analytics.add_all(outcome.predictions)

    def roll_back(self) -> None:
        """Roll back the counts of the batch in flight, whose commit failed; it will be read again."""
        self._in_flight, self.consecutive_dead_letters = 0, self._consecutive_before
        self.idle_since = time.perf_counter()

    def result(self, stopped_by: StoppedBy) -> ConsumeResult:
        """Return the result; the rate is taken from the first record received to the last commit."""
        seconds = max(0.0, self._last_committed - self._first_received)
        analytics = self._analytics.result(self._plan.top_k) if self._plan.mode == "batch" else None
        return self._totals.result(self._plan.mode, seconds, stopped_by, analytics)


def _check_consecutive_dead_letters(outcome: Outcome, limit: int) -> None:
    """Raise `DataError` at the limit, which is a sign of a broken producer or a wrong model."""
    count = outcome.most_consecutive_dead_letters
    if not limit or count < limit:
        return
    last = outcome.rejected[-1]
    position = f"{last.topic}/{last.partition}/{last.offset}"
    raise DataError(
        f"{count} consecutive dead letters, up to {position} ({last.error_type}: {last.code});"
        " nothing of this batch was committed: fix the producer or the model, or raise --max-consecutive-dead-letters"
    )
