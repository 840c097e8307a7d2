"""Loop of `consume`: poll, process, deliver, with at most one batch in flight."""

import json
import time
from itertools import pairwise
from typing import Any

import pytest

from telco_stream import errors
from telco_stream.consume.loop import sample_timestamps
from telco_stream.contract.events import Event
from telco_stream.runtime.signals import Stopped
from tests.support.loop_harness import (
    FakeSource,
    LoopHarness,
    RecordingScorer,
    RecordWithoutTimestamp,
    goods,
    harness_with,
    score_slowly,
)
from tests.support.records import FakeRecord, RuleScorer, good

BAD = b"not JSON"


def test_loop_scores_the_next_batch_during_a_commit() -> None:
    harness = harness_with(*goods(6))
    harness.stream()
    assert harness.source.log == ["poll", "process", "send", "poll", "process", "commit", "send", "commit"]


def test_loop_awaits_the_commit_when_a_batch_is_not_full() -> None:
    """Records that arrive slowly are answered at once instead of with the next batch."""
    harness = harness_with(*goods(2))
    harness.source.late = goods(2)
    harness.stream()
    assert harness.source.log == ["poll", "process", "send", "commit"] * 2


@pytest.mark.parametrize(("mode", "sizes"), [("streaming", [500, 600, 100]), ("batch", [600, 600])])
def test_first_batch_of_a_stream_is_small(mode: str, sizes: list[int]) -> None:
    """Its answers come soon; a window of batch mode has the size that was asked for."""
    harness = harness_with(*goods(1_200))
    harness.run(mode, batch_size=600, idle_timeout=0.02)
    assert harness.observer.sizes == sizes


@pytest.mark.parametrize(("mode", "at_once"), [("batch", False), ("streaming", True)])
def test_loop_awaits_the_commit_when_it_cannot_overlap(mode: str, at_once: bool) -> None:
    """A window of batch mode may take long to fill, and an at-least-once delivery has ended when it returns."""
    harness = harness_with(*goods(6), at_once=at_once)
    harness.scorer = scorer = RecordingScorer(read_answered=lambda: harness.loop.answered)
    harness.run(mode, idle_timeout=0.02)
    assert harness.source.log == ["poll", "process", "send", "commit"] * 2
    assert scorer.answered == [{}, {0: 3}]


@pytest.mark.parametrize("at_once", [False, True])
def test_loop_skips_no_record_when_commits_fail(at_once: bool) -> None:
    harness = harness_with(*goods(9), ends=[True, False, False], at_once=at_once)
    assert harness.stream().consumed == 9
    ids = [
        json.loads(value)["customerID"]
        for outcome in harness.delivery.outcomes
        for _, value, _ in outcome.prediction_messages
    ]
    assert ids == [f"c{index}" for index in range(9)]


def test_loop_drops_the_next_batch_when_one_is_aborted() -> None:
    harness = harness_with(*goods(6), ends=[False])
    result = harness.stream()
    assert (result.consumed, result.batches) == (6, 2)
    assert harness.source.log[:6] == ["poll", "process", "send", "poll", "process", "abort"]
    assert harness.source.log[6:9] == ["poll", "process", "send"], "the second batch was not sent before"


def test_loop_drops_the_next_batch_when_a_commit_is_unclear() -> None:
    """The batch counts as committed, and the source has been rewound behind it."""
    harness = harness_with(*goods(6), ends=["unclear"])
    result = harness.stream()
    assert (result.consumed, result.batches) == (6, 2)
    assert [len(outcome.prediction_messages) for outcome in harness.delivery.outcomes] == [3, 3]
    assert harness.source.log.count("poll") == 3


def test_answered_excludes_batches_that_are_in_flight() -> None:
    harness = harness_with(*goods(6))
    harness.scorer = scorer = RecordingScorer(read_answered=lambda: harness.loop.answered)
    harness.stream()
    assert scorer.answered == [{}, {}]
    assert harness.loop.answered == harness.source.committed_positions == {0: 6}


