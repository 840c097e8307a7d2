"""Raw topic to scores: the only loop. Take, process, deliver.

Where a stream pours, the next batch is taken and scored while the last one is on its way to the broker: one at most,
and what is made of the next one goes nowhere before that one is committed.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from telco_stream.batch import Outcome, process
from telco_stream.contracts.scoring import Scorer
from telco_stream.kafka.calls import GRACE
from telco_stream.kafka.delivery import Delivering, Delivery
from telco_stream.kafka.source import Batch, Source
from telco_stream.records import Record
from telco_stream.stop import Stop, Stopped
from telco_stream.tally import ConsumeResult, Plan, StoppedBy, Tally

#: Seconds that one take waits for a first record: the longest that a signal or a bound has to wait too.
_PATIENCE = 0.5
#: Records of a batch whose age is looked at.
_SAMPLES = 64


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
    tally, lull = Tally(plan), (plan.idle_timeout or math.inf) if plan.mode == "batch" else 0
    line = _Line(source, delivery, tally, watch, stop)
    try:
        while (stopped_by := line.ended_by()) is None:
            batch = source.take(room := tally.room(), _PATIENCE, lull=lull)
            watch.turned()
            if batch.records:
                tally.took(source.dead_letters_in_a_row())
                made = _made(batch, scorer, plan, now(), tally.dead_letters_in_a_row)
                line.send(made, batch, go_on=plan.mode == "streaming" and len(batch.records) >= room)
                del made
            elif line.settle():
                source.answered = batch.reached
                source.commit_answered()
            del batch  # before the next one comes: kept until then, it would double a batch's memory
        source.commit_answered(at_once=True)
    except Stopped:
        stopped_by = "signal"
        with suppress(Stopped):
            line.settle()
    finally:
        line.leave()
    return tally.result(stopped_by)


def nothing_consumed(plan: Plan) -> ConsumeResult:
    """The result of a run that was stopped before it had begun."""
    return Tally(plan).result("signal")


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


def _made(batch: Batch, scorer: Scorer, plan: Plan, now: str, before: int) -> _Made:
    started = time.perf_counter()
    outcome = process(
        batch.records, scorer, now=now, limits=plan.limits, topic_id=plan.topic_id, dead_letters_before=before
    )
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

    def __init__(self, source: Source, delivery: Delivery, tally: Tally, watch: Watch, stop: Stop) -> None:
        self._source, self._delivery, self._tally, self._watch, self._stop = source, delivery, tally, watch, stop
        self._going: _OnItsWay | None = None

    def ended_by(self) -> StoppedBy | None:
        """The reason to stop, if there is one that outlasts what is on its way: what fails comes again."""
        while (reason := self._tally.stopped_by(self._source, self._stop)) is not None and not self.settle():
            pass
        return reason

    def send(self, made: _Made, batch: Batch, *, go_on: bool) -> None:
        """Begin to deliver a batch, and see it through unless the next one is to be made meanwhile.

        What was taken before a batch failed is void, and so is what somebody who wants to stop need not wait for.
        """
        waits = self._going is not None
        self.settle()
        if not self._source.holds(batch) or (waits and self._stop.requested):
            return
        self._source.confirm_topic()
        self._tally.begin(made.outcome)
        started = time.perf_counter()
        delivering = self._delivery.deliver(made.outcome, batch)
        self._going = _OnItsWay(made, batch.reached, stamps(batch.records), started, delivering)
        if not go_on or delivering.ended < math.inf:
            self.settle()

    def settle(self) -> bool:
        """Whether what is on its way, if anything is, has been committed."""
        going, self._going = self._going, None
        if going is None:
            return True
        committed = going.delivering.result()
        if committed:
            self._tally.add(going.made.outcome, going.delivering.ended)
            self._source.answered = going.reached
            self._watch.delivered(going.made.outcome, going.seconds())
        else:
            self._tally.drop()
        return committed

    def leave(self) -> None:
        """At the end, whatever the reason: what is on its way had better get there than be left to its time-out."""
        if self._going:
            self._going.delivering.wait(GRACE)
