"""The only loop: take, process, deliver; where records pour, one batch is on its way while the next one is made."""

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal, cast

import pytest

from telco_stream import errors
from telco_stream.consume.counters import ConsumePlan, ConsumeResult
from telco_stream.consume.loop import consume, sample_timestamps
from telco_stream.contract.customer import Customer
from telco_stream.kafka.source import Batch
from telco_stream.monitoring.protocols import BatchTimings, PartitionView
from telco_stream.runtime.signals import Stop, Stopped
from telco_stream.scoring import Limits, Outcome
from tests.support.records import FakeRecord, RuleScorer, good

BAD = b"not JSON"


@dataclass
class FakeSource:
    """Hands out the records in order, no more than asked for; what was not committed comes again after a rewind."""

    records: list[FakeRecord]
    log: list[str] = field(default_factory=list)
    is_reading: bool = True
    refusal: str | None = None
    notes: list[int | None] = field(default_factory=list)
    position: int = 0
    rewinds: int = 0
    asked: list[int] = field(default_factory=list)
    answered: Mapping[int, int] = field(default_factory=dict)
    broken: Exception | None = None
    #: Come once the others have been taken.
    late: list[bytes] = field(default_factory=list)

    @property
    def ended(self) -> bool:
        return self.position >= len(self.records)

    def poll_batch(self, most: int, _patience: float, *, idle: float) -> Batch:  # noqa: ARG002
        self.asked.append(most)
        if self.broken and self.position:
            raise self.broken
        taken = self.records[self.position : self.position + most]
        self.records += [FakeRecord(value, len(self.records) + number) for number, value in enumerate(self.late)]
        self.late = []
        self.position += len(taken)
        if taken:
            self.log.append("take")
        return Batch(cast("list[Any]", taken), "the group's view", {0: self.position}, self.rewinds)

    def rewind(self, position: int) -> None:
        self.position = position
        self.rewinds += 1

    def is_current(self, batch: Batch) -> bool:
        return batch.rewinds == self.rewinds

    def confirm_topic(self) -> None:
        """It is the same."""

    def commit_answered(self, *, at_once: bool = False) -> None:
        """There are no markers."""

    def dead_letters_in_a_row(self) -> int | None:
        return self.notes.pop(0) if self.notes else None


#: How a delivery ends: committed or not, an error, or committed although nobody said so and all had to be read again.
End = bool | Exception | Literal["unclear"]


@dataclass
class FakeDelivery:
    """Commits, unless `ends` says otherwise."""

    source: FakeSource
    ends: list[End] = field(default_factory=list)
    at_once: bool = False
    outcomes: list[Outcome] = field(default_factory=list)
    committed: int = 0

    def deliver(self, outcome: Outcome, batch: Batch) -> "FakeDelivering":
        assert batch.group_metadata == "the group's view"
        self.source.log.append("send")
        going = FakeDelivering(self, outcome, batch.next_positions[0], self.ends.pop(0) if self.ends else True)
        if self.at_once:
            going.come_to_its_end()
        return going


@dataclass
class FakeDelivering:
    """Ends when it is asked for its result, if it hasn't before."""

    delivery: FakeDelivery
    outcome: Outcome
    next_positions: int
    end: End
    ended: float = math.inf

    def wait(self, _seconds: float) -> None:
        self.delivery.source.log.append("wait")

    def result(self) -> bool:
        if self.ended == math.inf:
            self.come_to_its_end()
        return bool(self.end)

    def come_to_its_end(self) -> None:
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
    turns: int = 0
    seen: list[int] = field(default_factory=list)
    ages: list[float] = field(default_factory=list)

    def attach(self, source: PartitionView) -> None:
        """Ignore the source."""

    def on_poll(self) -> None:
        self.turns += 1

    def on_committed(self, outcome: Outcome, timings: BatchTimings) -> None:
        assert timings.processing >= 0
        assert timings.delivery >= 0
        self.ages += timings.ages
        self.seen.append(outcome.consumed)