def test_loop_awaits_the_commit_when_the_source_fails() -> None:
    """An abandoned transaction would hold readers back until it times out."""
    harness = harness_with(*goods(6))
    harness.source.error = errors.KafkaError("the topic is gone")
    with pytest.raises(errors.KafkaError, match="the topic is gone"):
        harness.stream()
    assert harness.source.log == ["poll", "process", "send", "wait"]


def test_loop_counts_the_batch_in_flight_when_stopped() -> None:
    harness = harness_with(*goods(6))
    harness.source.error = Stopped()
    result = harness.stream()
    assert (result.consumed, result.stopped_by) == (3, "signal")


def test_loop_drops_the_next_batch_when_a_stop_is_requested() -> None:
    harness = harness_with(*goods(9))
    harness.observer.on_committed = lambda *_: harness.stop.request()  # type: ignore[method-assign]
    result = harness.stream()
    assert (result.consumed, result.stopped_by, harness.delivery.committed) == (3, "signal", 3)


def test_run_is_not_idle_when_a_batch_is_in_flight() -> None:
    """Otherwise the run would end with records left to read."""
    harness = harness_with(*goods(6))
    harness.scorer = RuleScorer(score_slowly)
    assert harness.run("streaming", idle_timeout=0.005).consumed == 6


def test_loop_does_not_commit_when_a_delivery_fails() -> None:
    harness = harness_with(*goods(3), ends=[errors.KafkaError("refused")])
    with pytest.raises(errors.KafkaError):
        harness.run()
    assert "commit" not in harness.source.log


def test_loop_counts_a_batch_once_when_it_is_aborted() -> None:
    harness = harness_with(*goods(5), ends=[False, True, False])
    result = harness.run()
    assert (result.consumed, result.predicted, result.batches) == (5, 5, 2)
    assert harness.source.log.count("abort") == 2
    assert harness.observer.sizes == [3, 2]


def test_result_counts_predictions_and_dead_letters() -> None:
    result = harness_with(*goods(3), BAD, *goods(1)).run()
    assert (result.consumed, result.predicted, result.dead_lettered, result.stopped_by) == (5, 4, 1, "end")


@pytest.mark.parametrize(("most", "batches"), [(1, [1]), (3, [3]), (4, [3, 1]), (7, [3, 3, 1])])
def test_max_messages_is_exact(most: int, batches: list[int]) -> None:
    harness = harness_with(*goods(10))
    result = harness.run("streaming", max_messages=most)
    assert (result.consumed, result.stopped_by) == (most, "max-messages")
    assert harness.observer.sizes == batches


def test_max_messages_counts_only_committed_records() -> None:
    harness = harness_with(*goods(10), ends=[True, False, False])
    assert harness.run("streaming", max_messages=4).consumed == 4
    assert harness.source.limits == [3, 1, 1, 1]


def test_loop_ends_when_no_record_arrives() -> None:
    result = harness_with(*goods(4)).run("streaming", idle_timeout=0.02)
    assert (result.consumed, result.stopped_by, result.analytics) == (4, "idle", None)


def test_idle_timeout_waits_for_the_assignment() -> None:
    harness = harness_with()
    harness.source.is_reading = False
    started = time.monotonic()
    assert harness.run("streaming", idle_timeout=0.000_001, join_timeout=0.05).stopped_by == "idle"
    assert time.monotonic() - started >= 0.05, "joining takes a while"


def test_run_is_not_idle_when_the_group_refuses_the_member() -> None:
    """The source raises an error instead, after the join timeout."""
    harness = harness_with()
    harness.source.refusal = "another assignor"
    polls = iter(range(50))

    def on_poll() -> None:
        if next(polls, None) is None:
            harness.stop.request()

    harness.observer.on_poll = on_poll  # type: ignore[method-assign]
    assert harness.run("streaming", idle_timeout=0.000_001).stopped_by == "signal"


