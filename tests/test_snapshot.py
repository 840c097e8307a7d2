"""Snapshots of a consumer, and their aggregation over workers."""

from dataclasses import replace
from typing import Literal

import pytest

from telco_stream.consume.worker_reports import BatchCommitted, LogLine, WorkerAggregator
from telco_stream.messages.prediction import Prediction, Reason
from telco_stream.messages.record import Message
from telco_stream.model.reasons.sentences import Sentences
from telco_stream.monitoring.protocols import BatchTimings, PartitionView
from telco_stream.monitoring.snapshot import ConsumerSnapshot, ConsumerStats
from telco_stream.report.customers import AtRisk
from telco_stream.scoring import Outcome
from tests.support.report_data import with_reasons
from tests.support.telco import CODEC, prediction_of

TIME = "2026-01-01T00:00:00Z"
MESSAGE: Message = ("a", b"", [])


def prediction(name: str, answer: Literal["Yes", "No"] = "Yes") -> Prediction:
    return prediction_of(name, 0.75, answer, TIME, TIME, "v1", "One year", "DSL")


def risky(name: str) -> AtRisk:
    return AtRisk(name, 0.75, {"Contract": "One year", "InternetService": "DSL"})


def commit(stats: ConsumerStats, *predictions: Prediction, letters: int = 0) -> None:
    outcome = Outcome([MESSAGE] * len(predictions), [MESSAGE] * letters, list(predictions), [], {}, "Yes", 0, 0)
    stats.on_committed(outcome, BatchTimings(0.0, 0.0))


def always_available() -> None:
    return None


def test_snapshot_is_empty_when_nothing_is_attached() -> None:
    assert ConsumerStats(CODEC, always_available).snapshot() == ConsumerSnapshot()


def test_snapshot_counts_batches_and_lists_newest_at_risk() -> None:
    stats = ConsumerStats(CODEC, lambda: 2.5)
    commit(stats, prediction("a"), prediction("b", "No"), letters=1)
    commit(stats, prediction("c"))
    assert stats.snapshot() == ConsumerSnapshot(
        consumed=4, dead_lettered=1, unavailable_for=2.5, flagged=2, at_risk=(risky("c"), risky("a"))
    )


def test_snapshot_has_the_sentence_about_the_main_reason() -> None:
    sentences = {"tenure": Sentences("A new customer.", "A loyal customer.")}
    stats = ConsumerStats(CODEC, always_available, sentences=lambda: sentences)
    reasons = [(Reason("tenure", share), Reason("Contract", 0.1)) for share in (0.5, -0.5)]
    commit(stats, *(with_reasons(prediction("a"), *each) for each in reasons), with_reasons(prediction("b")))
    assert [(each.main_reason, each.meaning) for each in stats.snapshot().at_risk] == [
        (None, ""),
        ("+Contract", ""),
        ("+tenure", "A new customer."),
    ]
    commit(stats, with_reasons(prediction("a"), Reason("tenure", -0.5)))
    assert stats.snapshot().at_risk[0].meaning == "A loyal customer.", "none raises the probability"


def test_snapshot_lists_each_customer_once() -> None:
    stats = ConsumerStats(CODEC, always_available)
    commit(stats, prediction("a"))
    stats.snapshot()
    assert stats.snapshot() == ConsumerSnapshot(consumed=1, flagged=1)


@pytest.mark.parametrize("size", [1, 63, 64, 65, 128, 5_000])
def test_snapshot_samples_64_including_the_newest(size: int) -> None:
    stats = ConsumerStats(CODEC, always_available)
    commit(stats, *(prediction(str(number)) for number in range(size)))
    assert min(size, 33) <= len(stats._predictions) <= 64
    snapshot = stats.snapshot()
    assert snapshot.flagged == size
    assert snapshot.at_risk[0] == risky(str(size - 1))
    assert len(snapshot.at_risk) <= 10


def test_stats_keep_1024_samples_when_no_snapshot_is_taken() -> None:
    stats = ConsumerStats(CODEC, always_available)
    for number in range(3_000):
        commit(stats, prediction(str(number)))
    assert len(stats._predictions) == 1_024
    assert stats.snapshot().flagged == 3_000


def test_snapshot_has_lag_when_both_offsets_are_known() -> None:
    stats = ConsumerStats(CODEC, always_available)
    assigned = frozenset({0, 1, 2, 3})
    stats.attach(lambda: PartitionView({0: 5, 1: 7, 3: 9}, {0: 8, 2: 4, 3: 9}, assigned, joined=True))
    snapshot = stats.snapshot()
    assert snapshot.lag == {0: 3, 1: None, 2: None, 3: 0}
    assert (snapshot.reading, snapshot.joined) == (True, True)


def test_snapshot_lag_is_0_when_the_end_is_outdated() -> None:
    stats = ConsumerStats(CODEC, always_available)
    stats.attach(lambda: PartitionView({0: 9}, {0: 8}, frozenset({0})))
    assert stats.snapshot().lag == {0: 0}


def test_aggregator_combines_the_snapshots_of_workers() -> None:
    aggregator = WorkerAggregator(lambda _: None)
    snapshot = ConsumerSnapshot(reading=True, lag={0: 3}, at_risk=(risky("a"),))
    aggregator.handle(0, snapshot)
    aggregator.handle(0, replace(snapshot, joined=True, lag={0: 2}, at_risk=(risky("b"),)))
    aggregator.handle(1, replace(snapshot, lag={1: None}, unavailable_for=4.0, at_risk=(risky("c"),)))
    aggregator.handle(0, BatchCommitted(8, 2, 3))
    aggregator.handle(1, BatchCommitted(5, 0, 1))
    snapshot = aggregator.snapshot()
    assert (snapshot.consumed, snapshot.dead_lettered, snapshot.reading, snapshot.joined, snapshot.unavailable_for) == (
        15,
        2,
        True,
        True,
        4.0,
    )
    assert snapshot.lag == {0: 2, 1: None}
    assert snapshot.flagged == 4
    assert snapshot.at_risk == (risky("b"), risky("a"), risky("c"))
    again = aggregator.snapshot()
    assert (again.flagged, again.at_risk, again.lag) == (4, (), {0: 2, 1: None})


def test_aggregator_keeps_counts_when_a_worker_is_removed() -> None:
    aggregator = WorkerAggregator(lambda _: None)
    aggregator.handle(0, ConsumerSnapshot(consumed=3, lag={0: 3}))
    aggregator.handle(0, BatchCommitted(3, 0))
    aggregator.remove(0)
    assert aggregator.snapshot() == ConsumerSnapshot(consumed=3)


def test_aggregator_passes_on_log_lines() -> None:
    lines: list[str] = []
    WorkerAggregator(lines.append).handle(0, LogLine("a line"))
    assert lines == ["a line"]
