"""Raw topic to scores: the only loop. Take, process, deliver, and only then take again."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from telco_stream.analytics import Analytics, Summary
from telco_stream.batch import Limits, Outcome, process
from telco_stream.contracts.scoring import Scorer
from telco_stream.errors import DataError
from telco_stream.kafka.delivery import Delivery
from telco_stream.kafka.source import Source
from telco_stream.records import Record
from telco_stream.stop import Stop, Stopped

StoppedBy = Literal["signal", "idle", "max-messages", "end"]

#: Seconds that one take waits for a first record: the longest that a signal or a bound has to wait too.
_PATIENCE = 0.5
#: Records of a batch whose age is looked at.
_SAMPLES = 64


@dataclass(frozen=True, slots=True)
class Plan:
    """How to consume, and when to stop."""

    mode: Literal["batch", "streaming"]
    batch_size: int
    limits: Limits
    max_messages: int | None = None
    idle_timeout: float | None = None
    max_dead_letters_in_a_row: int = 0
    top_k: int = 10


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


class Watch(Protocol):
    """Whoever looks on: progress, metrics, logs."""

    def turned(self) -> None:
        """The loop has come round."""

    def delivered(self, outcome: Outcome, seconds: "Seconds") -> None:
        """A batch is committed."""


@dataclass(frozen=True, slots=True)
class Seconds:
    """How long the two halves of a batch took."""

    processing: float
    delivery: float
    #: From time stamp to commit, of some records that are evenly spaced: to ask each would cost what scoring costs.
    ages: Sequence[float] = ()


def consume(  # noqa: PLR0913 - the doors, handed in
    source: Source, delivery: Delivery, scorer: Scorer, plan: Plan, *, now: Callable[[], str], stop: Stop, watch: Watch
) -> ConsumeResult:
    """Answer records until a bound is met or a stop is asked for; raises `DataError` on too many bad ones in a row."""
    tally, lull = _Tally(plan), (plan.idle_timeout or math.inf) if plan.mode == "batch" else 0
    try:
        while (stopped_by := tally.stopped_by(source, stop)) is None:
            batch = source.take(tally.room(), _PATIENCE, lull=lull)
            watch.turned()
            if not batch.records:
                continue
            tally.took(source.dead_letters_in_a_row())
            started = time.perf_counter()
            outcome = process(
                batch.records, scorer, now=now(), limits=plan.limits, dead_letters_before=tally.dead_letters_in_a_row
            )
            _refuse_a_flood(outcome, plan.max_dead_letters_in_a_row)
            processed = time.perf_counter()
            if delivery.deliver(outcome, batch):
                tally.add(outcome)
                delivered = time.perf_counter()
                watch.delivered(
                    outcome, Seconds(processed - started, delivered - processed, ages(batch.records, time.time()))
                )
            del batch, outcome  # before the next ones come: kept until then, they would double a batch's memory
    except Stopped:
        stopped_by = "signal"
    return tally.result(stopped_by)


def nothing_consumed(plan: Plan) -> ConsumeResult:
    """The result of a run that was stopped before it had begun."""
    return _Tally(plan).result("signal")


def ages(records: Sequence[Record], now: float) -> list[float]:
    """Seconds since the time stamps of up to 64 evenly spaced records; clocks that disagree make none below 0."""
    some = min(_SAMPLES, len(records))
    stamps = [records[number * len(records) // some].timestamp() for number in range(some)]
    return [max(0.0, now - milliseconds / 1_000) for kind, milliseconds in stamps if kind]


class _Tally:
    """What has been answered so far, and whether that is enough."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._analytics = Analytics()
        self._predicted = self._dead_lettered = self._batches = 0
        self._first_taken = self._last_committed = self._idle_since = 0.0
        self.dead_letters_in_a_row = 0

    def room(self) -> int:
        """How many records the next batch may have."""
        if self._plan.max_messages is None:
            return self._plan.batch_size
        return min(self._plan.batch_size, self._plan.max_messages - self._consumed)

    def took(self, in_a_row: int | None) -> None:
        """Records have arrived, perhaps from partitions whose last owner left a count of dead letters."""
        self._idle_since = time.perf_counter()
        self._first_taken = self._first_taken or self._idle_since
        self.dead_letters_in_a_row = max(self.dead_letters_in_a_row, in_a_row or 0)

    def add(self, outcome: Outcome) -> None:
        """Count a committed batch."""
        self._predicted += len(outcome.predictions)
        self._dead_lettered += len(outcome.letters)
        self._batches += 1
        self.dead_letters_in_a_row = outcome.last_run
        self._last_committed = self._idle_since = time.perf_counter()
        if self._plan.mode == "batch":
            self._analytics.add_all(outcome.answers)

    def stopped_by(self, source: Source, stop: Stop) -> StoppedBy | None:
        """The first reason to stop, if there is one."""
        if stop.requested:
            return "signal"
        if self._plan.max_messages is not None and self._consumed >= self._plan.max_messages:
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
        """Idle counts from when the group has handed out its partitions: before, nothing can arrive."""
        if self._plan.idle_timeout is None or not source.joined:
            return False
        self._idle_since = self._idle_since or time.perf_counter()
        return time.perf_counter() - self._idle_since >= self._plan.idle_timeout


def _refuse_a_flood(outcome: Outcome, most: int) -> None:
    """So many bad records in a row mean a broken upstream or a wrong model; the batch is left as it is."""
    if not most or outcome.longest_run < most:
        return
    last = outcome.rejected[-1]
    where = f"{last.record.topic()}/{last.record.partition()}/{last.record.offset()}"
    raise DataError(
        f"{outcome.longest_run} dead letters in a row, up to {where} ({last.error_type}: {last.code}); nothing of this"
        " batch was committed: mend the producer or the model, or raise --max-consecutive-dead-letters"
    )