@dataclass
class LoopHarness:
    """One run of the loop on fake doors."""

    source: FakeSource
    ends: list[End] = field(default_factory=list)
    at_once: bool = False
    stop: Stop = field(default_factory=Stop)
    scorer: RuleScorer = field(default_factory=RuleScorer)
    observer: RecordingObserver = field(default_factory=RecordingObserver)

    def run(self, mode: str = "batch", **more: Any) -> ConsumeResult:
        plan = ConsumePlan(cast("Any", mode), batch_size=3, limits=Limits(), **more)
        self.delivery = FakeDelivery(self.source, self.ends, self.at_once)
        source = cast("Any", self.source)
        return consume(
            source, self.delivery, self._process, plan, now=lambda: "now", stop=self.stop, observers=[self.observer]
        )

    def stream(self) -> ConsumeResult:
        """Until nothing comes."""
        return self.run("streaming", idle_timeout=0.02)

    @property
    def _process(self) -> Any:
        harness = self

        class Logged(RuleScorer):
            def score(self, customers: Sequence[Customer]) -> list[float]:
                harness.source.log.append("process")
                return harness.scorer.score(customers)

        return Logged()


class Timeless(FakeRecord):
    """As a producer sends it that sets no time, to a topic that doesn't either."""

    def timestamp(self) -> tuple[int, int]:
        return (0, -1)


@dataclass
class RecordingScorer(RuleScorer):
    """Notes what was answered whenever it scores."""

    source: FakeSource = field(default_factory=lambda: FakeSource([]))
    seen: list[Mapping[int, int]] = field(default_factory=list)

    def score(self, customers: Sequence[Customer]) -> list[float]:
        self.seen.append(self.source.answered)
        return super().score(customers)


def slow(_customer: Customer) -> float:
    """Longer for a batch than the run below takes to be idle."""
    time.sleep(0.003)
    return 0.25


def harness_of(*values: bytes, **more: Any) -> LoopHarness:
    return LoopHarness(FakeSource([FakeRecord(value, offset) for offset, value in enumerate(values)]), **more)


def goods(number: int) -> list[bytes]:
    return [good(customerID=f"c{one}") for one in range(number)]


def test_the_next_batch_is_made_while_one_is_on_its_way_and_goes_after_it() -> None:
    harness = harness_of(*goods(6))
    harness.stream()
    assert harness.source.log == ["take", "process", "send", "take", "process", "commit", "send", "commit"]


def test_a_batch_that_is_not_full_is_committed_before_the_next_is_taken() -> None:
    """What trickles is answered at once, and not once more has come."""
    harness = harness_of(*goods(2))
    harness.source.late = goods(2)
    harness.stream()
    assert harness.source.log == ["take", "process", "send", "commit"] * 2


@pytest.mark.parametrize(("mode", "at_once"), [("batch", False), ("streaming", True)])
def test_what_is_known_at_once_or_has_to_be_known_is_settled_before_the_next_is_taken(mode: str, at_once: bool) -> None:
    """A window waits for its records, and so would the end of the one before; at least once, nothing is on its way."""
    harness = harness_of(*goods(6), at_once=at_once)
    harness.scorer = watching = RecordingScorer(source=harness.source)
    harness.run(mode, idle_timeout=0.02)
    assert harness.source.log == ["take", "process", "send", "commit"] * 2
    assert watching.seen == [{}, {0: 3}]


@pytest.mark.parametrize("at_once", [False, True])
def test_whatever_was_not_committed_is_read_again_and_nothing_is_skipped(at_once: bool) -> None:
    harness = harness_of(*goods(9), ends=[True, False, False], at_once=at_once)
    assert harness.stream().consumed == 9
    ids = [
        json.loads(value)["customerID"] for one in harness.delivery.outcomes for _, value, _ in one.prediction_messages
    ]
    assert ids == [f"c{one}" for one in range(9)]


def test_what_was_made_behind_an_aborted_batch_is_forgotten_and_read_again() -> None:
    harness = harness_of(*goods(6), ends=[False])
    result = harness.stream()
    assert (result.consumed, result.batches) == (6, 2)
    assert harness.source.log[:6] == ["take", "process", "send", "take", "process", "abort"]
    assert harness.source.log[6:9] == ["take", "process", "send"], "nothing of the second batch was sent before"


def test_what_is_in_hand_is_forgotten_where_a_commit_was_unclear_and_all_is_read_again() -> None:
    """The batch counts, and the source stands behind it."""
    harness = harness_of(*goods(6), ends=["unclear"])
    result = harness.stream()
    assert (result.consumed, result.batches) == (6, 2)
    assert [len(one.prediction_messages) for one in harness.delivery.outcomes] == [3, 3]
    assert harness.source.log.count("take") == 3


