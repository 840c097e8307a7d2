"""The checker on real topics: it tells stalls from losses, and detects a worker that commits on a timer."""

from collections.abc import Iterator

import pytest
from confluent_kafka import Consumer, TopicPartition

from tests.faults.load import Load
from tests.faults.numbered import numbered
from tests.faults.progress import Progress, StalledError
from tests.faults.scenario import Scenario

pytestmark = [pytest.mark.own_broker, pytest.mark.timeout(1200)]


@pytest.fixture
def unanswered(scenario: Scenario) -> Iterator[Progress]:
    """Yield the progress of inputs that no worker answers."""
    load = Load(scenario.bootstrap, scenario.topics.raw, numbered(scenario.random), rate=1_000, least=50)
    scenario.load, progress = load, Progress(scenario.bootstrap, scenario.topics, load)
    progress.start()
    load.start()
    load.finish()
    yield progress
    progress.end()


def test_drain_raises_stalled_error_when_no_worker_runs(unanswered: Progress) -> None:
    with pytest.raises(StalledError, match="inputs wait; no answer for 2 s"):
        unanswered.drain(limit=2)


def test_checker_reports_missing_inputs_when_group_skipped_them(scenario: Scenario, unanswered: Progress) -> None:
    """The group has committed all inputs, so the drain ends."""
    reader = Consumer({"bootstrap.servers": scenario.bootstrap, "group.id": scenario.topics.group})
    ends = [
        TopicPartition(
            scenario.topics.raw, number, reader.get_watermark_offsets(TopicPartition(scenario.topics.raw, number))[1]
        )
        for number in range(3)
    ]
    reader.commit(offsets=ends, asynchronous=False)
    reader.close()
    unanswered.drain(limit=60)
    assert len(scenario.verdict(scenario.load.sent).missing) == len(scenario.load.sent)


def test_checker_finds_errors_when_a_timer_commits_offsets(scenario: Scenario) -> None:
    """Case 1 with workers that commit on a timer loses or duplicates answers."""
    with scenario.stream(module="tests.faults.control"):
        for _ in range(scenario.form(3, 10)):
            scenario.moment()
            scenario.pool.replace_killed()
    verdict = scenario.verdict(scenario.load.sent)
    scenario.record_figures(verdict, scenario.progress.longest_wait())
    assert verdict.missing or verdict.duplicated
