"""Loop of `consume`: poll a micro-batch, score it, deliver it (consume-transform-produce).

In streaming mode the commit of a full batch overlaps with polling and scoring the next one. At most one batch is in
flight, and the next one is sent only after its commit.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from telco_stream.consume.counters import ConsumePlan, ConsumeResult, RunCounters, StoppedBy
from telco_stream.consume.protocols import Delivery, PendingDelivery, Source
from telco_stream.kafka.blocking_calls import SHUTDOWN_GRACE_SECONDS
from telco_stream.kafka.source import Batch
from telco_stream.messages.record import Record
from telco_stream.model.scorer import Scorer
from telco_stream.monitoring.protocols import BatchTimings, RunObserver
from telco_stream.runtime.signals import Stop, Stopped
from telco_stream.scoring import Outcome, process

#: Seconds that a poll waits for the first record; signals and stop conditions are noticed after it.
_POLL_SECONDS = 0.5
#: Records of a batch whose timestamp is sampled.
_SAMPLES = 64


def consume(  # noqa: PLR0913 - what varies is passed in
    source: Source,
    delivery: Delivery,
    scorer: Scorer,
    counters: RunCounters,
    *,
    utc_timestamp: Callable[[], str],
    stop: Stop,
    observers: Sequence[RunObserver],
) -> ConsumeResult:
    """Consume until a stop condition is met; raise `DataError` at too many consecutive dead letters."""
    plan = counters.plan
    idle = (plan.idle_timeout or math.inf) if plan.mode == "batch" else 0
    in_flight = _InFlight(source, delivery, counters, observers, stop)
    try:
        while (stopped_by := in_flight.stop_reason()) is None:
            batch = source.poll_batch(remaining := counters.remaining(), _POLL_SECONDS, idle=idle)
            for observer in observers:
                observer.on_poll()
            if batch.records:
                counters.on_received(source.consecutive_dead_letters())
                processed = _process_batch(batch, scorer, plan, utc_timestamp(), counters.consecutive_dead_letters)
                is_full = len(batch.records) >= remaining
                in_flight.deliver(processed, batch, overlap=plan.mode == "streaming" and is_full)
                del processed
            elif in_flight.await_commit():
                counters.answered = batch.next_positions
                source.commit_answered(counters.answered)
            del batch  # frees its records before the next poll, which would double the memory
        source.commit_answered(counters.answered, at_once=True)
    except Stopped:
        stopped_by = "signal"
        with suppress(Stopped):
            in_flight.await_commit()
    finally:
        in_flight.close()
    return counters.result(stopped_by)


def sample_timestamps(records: Sequence[Record]) -> list[float]:
    """Return the timestamps, in seconds since 1970, of up to 64 evenly spaced records; skip missing ones."""
    count = min(_SAMPLES, len(records))
    timestamps = [records[index * len(records) // count].timestamp() for index in range(count)]
    return [milliseconds / 1_000 for kind, milliseconds in timestamps if kind]


@dataclass(frozen=True, slots=True)
class _ProcessedBatch:
    """Outcome of a batch, and the seconds that it took to process."""

    outcome: Outcome
    seconds: float


def _process_batch(
    batch: Batch, scorer: Scorer, plan: ConsumePlan, processed_at: str, consecutive_before: int
) -> _ProcessedBatch:
    started = time.perf_counter()
    outcome = process(
        batch.records,
        scorer,
        processed_at=processed_at,
        limits=plan.limits,
        topic_id=plan.topic_id,
        consecutive_before=consecutive_before,
    )
    return _ProcessedBatch(outcome, time.perf_counter() - started)


@dataclass(frozen=True, slots=True)
class _PendingBatch:
    """Batch in flight, without its records."""

    processed: _ProcessedBatch
    next_positions: Mapping[int, int]
    timestamps: Sequence[float]
    started: float
    delivery: PendingDelivery

    def timings(self) -> BatchTimings:
        """Return the timings of the committed batch; an age is at least 0, even if the clocks disagree."""
        ended = self.delivery.ended
        committed_at = time.time() - (time.perf_counter() - ended)
        ages = [max(0.0, committed_at - timestamp) for timestamp in self.timestamps]
        return BatchTimings(self.processed.seconds, ended - self.started, ages)


class _InFlight:
    """Batch whose commit overlaps with polling and scoring the next one; at most one."""

    def __init__(
        self,
        source: Source,
        delivery: Delivery,
        counters: RunCounters,
        observers: Sequence[RunObserver],
        stop: Stop,
    ) -> None:
        self._source = source
        self._delivery = delivery
        self._counters = counters
        self._observers = observers
        self._stop = stop
        self._pending: _PendingBatch | None = None

    def stop_reason(self) -> StoppedBy | None:
        """Return the stop condition that is met and still holds after the batch in flight has ended, or None."""
        while (reason := self._counters.stop_reason(self._source, self._stop)) is not None and not self.await_commit():
            pass  # the batch will be read again, so that the condition may no longer hold
        return reason

    def deliver(self, processed: _ProcessedBatch, batch: Batch, *, overlap: bool) -> None:
        """Begin to deliver a batch; wait for its commit too, unless it may overlap with the next batch.

        Drops the batch if the one before it failed, because both are read again, or if a stop has been requested while
        it waited for the one before it.
        """
        has_waited = self._pending is not None
        self.await_commit()
        if not self._source.is_current(batch) or (has_waited and self._stop.requested):
            return
        self._source.confirm_topic()
        self._counters.on_deliver(processed.outcome)
        started = time.perf_counter()
        delivery = self._delivery.deliver(processed.outcome, batch)
        timestamps = sample_timestamps(batch.records)
        self._pending = _PendingBatch(processed, batch.next_positions, timestamps, started, delivery)
        if not overlap or delivery.ended < math.inf:
            self.await_commit()

    def await_commit(self) -> bool:
        """Wait for the batch in flight, if any; return whether it was committed."""
        pending, self._pending = self._pending, None
        if pending is None:
            return True
        committed = pending.delivery.result()
        if committed:
            self._counters.on_committed(pending.processed.outcome, pending.delivery.ended, pending.next_positions)
            timings = pending.timings()
            for observer in self._observers:
                observer.on_committed(pending.processed.outcome, timings)
        else:
            self._counters.roll_back()
        return committed

    def close(self) -> None:
        """Wait for a batch still in flight, so that its transaction isn't left open until it times out."""
        if self._pending:
            self._pending.delivery.wait(SHUTDOWN_GRACE_SECONDS)