def test_batch_mode_ends_with_a_summary_of_the_run() -> None:
    result = harness_with(*goods(7)).run()
    assert (result.stopped_by, result.batches) == ("end", 3)
    assert result.analytics is not None
    assert result.analytics.total == 7


def test_loop_finishes_its_batch_when_a_stop_is_requested() -> None:
    harness = harness_with(*goods(9))

    def request_stop(_customer: Event) -> float:
        harness.stop.request()
        return 0.25

    harness.scorer = RuleScorer(request_stop)
    result = harness.stream()
    assert (result.consumed, result.stopped_by) == (3, "signal")
    assert harness.source.log == ["poll", "process", "send", "commit"]


def test_result_counts_committed_only_when_stopped_in_delivery() -> None:
    result = harness_with(*goods(9), ends=[True, Stopped()]).run("streaming")
    assert (result.consumed, result.stopped_by) == (3, "signal")


def test_result_has_the_first_stop_reason() -> None:
    harness = harness_with(*goods(3))
    harness.stop.request()
    assert harness.run("batch", max_messages=3).stopped_by == "signal"
    assert harness_with(*goods(3)).run("batch", max_messages=3).stopped_by == "max-messages"


def test_loop_fails_at_too_many_consecutive_dead_letters() -> None:
    harness = harness_with(*goods(1), *[BAD] * 8)
    with pytest.raises(errors.DataError, match="consecutive dead letters") as raised:
        harness.run(max_consecutive_dead_letters=4)
    assert raised.value.exit_code == 5
    assert harness.delivery.committed == 3, "the first batch ends with two, the second would make it five"
    assert "not JSON" not in str(raised.value), "no customer's data"


def test_loop_fails_at_the_same_record_when_restarted() -> None:
    """The count is in the metadata of the committed offset."""
    harness = harness_with(*[BAD] * 8)
    harness.source.earlier_dead_letters = [3]
    with pytest.raises(errors.DataError):
        harness.run(max_consecutive_dead_letters=4)
    assert harness.delivery.committed == 0
    assert harness.delivery.outcomes == []


def test_consecutive_dead_letters_restart_at_a_good_record() -> None:
    harness = harness_with(BAD, BAD, *goods(1), BAD, BAD, *goods(1), BAD, BAD)
    assert harness.run(max_consecutive_dead_letters=3).dead_lettered == 6


def test_max_consecutive_dead_letters_is_unlimited_when_0() -> None:
    assert harness_with(*[BAD] * 30).run(max_consecutive_dead_letters=0).dead_lettered == 30


def test_consecutive_dead_letters_ignore_an_aborted_batch() -> None:
    harness = harness_with(*[BAD] * 3, *goods(3), ends=[False, False, False])
    assert harness.run(max_consecutive_dead_letters=4).dead_lettered == 3


def test_result_has_no_rate_when_no_record_came() -> None:
    result = harness_with().run()
    assert (result.consumed, result.seconds, result.rate, result.stopped_by) == (0, 0.0, 0.0, "end")


def test_sample_timestamps_returns_64_evenly_spaced_times() -> None:
    """Reading 20,000 timestamps would cost a hundredth of scoring the records."""
    records: list[Any] = [FakeRecord(b"", offset, timestamp_=1_000 * offset) for offset in range(20_000)]
    timestamps = sample_timestamps(records)
    assert len(timestamps) == 64
    assert timestamps[0] == 0
    assert {later - earlier for earlier, later in pairwise(timestamps)} <= {312, 313}
    assert sample_timestamps([]) == sample_timestamps([RecordWithoutTimestamp(b"")]) == []


def test_ages_end_at_the_commit_and_are_at_least_0() -> None:
    now = round(time.time() * 1_000)
    harness = LoopHarness(
        FakeSource([FakeRecord(good(), hours, timestamp_=now + hours * 3_600_000) for hours in (-1, 0, 1)])
    )
    harness.run()
    hour_ago, just_now, in_an_hour = harness.observer.ages
    assert 3_599 < hour_ago < 3_660
    assert 0 <= just_now < 60
    assert in_an_hour == 0
