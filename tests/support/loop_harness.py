"""Runs the loop of `consume` with a fake source, delivery and observer."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from telco_stream.consume.batches import BatchScorer
from telco_stream.consume.counters import ConsumePlan, ConsumeResult
from telco_stream.consume.loop import ConsumeLoop
from telco_stream.contract.events import Event
from telco_stream.kafka.source import Batch
from telco_stream.model.serving import Models, ServingModels
from telco_stream.monitoring.protocols import BatchTimings, ViewPartitions
from telco_stream.runtime.signals import Stop
from telco_stream.scoring import Limits, Outcome
from tests.support.records import FakeRecord, RuleScorer, good


@dataclass
class FakeSource:
    """Source that returns the records in order, and the uncommitted ones again after a rewind."""

    records: list[FakeRecord]
    log: list[str] = field(default_factory=list)
    is_reading: bool = True
    refusal: str | None = None
    #: Returned by `consecutive_dead_letters`, in this order.
    earlier_dead_letters: list[int | None] = field(default_factory=list)
    position: int = 0
    rewinds: int = 0
    #: Record limit of each poll.
    limits: list[int] = field(default_factory=list)
    #: Raised by every poll but the first.
    error: Exception | None = None
    #: Values of records that arrive after the first poll.
    late: list[bytes] = field(default_factory=list)
    #: Offsets given to the last `commit_answered`.
    committed_positions: Mapping[int, int] = field(default_factory=dict)

    @property
    def ended(self) -> bool:
        return self.position >= len(self.records)

    def poll_batch(self, max_records: int, timeout: float, *, idle: float = 0) -> Batch:  # noqa: ARG002
        self.limits.append(max_records)
        if self.error and self.position:
            raise self.error
        records = self.records[self.position : self.position + max_records]
        self.records += [FakeRecord(value, len(self.records) + number) for number, value in enumerate(self.late)]
        self.late = []
        self.position += len(records)
        if records:
            self.log.append("poll")
        return Batch(cast("list[Any]", records), "group metadata", {0: self.position}, self.rewinds)

    def rewind(self, position: int) -> None:
        self.position = position
        self.rewinds += 1

    def is_current(self, batch: Batch) -> bool:
        return batch.rewinds == self.rewinds

    def confirm_topic(self) -> None:
        """Confirm it."""

    def commit_answered(self, answered: Mapping[int, int], *, at_once: bool = False) -> None:  # noqa: ARG002
        self.committed_positions = answered

    def consecutive_dead_letters(self) -> int | None:
        return self.earlier_dead_letters.pop(0) if self.earlier_dead_letters else None


#: End of a delivery: whether it is committed, an error, or a commit whose response was lost, after which the source is
#: rewound.
End = bool | Exception | Literal["unclear"]


@dataclass
class FakeDelivery:
    """Delivery that commits, unless `ends` has another end."""

    source: FakeSource
    ends: list[End] = field(default_factory=list)
    at_once: bool = False
    outcomes: list[Outcome] = field(default_factory=list)
    committed: int = 0

    def deliver(self, outcome: Outcome, batch: Batch) -> "FakePendingDelivery":
        assert batch.group_metadata == "group metadata"
        self.source.log.append("send")
        pending = FakePendingDelivery(self, outcome, batch.next_positions[0], self.ends.pop(0) if self.ends else True)
        if self.at_once:
            pending.finish()
        return pending


@dataclass
class FakePendingDelivery:
    """Delivery that ends when its result is awaited, or earlier by `finish`."""

    delivery: FakeDelivery
    outcome: Outcome
    next_positions: int
    end: End
    ended: float = math.inf

    def wait(self, _seconds: float) -> None:
        self.delivery.source.log.append("wait")

    def result(self) -> bool:
        if self.ended == math.inf:
            self.finish()
        return bool(self.end)

    def finish(self) -> None:
        source, self.ended = self.delivery.source, time.perf_counter()
        if isinstance(self.end, Exception):
            raise self.end
        source.log.append("commit" if self.end else "abort")
        if self.end:
            self.delivery.outcomes.append(self.outcome)
            self.delivery.committed = self.next_positions
        if self.end is not True:
            source.rewind(self.delivery.committed)


@dataclass
class RecordingObserver:
    """Observer that records what it observes."""

    polls: int = 0
    #: Sizes of the committed batches.
    sizes: list[int] = field(default_factory=list)
    ages: list[float] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)

    def attach(self, partitions: ViewPartitions) -> None:
        """Ignore the partitions."""

    def on_poll(self) -> None:
        self.polls += 1

    def on_delivering(self, outcome: Outcome) -> None:
        """Ignore a batch that is not committed yet."""

    def on_committed(self, outcome: Outcome, timings: BatchTimings) -> None:
        assert timings.processing >= 0
        assert timings.delivery >= 0
        self.ages += timings.ages
        self.sizes.append(outcome.consumed)
        self.outcomes.append(outcome)

    def finish(self) -> None:
        """Ignore the end."""


@dataclass
class LoopHarness:
    """Run of the loop with a fake source and a fake delivery."""

    source: FakeSource
    ends: list[End] = field(default_factory=list)
    at_once: bool = False
    stop: Stop = field(default_factory=Stop)
    scorer: RuleScorer = field(default_factory=RuleScorer)
    observer: RecordingObserver = field(default_factory=RecordingObserver)
    #: Default: the scorer alone.
    models: Models | None = None

    def run(self, mode: str = "batch", batch_size: int = 3, **more: Any) -> ConsumeResult:
        plan = ConsumePlan(cast("Any", mode), batch_size=batch_size, limits=Limits(), **more)
        self.delivery = FakeDelivery(self.source, self.ends, self.at_once)
        scorer = BatchScorer(self.models or Models(ServingModels(self._logging_scorer)), plan, lambda: "now")
        self.loop = ConsumeLoop(
            self.source,
            self.delivery,
            scorer.process,
            plan,
            stop=self.stop,
            observers=[self.observer],
            compare=scorer.compare_shadow,
        )
        return self.loop.run()

    def stream(self) -> ConsumeResult:
        """Run in streaming mode until no record arrives."""
        return self.run("streaming", idle_timeout=0.02)

    @property
    def _logging_scorer(self) -> Any:
        harness = self

        class LoggingScorer(RuleScorer):
            def score(self, customers: Sequence[Event]) -> list[float]:
                harness.source.log.append("process")
                return harness.scorer.score(customers)

        return LoggingScorer()


class RecordWithoutTimestamp(FakeRecord):
    """Record without a timestamp."""

    def timestamp(self) -> tuple[int, int]:
        return (0, -1)


@dataclass
class RecordingScorer(RuleScorer):
    """Scorer that records the answered offsets at each call."""

    read_answered: Callable[[], Mapping[int, int]] = dict
    answered: list[Mapping[int, int]] = field(default_factory=list)

    def score(self, customers: Sequence[Event]) -> list[float]:
        self.answered.append(self.read_answered())
        return super().score(customers)


def score_slowly(_customer: Event) -> float:
    """Take longer for a batch than the idle timeout of the test."""
    time.sleep(0.003)
    return 0.25


def harness_with(*values: bytes, **more: Any) -> LoopHarness:
    return LoopHarness(FakeSource([FakeRecord(value, offset) for offset, value in enumerate(values)]), **more)


def goods(number: int) -> list[bytes]:
    return [good(customerID=f"c{index}") for index in range(number)]