def test_answered_is_what_is_committed_not_what_was_taken() -> None:
    harness = harness_of(*goods(6))
    harness.scorer = watching = RecordingScorer(source=harness.source)
    harness.stream()
    assert watching.seen == [{}, {}]
    assert harness.source.answered == {0: 6}


def test_an_error_of_the_source_waits_for_what_is_on_its_way() -> None:
    """Left alone, a transaction would hold others back until its time-out."""
    harness = harness_of(*goods(6))
    harness.source.broken = errors.KafkaError("the topic is gone")
    with pytest.raises(errors.KafkaError, match="the topic is gone"):
        harness.stream()
    assert harness.source.log == ["take", "process", "send", "wait"]


def test_a_stop_while_the_source_waits_still_counts_what_is_on_its_way() -> None:
    harness = harness_of(*goods(6))
    harness.source.broken = Stopped()
    result = harness.stream()
    assert (result.consumed, result.stopped_by) == (3, "signal")


def test_whoever_wants_to_stop_does_not_wait_for_a_batch_behind_the_one_on_its_way() -> None:
    harness = harness_of(*goods(9))
    harness.observer.on_committed = lambda *_: harness.stop.request()  # type: ignore[method-assign]
    result = harness.stream()
    assert (result.consumed, result.stopped_by, harness.delivery.committed) == (3, "signal", 3)


def test_a_batch_on_its_way_is_not_idle_however_long_it_takes() -> None:
    """Else a run would end while records wait."""
    harness = harness_of(*goods(6))
    harness.scorer = RuleScorer(slow)
    assert harness.run("streaming", idle_timeout=0.005).consumed == 6


def test_a_failed_delivery_never_commits() -> None:
    harness = harness_of(*goods(3), ends=[errors.KafkaError("refused")])
    with pytest.raises(errors.KafkaError):
        harness.run()
    assert "commit" not in harness.source.log


def test_an_aborted_batch_is_read_and_answered_again_and_counted_once() -> None:
    harness = harness_of(*goods(5), ends=[False, True, False])
    result = harness.run()
    assert (result.consumed, result.predicted, result.batches) == (5, 5, 2)
    assert harness.source.log.count("abort") == 2
    assert harness.observer.seen == [3, 2]


def test_good_and_bad_records_are_counted_apart() -> None:
    result = harness_of(*goods(3), BAD, *goods(1)).run()
    assert (result.consumed, result.predicted, result.dead_lettered, result.stopped_by) == (5, 4, 1, "end")


@pytest.mark.parametrize(("most", "batches"), [(1, [1]), (3, [3]), (4, [3, 1]), (7, [3, 3, 1])])
def test_a_bound_on_messages_is_exact(most: int, batches: list[int]) -> None:
    harness = harness_of(*goods(10))
    result = harness.run("streaming", max_messages=most)
    assert (result.consumed, result.stopped_by) == (most, "max-messages")
    assert harness.observer.seen == batches


def test_a_bound_counts_what_was_committed_not_what_was_tried() -> None:
    harness = harness_of(*goods(10), ends=[True, False, False])
    assert harness.run("streaming", max_messages=4).consumed == 4
    assert harness.source.asked == [3, 1, 1, 1]


def test_a_stream_ends_when_nothing_comes() -> None:
    result = harness_of(*goods(4)).run("streaming", idle_timeout=0.02)
    assert (result.consumed, result.stopped_by, result.analytics) == (4, "idle", None)


def test_idle_time_counts_from_the_start_when_nothing_is_assigned() -> None:
    harness = harness_of()
    harness.source.is_reading = False
    started = time.monotonic()
    assert harness.run("streaming", idle_timeout=0.000_001, join_timeout=0.05).stopped_by == "idle"
    assert time.monotonic() - started >= 0.05, "joining takes a while"


def test_run_is_not_idle_when_the_group_refuses_the_member() -> None:
    """The source raises an error instead, once the time to join is over."""
    harness = harness_of()
    harness.source.refusal = "another assignor"
    turns = iter(range(50))

    def on_poll() -> None:
        if next(turns, None) is None:
            harness.stop.request()

    harness.observer.on_poll = on_poll  # type: ignore[method-assign]
    assert harness.run("streaming", idle_timeout=0.000_001).stopped_by == "signal"


