"""Loop of `consume` and `outcomes check`: poll a micro-batch, process it, deliver it (consume-transform-produce).

In streaming mode the commit of a full batch overlaps with polling and processing the next one. At most one batch is in
flight, and the next one is sent only after its commit.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from telco_stream.consume.counters import ConsumePlan, ConsumeResult, RunCounters, StoppedBy
from telco_stream.kafka.blocking_calls import SHUTDOWN_GRACE_SECONDS
from telco_stream.kafka.source import Batch
from telco_stream.messages.record import Record
from telco_stream.monitoring.protocols import BatchTimings, RunObserver, sample_batch
from telco_stream.runtime.signals import Stop, Stopped
from telco_stream.scoring import Outcome

#: Returns the outcome of a batch, before which there are this number of consecutive dead letters.
Process: TypeAlias = Callable[[Sequence[Record], int], Outcome]
#: Seconds that a poll waits for the first record; signals and stop conditions are noticed after it.
_POLL_SECONDS = 0.5


class Source(Protocol):
    """Member of a consumer group that reads a topic in batches."""

    @property
    def ended(self) -> bool:
        """Return whether all assigned partitions have been read to the end that the topic had when the run began."""

    @property
    def is_reading(self) -> bool:
        """Return whether every assigned partition has been fetched from."""

    @property
    def refusal(self) -> str | None:
        """Return why the group refuses this member, or None."""

    def poll_batch(self, max_records: int, timeout: float, *, idle: float = 0) -> Batch:
        """Return the available records; wait up to `timeout` seconds for the first.

        With `idle`, wait for a full batch, the end of the topic or this many seconds without a record.
        """

    def is_current(self, batch: Batch) -> bool:
        """Return whether the source has not been rewound since it returned the batch."""

    def confirm_topic(self) -> None:
        """Raise `KafkaError` if the topic has been deleted or created again since the run began."""

    def consecutive_dead_letters(self) -> int | None:
        """Return and clear the number of consecutive dead letters before the newly assigned partitions."""

    def commit_answered(self, answered: Mapping[int, int], *, at_once: bool = False) -> None:
        """Commit these offsets after a while without a record, or at once."""


class PendingDelivery(Protocol):
    """Delivery of an outcome whose commit may still be running."""

    @property
    def ended(self) -> float:
        """Return the time (`time.perf_counter`) at which it ended; infinite while it runs."""

    def wait(self, seconds: float) -> None:
        """Wait for its end, at most this long."""

    def result(self) -> bool:
        """Wait for its end, and return whether the outcome was committed.

        If not, the source has been rewound to the committed offsets, and every batch polled before that is stale.
        """


class Delivery(Protocol):
    """Delivers outcomes, each completely or not at all."""

    def deliver(self, outcome: Outcome, batch: Batch) -> PendingDelivery:
        """Send the messages and begin to commit the offsets; call it after the previous delivery has ended."""


@dataclass(frozen=True, slots=True)
class _PendingBatch:
    """Batch in flight, without its records."""

    outcome: Outcome
    #: Seconds that it took to process.
    processing: float
    next_positions: Mapping[int, int]
    timestamps: Sequence[float]
    started: float
    delivery: PendingDelivery
    #: Seconds that the shadow model took.
    shadow: float = 0.0

    def timings(self) -> BatchTimings:
        """Return the timings of the committed batch; an age is at least 0, even if the clocks disagree."""
        ended = self.delivery.ended
        committed_at = time.time() - (time.perf_counter() - ended)
        ages = [max(0.0, committed_at - timestamp) for timestamp in self.timestamps]
        return BatchTimings(self.processing, ended - self.started, ages, self.shadow)


class ConsumeLoop:
    """Loop of one run, with its counters and the batch in flight, which nothing else changes."""

    def __init__(  # noqa: PLR0913 - what varies is passed in
        self,
        source: Source,
        delivery: Delivery,
        process: Process,
        plan: ConsumePlan,
        *,
        stop: Stop,
        observers: Sequence[RunObserver],
        compare: Callable[[Outcome], Outcome] = lambda outcome: outcome,
    ) -> None:
        """Set up a run; `compare` is called with each outcome while it is being committed."""
        self._source = source
        self._delivery = delivery
        self._process = process
        self._compare = compare
        self._plan = plan
        self._stop = stop
        self._observers = observers
        self._counters = RunCounters(plan)
        self._pending: _PendingBatch | None = None
        #: Offset up to which each partition is answered, including transaction markers. Other threads may read it.
        self.answered: Mapping[int, int] = {}

    def run(self) -> ConsumeResult:
        """Consume until a stop condition is met; raise `DataError` at too many consecutive dead letters."""
        try:
            while (stopped_by := self._stop_reason()) is None:
                self._process_next_batch()
            self._source.commit_answered(self.answered, at_once=True)
        except Stopped:
            stopped_by = "signal"
            with suppress(Stopped):
                self._await_commit()
        finally:
            if self._pending:  # its transaction isn't left open until it times out
                self._pending.delivery.wait(SHUTDOWN_GRACE_SECONDS)
        return self._counters.result(stopped_by)

    def _process_next_batch(self) -> None:
        """Poll, process and deliver a batch.

        Its records are freed on return, before the next poll, which would double the memory.
        """
        plan, counters = self._plan, self._counters
        idle = (plan.idle_timeout or math.inf) if plan.mode == "batch" else 0
        batch = self._source.poll_batch(remaining := counters.remaining(), _POLL_SECONDS, idle=idle)
        for observer in self._observers:
            observer.on_poll()
        if not batch.records:
            if self._await_commit():
                self.answered = batch.next_positions
                self._source.commit_answered(self.answered)
            return
        counters.on_received(self._source.consecutive_dead_letters())
        started = time.perf_counter()
        outcome = self._process(batch.records, counters.consecutive_dead_letters)
        processing = time.perf_counter() - started
        self._deliver(outcome, batch, processing, overlap=plan.mode == "streaming" and len(batch.records) >= remaining)

    def _deliver(self, outcome: Outcome, batch: Batch, processing: float, *, overlap: bool) -> None:
        """Begin to deliver a batch; wait for its commit too, unless it may overlap with the next batch.

        Drops the batch if the one before it failed, because both are read again, or if a stop has been requested while
        it waited for the one before it.
        """
        has_waited = self._pending is not None
        self._await_commit()
        if not self._source.is_current(batch) or (has_waited and self._stop.requested):
            return
        self._source.confirm_topic()
        self._counters.on_deliver(outcome)
        started = time.perf_counter()
        delivery = self._delivery.deliver(outcome, batch)
        timestamps = sample_timestamps(batch.records)
        for observer in self._observers:
            observer.on_delivering(outcome)
        compared_at = time.perf_counter()
        outcome = self._compare(outcome)
        shadow = time.perf_counter() - compared_at
        self._pending = _PendingBatch(outcome, processing, batch.next_positions, timestamps, started, delivery, shadow)
        if not overlap or delivery.ended < math.inf:
            self._await_commit()

    def _await_commit(self) -> bool:
        """Wait for the batch in flight, if any; return whether it was committed."""
        pending, self._pending = self._pending, None
        if pending is None:
            return True
        committed = pending.delivery.result()
        if committed:
            self.answered = pending.next_positions
            self._counters.on_committed(pending.outcome, pending.delivery.ended)
            timings = pending.timings()
            for observer in self._observers:
                observer.on_committed(pending.outcome, timings)
        else:
            self._counters.roll_back()
        return committed

    def _stop_reason(self) -> StoppedBy | None:
        """Return the stop condition that is met and still holds after the batch in flight has ended, or None."""
        while (reason := self._stop_condition()) is not None and not self._await_commit():
            pass  # the batch will be read again, so that the condition may no longer hold
        return reason

    def _stop_condition(self) -> StoppedBy | None:
        """Return the first stop condition that is met, or None."""
        if self._stop.requested:
            return "signal"
        if self._counters.remaining() <= 0:
            return "max-messages"
        if self._plan.mode == "batch" and self._source.ended:
            return "end"
        return "idle" if self._is_idle() else None

    def _is_idle(self) -> bool:
        """Return whether no record has arrived for the idle timeout, counted from the start of the run.

        Joining the group and the first fetch take some time, at least `join_timeout` is allowed for them.
        """
        timeout = self._plan.idle_timeout
        if timeout is None or self._pending or self._source.refusal:
            return False
        if not self._source.is_reading:
            timeout = max(timeout, self._plan.join_timeout)
        return time.perf_counter() - self._counters.idle_since >= timeout


def sample_timestamps(records: Sequence[Record]) -> list[float]:
    """Return the timestamps, in seconds since 1970, of up to 64 evenly spaced records; skip missing ones."""
    timestamps = [record.timestamp() for record in sample_batch(records)]
    return [milliseconds / 1_000 for kind, milliseconds in timestamps if kind]
