"""On real topics, the checker tells a stall from a loss; and a worker that commits on a timer is found out."""

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
    """Some inputs, and nobody to answer them."""
    load = Load(scenario.bootstrap, scenario.topics.raw, numbered(scenario.random), rate=1_000, least=50)
    scenario.load, progress = load, Progress(scenario.bootstrap, scenario.topics, load)
    progress.start()
    load.start()
    load.finish()
    yield progress
    progress.end()


def test_drain_raises_stalled_error_when_no_worker_runs(unanswered: Progress) -> None:
    with pytest.raises(StalledError, match="inputs wait, and nothing came for 2 s"):
        unanswered.drain(limit=2)


def test_checker_reports_missing_inputs_when_group_skipped_them(scenario: Scenario, unanswered: Progress) -> None:
    """The group has committed all of them, so nothing is left to wait for."""
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
    assert len(scenario.judge(scenario.load.sent).missing) == len(scenario.load.sent)


def test_checker_finds_errors_when_a_timer_commits_offsets(scenario: Scenario) -> None:
    """Case 1 with workers that commit on a timer: answers are lost, or given twice."""
    with scenario.stream(module="tests.faults.control"):
        for _ in range(scenario.form(3, 10)):
            scenario.moment()
            scenario.pool.replace_killed()
    verdict = scenario.judge(scenario.load.sent)
    scenario.figures(verdict, scenario.progress.longest_wait())
    assert verdict.missing or verdict.duplicated
