"""Raw topic to scores: the only loop. Take, process, deliver.

Where a stream pours, the next batch is taken and scored while the last one is on its way to the broker: one at most,
and what is made of the next one goes nowhere before that one is committed.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from telco_stream.consume.counters import ConsumePlan, ConsumeResult, RunCounters, StoppedBy
from telco_stream.consume.delivery import Delivery, PendingDelivery
from telco_stream.kafka.background import SHUTDOWN_GRACE_SECONDS
from telco_stream.kafka.source import Batch, Source
from telco_stream.messages.record import Record
from telco_stream.model.scorer import Scorer
from telco_stream.monitoring.protocols import BatchObserver, BatchTimings
from telco_stream.runtime.signals import Stop, Stopped
from telco_stream.scoring import Outcome, process

#: Seconds that one take waits for a first record: the longest that a signal or a bound has to wait too.
_PATIENCE = 0.5
#: Records of a batch whose age is looked at.
_SAMPLES = 64


def consume(  # noqa: PLR0913 - the doors, handed in
    source: Source,
    delivery: Delivery,
    scorer: Scorer,
    plan: ConsumePlan,
    *,
    now: Callable[[], str],
    stop: Stop,
    watch: BatchObserver,
) -> ConsumeResult:
    """Answer records until a bound is met or a stop is asked for; raises `DataError` on too many bad ones in a row."""
    counters, idle = RunCounters(plan), (plan.idle_timeout or math.inf) if plan.mode == "batch" else 0
    line = _InFlight(source, delivery, counters, watch, stop)
    try:
        while (stopped_by := line.ended_by()) is None:
            batch = source.poll_batch(remaining := counters.remaining(), _PATIENCE, idle=idle)
            watch.on_poll()
            if batch.records:
                counters.took(source.dead_letters_in_a_row())
                made = _process_batch(batch, scorer, plan, now(), counters.consecutive_dead_letters)
                line.send(made, batch, go_on=plan.mode == "streaming" and len(batch.records) >= remaining)
                del made
            elif line.await_commit():
                source.answered = batch.next_positions
                source.commit_answered()
            del batch  # before the next one comes: kept until then, it would double a batch's memory
        source.commit_answered(at_once=True)
    except Stopped:
        stopped_by = "signal"
        with suppress(Stopped):
            line.await_commit()
    finally:
        line.leave()
    return counters.result(stopped_by)


def nothing_consumed(plan: ConsumePlan) -> ConsumeResult:
    """The result of a run that was stopped before it had begun."""
    return RunCounters(plan).result("signal")


def stamps(records: Sequence[Record]) -> list[float]:
    """The times, in seconds since 1970, of up to 64 evenly spaced records; those without one are left out."""
    some = min(_SAMPLES, len(records))
    found = [records[number * len(records) // some].timestamp() for number in range(some)]
    return [milliseconds / 1_000 for kind, milliseconds in found if kind]


@dataclass(frozen=True, slots=True)
class _ProcessedBatch:
    """What a batch has led to, and how many seconds that took."""

    outcome: Outcome
    seconds: float


def _process_batch(batch: Batch, scorer: Scorer, plan: ConsumePlan, now: str, before: int) -> _ProcessedBatch:
    started = time.perf_counter()
    outcome = process(
        batch.records, scorer, now=now, limits=plan.limits, topic_id=plan.topic_id, consecutive_before=before
    )
    return _ProcessedBatch(outcome, time.perf_counter() - started)


@dataclass(frozen=True, slots=True)
class _PendingBatch:
    """A batch between `deliver` and its result, without its records."""

    made: _ProcessedBatch
    next_positions: Mapping[int, int]
    stamps: Sequence[float]
    started: float
    pending_delivery: PendingDelivery

    def seconds(self) -> BatchTimings:
        """How long it took, now that it is committed; clocks that disagree make no age below 0."""
        ended = self.pending_delivery.ended
        at = time.time() - (time.perf_counter() - ended)
        return BatchTimings(self.made.seconds, ended - self.started, [max(0.0, at - one) for one in self.stamps])


class _InFlight:
    """What is on its way to the broker while the next batch is made: one batch at the most."""

    def __init__(
        self, source: Source, delivery: Delivery, counters: RunCounters, watch: BatchObserver, stop: Stop
    ) -> None:
        self._source, self._delivery, self._counters, self._watch, self._stop = source, delivery, counters, watch, stop
        self._going: _PendingBatch | None = None

    def ended_by(self) -> StoppedBy | None:
        """The reason to stop, if there is one that outlasts what is on its way: what fails comes again."""
        while (reason := self._counters.stopped_by(self._source, self._stop)) is not None and not self.await_commit():
            pass
        return reason

    def send(self, made: _ProcessedBatch, batch: Batch, *, go_on: bool) -> None:
        """Begin to deliver a batch, and see it through unless the next one is to be made meanwhile.

        What was taken before a batch failed is void, and so is what somebody who wants to stop need not wait for.
        """
        waits = self._going is not None
        self.await_commit()
        if not self._source.is_current(batch) or (waits and self._stop.requested):
            return
        self._source.confirm_topic()
        self._counters.begin(made.outcome)
        started = time.perf_counter()
        pending_delivery = self._delivery.deliver(made.outcome, batch)
        self._going = _PendingBatch(made, batch.next_positions, stamps(batch.records), started, pending_delivery)
        if not go_on or pending_delivery.ended < math.inf:
            self.await_commit()

    def await_commit(self) -> bool:
        """Whether what is on its way, if anything is, has been committed."""
        going, self._going = self._going, None
        if going is None:
            return True
        committed = going.pending_delivery.result()
        if committed:
            self._counters.add(going.made.outcome, going.pending_delivery.ended)
            self._source.answered = going.next_positions
            self._watch.on_committed(going.made.outcome, going.seconds())
        else:
            self._counters.drop()
        return committed

    def leave(self) -> None:
        """At the end, whatever the reason: what is on its way had better get there than be left to its time-out."""
        if self._going:
            self._going.pending_delivery.wait(SHUTDOWN_GRACE_SECONDS)