def test_a_batch_run_ends_at_the_end_with_the_whole_runs_summary() -> None:
    result = harness_of(*goods(7)).run()
    assert (result.stopped_by, result.batches) == ("end", 3)
    assert result.analytics is not None
    assert result.analytics.total == 7


def test_a_wish_to_stop_ends_the_loop_after_the_batch_in_hand() -> None:
    harness = harness_of(*goods(9))

    def ask_to_stop(_customer: Customer) -> float:
        harness.stop.request()
        return 0.25

    harness.scorer = RuleScorer(ask_to_stop)
    result = harness.stream()
    assert (result.consumed, result.stopped_by) == (3, "signal")
    assert harness.source.log == ["take", "process", "send", "commit"]


def test_a_stop_in_the_middle_of_a_delivery_counts_only_what_was_committed() -> None:
    result = harness_of(*goods(9), ends=[True, Stopped()]).run("streaming")
    assert (result.consumed, result.stopped_by) == (3, "signal")


def test_the_first_reason_to_stop_wins() -> None:
    harness = harness_of(*goods(3))
    harness.stop.request()
    assert harness.run("batch", max_messages=3).stopped_by == "signal"
    assert harness_of(*goods(3)).run("batch", max_messages=3).stopped_by == "max-messages"


def test_too_many_dead_letters_in_a_row_end_the_run_before_they_are_delivered() -> None:
    harness = harness_of(*goods(1), *[BAD] * 8)
    with pytest.raises(errors.DataError, match="dead letters in a row") as caught:
        harness.run(max_consecutive_dead_letters=4)
    assert caught.value.exit_code == 5
    assert harness.delivery.committed == 3, "two bad ones stood in the first batch, three more would make five"
    assert "not JSON" not in str(caught.value), "no customer's data"


def test_a_restart_stops_at_the_same_record_instead_of_dead_lettering_on() -> None:
    """The count is kept beside the committed offset."""
    harness = harness_of(*[BAD] * 8)
    harness.source.notes = [3]
    with pytest.raises(errors.DataError):
        harness.run(max_consecutive_dead_letters=4)
    assert harness.delivery.committed == 0
    assert harness.delivery.outcomes == []


def test_a_good_record_ends_the_row() -> None:
    harness = harness_of(BAD, BAD, *goods(1), BAD, BAD, *goods(1), BAD, BAD)
    assert harness.run(max_consecutive_dead_letters=3).dead_lettered == 6


def test_nought_is_never_too_many() -> None:
    assert harness_of(*[BAD] * 30).run(max_consecutive_dead_letters=0).dead_lettered == 30


def test_the_row_does_not_grow_by_a_batch_that_was_aborted() -> None:
    harness = harness_of(*[BAD] * 3, *goods(3), ends=[False, False, False])
    assert harness.run(max_consecutive_dead_letters=4).dead_lettered == 3


def test_a_run_without_records_has_no_rate() -> None:
    result = harness_of().run()
    assert (result.consumed, result.seconds, result.rate, result.stopped_by) == (0, 0.0, 0.0, "end")


def test_times_are_asked_of_a_few_evenly_spaced_records_that_have_one() -> None:
    """Asking 20,000 records would cost a hundredth of scoring them."""
    records: list[Any] = [FakeRecord(b"", one, timestamp_=1_000 * one) for one in range(20_000)]
    found = sample_timestamps(records)
    assert len(found) == 64
    assert found[0] == 0
    assert {later - earlier for earlier, later in pairwise(found)} <= {312, 313}
    assert sample_timestamps([]) == sample_timestamps([Timeless(b"")]) == []


def test_ages_run_from_the_time_stamp_to_the_commit_and_never_below_nought() -> None:
    now = round(time.time() * 1_000)
    harness = LoopHarness(FakeSource([FakeRecord(good(), one, timestamp_=now + one * 3_600_000) for one in (-1, 0, 1)]))
    harness.run()
    hour_ago, just_now, in_an_hour = harness.observer.ages
    assert 3_599 < hour_ago < 3_660
    assert 0 <= just_now < 60
    assert in_an_hour == 0
