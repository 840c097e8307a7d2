"""Cases 8 and 10: a producer's pass and a replay of dead letters, killed in the middle and run again."""

import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from tests.faults.load import Load
from tests.faults.numbered import numbered, numbered_csv
from tests.faults.scenario import Scenario
from tests.support.cli import RunningCli, run_cli
from tests.support.topics import read_topic
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.own_broker, pytest.mark.timeout(1200)]

#: Without the limit on consecutive dead letters, which a replay of poison exceeds.
_CONSUME_ALL = ("consume", "--mode", "batch", "--quiet", "--output", "json", "--max-consecutive-dead-letters", "0")


def test_8_each_row_is_sent_once_when_the_producer_is_killed(scenario: Scenario) -> None:
    """SIGKILL at random positions of the pass, which then runs to its end."""
    rows = scenario.form(80_000, 300_000)
    text, expected = numbered_csv(rows)
    (scenario.folder / "customers.csv").write_text(text)
    command = ("produce", "--mode", "batch", "--data-path", "customers.csv", "--output", "json")
    for _ in range(scenario.form(3, 10)):
        _run_and_kill(scenario, command, after=scenario.random.randrange(rows // 10))
    _run(scenario, command)
    _run(scenario, _CONSUME_ALL)
    scenario.check(expected)


def test_10_each_letter_is_replayed_once_when_replay_is_killed(scenario: Scenario) -> None:
    """SIGKILL after some letters were replayed; in the end each was replayed once and answered once more."""
    load = Load(
        scenario.bootstrap,
        scenario.topics.raw,
        numbered(scenario.random, poison=0.4),
        rate=20_000,
        least=scenario.form(24_000, 30_000),
    )
    load.start()
    load.finish()
    _run(scenario, _CONSUME_ALL)
    letters = sum(expected is None for expected in load.sent.values())
    command = ("dlq", "replay", "--execute", "--output", "json")
    kills = scenario.form(1, 5)
    for _ in range(kills):  # early enough to leave letters for the last run: each goes on until the kill arrives
        _run_and_kill(scenario, command, after=scenario.random.randrange(1, letters // (3 * kills)))
    _run(scenario, command)
    _run(scenario, _CONSUME_ALL)
    scenario.check(load.sent, times={key: 1 if expected else 2 for key, expected in load.sent.items()})
    retries = Counter(
        record.json()["retry_count"] for record in read_topic(scenario.bootstrap, scenario.topics.deadletter)
    )
    assert retries == {0: letters, 1: letters}


def _run(scenario: Scenario, command: tuple[str, ...]) -> None:
    run = run_cli(*command, env=scenario.env(), cwd=scenario.folder, timeout=300)
    assert run.returncode == 0, f"seed {scenario.seed}: {command[0]}: exit {run.returncode}: {run.stderr}"


def _run_and_kill(scenario: Scenario, command: tuple[str, ...], *, after: int) -> None:
    """Kill the command once it has written `after` records to the raw topic, committed or not."""
    folder = Path(tempfile.mkdtemp(dir=scenario.folder))
    with _RecordCounter(scenario) as count_records:
        before = count_records()
        run = RunningCli(command, folder, scenario.env(), scenario.folder)
        try:
            while run.process.poll() is None and count_records() - before <= after:
                time.sleep(0.001)
        finally:
            run.end()
    # On a busy machine the last run may end before the kill arrives.
    assert run.process.returncode == -9 or (run.process.returncode == 0 and scenario.faults), run.stderr()
    scenario.faults += run.process.returncode == -9


class _RecordCounter:
    """Counts the records of the raw topic, committed or not, including transaction markers."""

    def __init__(self, scenario: Scenario) -> None:
        self._topic = scenario.topics.raw
        self._reader = Consumer({"bootstrap.servers": scenario.bootstrap, "group.id": "record-counter"})

    def __enter__(self) -> Callable[[], int]:
        return lambda: sum(self._end(number) for number in range(3))

    def __exit__(self, *_: object) -> None:
        self._reader.close()

    def _end(self, number: int) -> int:
        ends = wait_until(lambda: self._ends(number), 30, "a leader of the raw topic")
        return ends[1] if ends else 0

    def _ends(self, number: int) -> tuple[int, int] | None:
        """Return None while the broker has lost its own session."""
        try:
            ends: tuple[int, int] = self._reader.get_watermark_offsets(TopicPartition(self._topic, number), timeout=15)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.NOT_LEADER_FOR_PARTITION:
                raise
            return None
        return ends
