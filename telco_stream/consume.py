"""Raw topic to scores: the only loop. Take, process, deliver.

Where records pour, the next batch is taken and scored while the last one is on its way to the broker: one at the most,
and what is made of the next one goes nowhere before that one is committed.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, Protocol

from telco_stream.analytics import Analytics, Summary
from telco_stream.batch import Limits, Outcome, process
from telco_stream.contracts.scoring import Scorer
from telco_stream.errors import DataError, TelcoStreamError
from telco_stream.kafka.delivery import Delivering, Delivery
from telco_stream.kafka.source import Batch, Source
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
    line = _Line(source, delivery, tally, watch)
    try:
        while (stopped_by := tally.stopped_by(source, stop)) is None or not line.settle():
            if stopped_by:
                continue  # what was on its way was not committed, so there may be no reason any more
            batch = source.take(room := tally.room(), _PATIENCE, lull=lull)
            watch.turned()
            if batch.records:
                tally.took(source.dead_letters_in_a_row())
                made = _made(batch, scorer, plan.limits, now(), tally.dead_letters_in_a_row)
                line.send(made, batch, full=len(batch.records) >= room)
                del made
            elif line.settle():
                source.answer(batch.reached)
            del batch  # before the next one comes: kept until then, it would double a batch's memory
    except Stopped:
        stopped_by = "signal"
    finally:
        line.leave()
    return tally.result(stopped_by)


def nothing_consumed(plan: Plan) -> ConsumeResult:
    """The result of a run that was stopped before it had begun."""
    return _Tally(plan).result("signal")


def stamps(records: Sequence[Record]) -> list[float]:
    """The times, in seconds since 1970, of up to 64 evenly spaced records; those without one are left out."""
    some = min(_SAMPLES, len(records))
    found = [records[number * len(records) // some].timestamp() for number in range(some)]
    return [milliseconds / 1_000 for kind, milliseconds in found if kind]


@dataclass(frozen=True, slots=True)
class _Made:
    """What a batch has led to, and how many seconds that took."""

    outcome: Outcome
    seconds: float


def _made(batch: Batch, scorer: Scorer, limits: Limits, now: str, before: int) -> _Made:
    started = time.perf_counter()
    outcome = process(batch.records, scorer, now=now, limits=limits, dead_letters_before=before)
    return _Made(outcome, time.perf_counter() - started)


@dataclass(frozen=True, slots=True)
class _OnItsWay:
    """A batch between `deliver` and its result, without its records."""

    made: _Made
    reached: Mapping[int, int]
    stamps: Sequence[float]
    started: float
    delivering: Delivering

    def seconds(self) -> Seconds:
        """How long it took, now that it is committed; clocks that disagree make no age below 0."""
        ended = self.delivering.ended
        at = time.time() - (time.perf_counter() - ended)
        return Seconds(self.made.seconds, ended - self.started, [max(0.0, at - one) for one in self.stamps])


class _Line:
    """What is on its way to the broker while the next batch is made: one batch at the most."""

    def __init__(self, source: Source, delivery: Delivery, tally: "_Tally", watch: Watch) -> None:
        self._source, self._delivery, self._tally, self._watch = source, delivery, tally, watch
        self._going: _OnItsWay | None = None

    def send(self, made: _Made, batch: Batch, *, full: bool) -> None:
        """Begin to deliver a batch; one that isn't full has nothing behind it, so its end is waited for.

        Where the one before was not committed, all that came after it is forgotten, and read again.
        """
        if not (self.settle() and self._source.holds(batch)):
            return
        self._tally.begin(made.outcome)
        started = time.perf_counter()
        delivering = self._delivery.deliver(made.outcome, batch)
        self._going = _OnItsWay(made, batch.reached, stamps(batch.records), started, delivering)
        if not full:
            self.settle()

    def settle(self) -> bool:
        """Whether what is on its way, if anything is, has been committed."""
        going, self._going = self._going, None
        if going is None:
            return True
        committed = going.delivering.result()
        if committed:
            self._tally.add(going.made.outcome, going.delivering.ended)
            self._source.answer(going.reached)
            self._watch.delivered(going.made.outcome, going.seconds())
        else:
            self._tally.drop()
        return committed

    def leave(self) -> None:
        """At the end, whatever the reason: what is on its way still counts if it gets there."""
        with suppress(Stopped, TelcoStreamError):
            self.settle()


class _Tally:
    """What has been answered so far, and whether that is enough."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._analytics = Analytics()
        self._predicted = self._dead_lettered = self._batches = 0
        self._first_taken = self._last_committed = self._idle_since = 0.0
        self._going = self._in_a_row_before = 0
        #: As the last batch left it, be it committed or on its way.
        self.dead_letters_in_a_row = 0

    def room(self) -> int:
        """How many records the next batch may have."""
        if self._plan.max_messages is None:
            return self._plan.batch_size
        return min(self._plan.batch_size, self._plan.max_messages - self._consumed - self._going)

    def took(self, in_a_row: int | None) -> None:
        """Records have arrived, perhaps from partitions whose last owner left a count of dead letters."""
        self._idle_since = time.perf_counter()
        self._first_taken = self._first_taken or self._idle_since
        self.dead_letters_in_a_row = max(self.dead_letters_in_a_row, in_a_row or 0)
        self._in_a_row_before = max(self._in_a_row_before, in_a_row or 0)

    def begin(self, outcome: Outcome) -> None:
        """A batch is about to be sent; raises where it has too many dead letters in a row."""
        _refuse_a_flood(outcome, self._plan.max_dead_letters_in_a_row)
        self._going = outcome.consumed
        self._in_a_row_before, self.dead_letters_in_a_row = self.dead_letters_in_a_row, outcome.last_run

    def drop(self) -> None:
        """It was not committed, and comes again."""
        self._going, self.dead_letters_in_a_row = 0, self._in_a_row_before

    def add(self, outcome: Outcome, at: float) -> None:
        """It was committed at this time, by `time.perf_counter`."""
        self._going = 0
        self._predicted += len(outcome.predictions)
        self._dead_lettered += len(outcome.letters)
        self._batches += 1
        self._last_committed, self._idle_since = at, time.perf_counter()
        if self._plan.mode == "batch":
            self._analytics.add_all(outcome.answers)

    def stopped_by(self, source: Source, stop: Stop) -> StoppedBy | None:
        """The first reason to stop, if there is one."""
        if stop.requested:
            return "signal"
        if self._plan.max_messages is not None and self.room() <= 0:
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
