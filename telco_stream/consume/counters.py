"""What one run of `consume` has answered so far, and whether that is enough."""

import time
from dataclasses import dataclass
from typing import Literal

from telco_stream.errors import DataError
from telco_stream.kafka.source import Source
from telco_stream.report.analytics import Analytics, Summary
from telco_stream.runtime.choices import Mode
from telco_stream.runtime.signals import Stop
from telco_stream.scoring import Limits, Outcome

StoppedBy = Literal["signal", "idle", "max-messages", "end"]


@dataclass(frozen=True, slots=True)
class ConsumePlan:
    """How to consume, and when to stop."""

    mode: Mode
    batch_size: int
    limits: Limits
    max_messages: int | None = None
    idle_timeout: float | None = None
    #: Seconds that the group may take to assign partitions before the run counts as idle.
    join_timeout: float = 0.0
    max_consecutive_dead_letters: int = 0
    top_k: int = 10
    #: ID of the raw topic when this run began; None where the broker has none.
    topic_id: str | None = None


@dataclass(frozen=True, slots=True)
class ConsumeResult:
    """What one run of `consume` did; `analytics` in batch mode only."""

    mode: str
    consumed: int
    predicted: int
    dead_lettered: int
    batches: int
    seconds: float
    rate: float
    stopped_by: StoppedBy
    analytics: Summary | None = None


class RunCounters:
    """Counts what is committed, and what is on its way."""

    def __init__(self, plan: ConsumePlan) -> None:
        self._plan = plan
        self._analytics = Analytics()
        self._predicted = self._dead_lettered = self._batches = 0
        self._first_taken = self._last_committed = 0.0
        self._idle_since = time.perf_counter()
        self._on_its_way = self._consecutive_before = 0
        #: As the last batch left it, be it committed or on its way.
        self.consecutive_dead_letters = 0

    def remaining(self) -> int:
        """How many records the next batch may have."""
        if self._plan.max_messages is None:
            return self._plan.batch_size
        return min(self._plan.batch_size, self._plan.max_messages - self._consumed - self._on_its_way)

    def took(self, consecutive: int | None) -> None:
        """Records have arrived, perhaps from partitions whose last owner left a count of dead letters."""
        self._idle_since = time.perf_counter()
        self._first_taken = self._first_taken or self._idle_since
        self.consecutive_dead_letters = max(self.consecutive_dead_letters, consecutive or 0)
        self._consecutive_before = max(self._consecutive_before, consecutive or 0)

    def begin(self, outcome: Outcome) -> None:
        """A batch is about to be sent; raises where it has too many dead letters in a row."""
        _check_consecutive_dead_letters(outcome, self._plan.max_consecutive_dead_letters)
        self._on_its_way = outcome.consumed
        self._consecutive_before, self.consecutive_dead_letters = (
            self.consecutive_dead_letters,
            outcome.trailing_dead_letter_run,
        )

    def drop(self) -> None:
        """It was not committed, and comes again."""
        self._on_its_way, self.consecutive_dead_letters = 0, self._consecutive_before
        self._idle_since = time.perf_counter()

    def add(self, outcome: Outcome, at: float) -> None:
        """It was committed at this time, by `time.perf_counter`."""
        self._on_its_way = 0
        self._predicted += len(outcome.prediction_messages)
        self._dead_lettered += len(outcome.dead_letter_messages)
        self._batches += 1
        self._last_committed, self._idle_since = at, time.perf_counter()
        if self._plan.mode == "batch":
            self._analytics.add_all(outcome.predictions)

    def stopped_by(self, source: Source, stop: Stop) -> StoppedBy | None:
        """The first reason to stop, if there is one."""
        if stop.requested:
            return "signal"
        if self._plan.max_messages is not None and self.remaining() <= 0:
            return "max-messages"
        if self._plan.mode == "batch" and source.ended:
            return "end"
        return "idle" if self._is_idle(source) else None

    def result(self, stopped_by: StoppedBy) -> ConsumeResult:
        """The run as a whole; the rate counts from the first record taken to the last one committed."""
        seconds = max(0.0, self._last_committed - self._first_taken)
        return ConsumeResult(
            mode=self._plan.mode,
            consumed=self._consumed,
            predicted=self._predicted,
            dead_lettered=self._dead_lettered,
            batches=self._batches,
            seconds=round(seconds, 3),
            rate=round(self._consumed / seconds, 1) if seconds else 0.0,
            stopped_by=stopped_by,
            analytics=self._analytics.result(self._plan.top_k) if self._plan.mode == "batch" else None,
        )

    @property
    def _consumed(self) -> int:
        return self._predicted + self._dead_lettered

    def _is_idle(self, source: Source) -> bool:
        """Return whether no record has come for the idle timeout, counted from the start of the run.

        Joining the group and the first fetch take a while, so that both are given `join_timeout` at least.
        """
        timeout = self._plan.idle_timeout
        if timeout is None or self._on_its_way or source.refusal:
            return False
        if not source.is_reading:
            timeout = max(timeout, self._plan.join_timeout)
        return time.perf_counter() - self._idle_since >= timeout


def _check_consecutive_dead_letters(outcome: Outcome, most: int) -> None:
    """So many bad records in a row mean a broken upstream or a wrong model; the batch is left as it is."""
    if not most or outcome.longest_dead_letter_run < most:
        return
    last = outcome.rejected[-1]
    where = f"{last.topic}/{last.partition}/{last.offset}"
    raise DataError(
        f"{outcome.longest_dead_letter_run} dead letters in a row, up to {where} ({last.error_type}: {last.code});"
        " nothing of this batch was committed: mend the producer or the model, or raise --max-consecutive-dead-letters"
    )
