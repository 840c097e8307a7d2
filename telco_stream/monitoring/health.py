"""Is the loop alive, and is it making progress? Answers for /healthz and /readyz, and the end of a stalled run."""

import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Protocol, Self

from telco_stream.monitoring.stalls import PartitionProgress, update
from telco_stream.runtime.signals import Stopped

log = logging.getLogger("telco_stream.consume.loop")

#: Seconds between two looks at the partitions, at the most.
_LOOK_EVERY = 5.0


class PartitionView(Protocol):
    """What is asked of whoever reads the topic."""

    @property
    def answered(self) -> Mapping[int, int]:
        """Where each partition stands, as far as it is answered and committed."""

    @property
    def rebalances(self) -> int:
        """Times that partitions came or went."""

    @property
    def assigned(self) -> frozenset[int]:
        """The partitions that are read."""

    @property
    def joined(self) -> bool:
        """Whether the group has assigned partitions to this member, if only none."""

    @property
    def refusal(self) -> str | None:
        """Why the group refuses this member, while it does."""

    @property
    def expired_unanswered(self) -> int:
        """Records that retention deleted before they were answered, as far as this run has found."""


#: Where these partitions end, those whose leader answers; of what is committed only, or of everything.
Ends = Callable[[Collection[int], bool], Mapping[int, int]]


@dataclass(frozen=True, slots=True)
class NothingRead:
    """As long as there is no consumer yet."""

    answered: Mapping[int, int]
    rebalances: int = 0
    assigned: frozenset[int] = frozenset()
    joined: bool = False
    refusal: str | None = None
    expired_unanswered: int = 0


class Heartbeat:
    """When the loop last came round."""

    def __init__(self, deadline: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._deadline = deadline
        self._clock = clock
        self._last = clock()
        #: The same as seconds since 1970.
        self.last_turn = time.time()

    def tick(self) -> None:
        """It has come round."""
        self._last = self._clock()
        self.last_turn = time.time()

    def problems(self) -> list[str]:
        """One if that is too long ago."""
        still = self._clock() - self._last
        return [f"The loop has not come round for {still:.0f} s"] if still > self._deadline else []


class StallDetector:
    """Looks at the partitions every few seconds, from a thread of its own: a loop that hangs can't look for itself."""

    def __init__(  # noqa: PLR0913 - what it watches, and whom it tells
        self,
        topic: str,
        reading: PartitionView,
        ends: Ends,
        limit: float,
        on_stall: Callable[[str], None],
        *,
        expects_assignment: bool = True,
    ) -> None:
        #: False under `group.protocol=consumer`: the client reports no empty assignment to a member without partitions.
        self._expects_assignment = expects_assignment
        self._topic = topic
        self._reading = reading
        self._ends = ends
        self._limit = limit
        self._on_stall = on_stall
        self._over = threading.Event()
        self._stalled: dict[int, str] = {}
        self._seen_at = self._joined_at = time.monotonic()
        self._is_outside = False
        #: The partitions as last seen.
        self.progress: dict[int, PartitionProgress] = {}
        self._thread = threading.Thread(target=self._run, name="watchman", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def stalled_for(self) -> dict[int, float]:
        """Seconds for which each partition has stood still although it should move; 0 is well."""
        return {number: self._seen_at - one.last_progress_at for number, one in self.progress.items()}

    def problems(self) -> list[str]:
        """What keeps the consumer from being ready: nothing assigned, or partitions that stand still, each named."""
        if not self._reading.assigned:
            refusal = self._reading.refusal
            return [f"No partition of {self._topic} is assigned to this member{f': {refusal}' if refusal else ''}"]
        return list(self._stalled.values())

    def update(self) -> None:
        """Ask where the partitions end, and judge."""
        assigned = self._reading.assigned
        ends = self._ends(assigned, False) if assigned else {}  # noqa: FBT003 - the name stands in `Ends`
        now = time.monotonic()
        self.progress = update(self.progress, assigned=assigned, answered=self._reading.answered, ends=ends, now=now)
        self._seen_at = now
        self._judge_membership(now)
        self._judge({one: still for one, still in self.stalled_for().items() if still > self._limit})

    def _run(self) -> None:
        try:
            while not self._over.is_set():
                self.update()
                self._over.wait(min(_LOOK_EVERY, self._limit / 4))
        except Stopped:
            return

    def _judge_membership(self, now: float) -> None:
        """Report once that the group has assigned nothing to this member for too long, not even an empty set."""
        if self._reading.joined or not self._expects_assignment:
            self._joined_at, self._is_outside = now, False
        elif now - self._joined_at > self._limit and not self._is_outside:
            self._is_outside = True
            seconds = now - self._joined_at
            words = f"{self.problems()[0]}; it has been outside of the group for {seconds:.0f} s"
            facts = {"topic": self._topic, "seconds": round(seconds, 1)}
            log.warning("%s", words, extra={"event": "not_joined", "facts": facts})
            self._on_stall(words)

    def _judge(self, still: dict[int, float]) -> None:
        readable = self._ends(still.keys(), True) if still else {}  # noqa: FBT003 - as above
        before = self._stalled.keys()
        self._stalled = {
            one: f"Partition {one} of {self._topic} has not moved for {seconds:.0f} s: "
            + reason(self.progress[one], readable.get(one))
            for one, seconds in still.items()
        }
        for one in sorted(still.keys() - before):
            facts = {"topic": self._topic, "partition": one, "seconds": round(still[one], 1)}
            log.warning("%s", self._stalled[one], extra={"event": "stalled", "facts": facts})
            self._on_stall(self._stalled[one])
        for one in sorted(before - still.keys()):
            facts = {"topic": self._topic, "partition": one}
            log.info(
                "partition %d of %s moves again", one, self._topic, extra={"event": "stall_resolved", "facts": facts}
            )


def reason(standing: PartitionProgress, readable: int | None) -> str:
    """Why a partition may stand still; `readable` is where it ends for a reader of committed records."""
    if standing.end is None:
        return "its leader doesn't answer"
    if standing.answered is None:
        return "nothing has come of it since it was assigned"
    if readable is not None and readable <= standing.answered:
        return f"{standing.lag} offsets behind, all of them held back by a transaction that is still open"
    return f"{standing.lag} offsets behind"
