"""Health of a run: whether the loop is alive and every partition advances."""

import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Self

from telco_stream.monitoring.protocols import ViewPartitions
from telco_stream.runtime.signals import Stopped

log = logging.getLogger("telco_stream.consume.loop")

#: Longest time in seconds between two checks of the partitions.
_CHECK_SECONDS = 5.0

#: Returns the end offsets of these partitions, without those whose leader doesn't answer. The second argument limits
#: them to committed records (the last stable offset instead of the high watermark).
EndOffsets = Callable[[Collection[int], bool], Mapping[int, int]]


class Heartbeat:
    """Time of the loop's last iteration."""

    def __init__(self, limit: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._clock = clock
        self._last = clock()
        #: The same time in seconds since 1970.
        self.last_tick = time.time()

    def tick(self) -> None:
        """Record an iteration."""
        self._last = self._clock()
        self.last_tick = time.time()

    def problems(self) -> list[str]:
        """Return a message if the last iteration is longer ago than the limit."""
        seconds = self._clock() - self._last
        return [f"The loop has not completed an iteration for {seconds:.0f} s"] if seconds > self._limit else []


@dataclass(frozen=True, slots=True)
class PartitionProgress:
    """Offsets of a partition (None is unknown), and the monotonic time until which it was healthy."""

    answered: int | None
    end: int | None
    last_progress_at: float

    @property
    def lag(self) -> int | None:
        """Offsets between the end and the last answer; None if one of them is unknown."""
        if self.answered is None or self.end is None:
            return None
        return max(0, self.end - self.answered)


def update_progress(
    before: Mapping[int, PartitionProgress],
    *,
    assigned: Collection[int],
    answered: Mapping[int, int],
    ends: Mapping[int, int],
    now: float,
) -> dict[int, PartitionProgress]:
    """Return the progress of the assigned partitions.

    A partition is healthy if it advanced or has no lag; unknown offsets count as neither.
    """
    return {
        partition: _progress_of(before.get(partition), answered.get(partition), ends.get(partition), now)
        for partition in assigned
    }


class StallDetector:
    """Checks every few seconds whether each partition advances, in a thread because a hanging loop can't check itself.

    `expects_assignment` is false under `group.protocol=consumer`, where the client reports no assignment to a member
    that gets no partition.
    """

    def __init__(  # noqa: PLR0913 - the partitions to check, and whom to notify
        self,
        topic: str,
        partitions: ViewPartitions,
        ends: EndOffsets,
        *,
        limit: float,
        on_stall: Callable[[str], None],
        expects_assignment: bool = True,
    ) -> None:
        self._topic = topic
        self._partitions = partitions
        self._ends = ends
        self._limit = limit
        self._on_stall = on_stall
        self._expects_assignment = expects_assignment
        self._stalled: dict[int, str] = {}
        self._checked_at = self._joined_at = time.monotonic()
        self._has_reported_no_assignment = False
        #: Progress at the last check, by partition.
        self.progress: dict[int, PartitionProgress] = {}
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="stall-detector", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def stalled_for(self) -> dict[int, float]:
        """Return the seconds for which each partition has not advanced although it should; 0 is healthy."""
        return {
            partition: self._checked_at - progress.last_progress_at for partition, progress in self.progress.items()
        }

    def problems(self) -> list[str]:
        """Return why the consumer is not ready: it has no partitions, or the named ones have stalled."""
        view = self._partitions()
        if not view.assigned:
            reason = f": {view.refusal}" if view.refusal else ""
            return [f"No partition of {self._topic} is assigned to this member{reason}"]
        return list(self._stalled.values())

    def update(self) -> None:
        """Check the partitions once; logs and reports each stall when it begins."""
        view = self._partitions()
        ends = self._ends(view.assigned, False) if view.assigned else {}  # noqa: FBT003 - a Callable takes positional arguments only
        now = time.monotonic()
        self.progress = update_progress(
            self.progress, assigned=view.assigned, answered=view.answered, ends=ends, now=now
        )
        self._checked_at = now
        self._check_assignment(now, has_assignment=view.joined)
        self._report({partition: seconds for partition, seconds in self.stalled_for().items() if seconds > self._limit})

    def _run(self) -> None:
        try:
            while not self._end.is_set():
                self.update()
                self._end.wait(min(_CHECK_SECONDS, self._limit / 4))
        except Stopped:
            return

    def _check_assignment(self, now: float, *, has_assignment: bool) -> None:
        """Report once if the group has assigned nothing to this member for too long, not even an empty set."""
        if has_assignment or not self._expects_assignment:
            self._joined_at, self._has_reported_no_assignment = now, False
        elif now - self._joined_at > self._limit and not self._has_reported_no_assignment:
            self._has_reported_no_assignment = True
            seconds = now - self._joined_at
            description = f"{self.problems()[0]}; it has been outside of the group for {seconds:.0f} s"
            facts = {"topic": self._topic, "seconds": round(seconds, 1)}
            log.warning("%s", description, extra={"event": "not_joined", "facts": facts})
            self._on_stall(description)

    def _report(self, stalled: dict[int, float]) -> None:
        readable = self._ends(stalled.keys(), True) if stalled else {}  # noqa: FBT003 - as above
        before = self._stalled.keys()
        self._stalled = {
            partition: f"Partition {partition} of {self._topic} has not moved for {seconds:.0f} s: "
            + stall_reason(self.progress[partition], readable.get(partition))
            for partition, seconds in stalled.items()
        }
        for partition in sorted(stalled.keys() - before):
            facts = {"topic": self._topic, "partition": partition, "seconds": round(stalled[partition], 1)}
            log.warning("%s", self._stalled[partition], extra={"event": "stalled", "facts": facts})
            self._on_stall(self._stalled[partition])
        for partition in sorted(before - stalled.keys()):
            facts = {"topic": self._topic, "partition": partition}
            extra = {"event": "stall_resolved", "facts": facts}
            log.info("partition %d of %s moves again", partition, self._topic, extra=extra)


def stall_reason(progress: PartitionProgress, last_stable_offset: int | None) -> str:
    """Describe why a partition does not advance."""
    if progress.end is None:
        return "its leader doesn't answer"
    if progress.answered is None:
        return "no record has been fetched since it was assigned"
    if last_stable_offset is not None and last_stable_offset <= progress.answered:
        return f"{progress.lag} offsets behind, all of them held back by a transaction that is still open"
    return f"{progress.lag} offsets behind"


def _progress_of(
    before: PartitionProgress | None, answered: int | None, end: int | None, now: float
) -> PartitionProgress:
    if before is None:
        return PartitionProgress(answered, end, now)
    if answered is None:  # rewound to the committed offset; this is not progress
        answered = before.answered
    progress = PartitionProgress(answered, end, now)
    if answered != before.answered or progress.lag == 0:
        return progress
    return PartitionProgress(answered, end, before.last_progress_at)
