"""Memory of `verify` with a million records, for docs/delivery.md."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from tests.faults.conftest import new_scenario
from tests.faults.scenario import Scenario
from tests.support.cli import ROOT
from tests.support.run_summary import FULL

pytestmark = [
    pytest.mark.timeout(1200),
    pytest.mark.skipif(not FULL, reason="takes minutes; runs in the full form (make faults)"),
]

RECORDS = 1_000_000
#: The documented limit is for this many records. Each more takes a byte, which tests/test_ledger.py checks.
DOCUMENTED_RECORDS = 10_000_000
PARTITIONS = 3
#: The documented limit in bytes.
MAX_BYTES = 300_000_000


@pytest.fixture
def default_scenario(kafka: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Scenario]:
    """Yield a scenario on the shared broker."""
    yield from new_scenario(kafka, request, tmp_path)


def test_verify_uses_little_memory_when_records_are_many(default_scenario: Scenario) -> None:
    """Each input has an answer, so that the ledger holds two entries per input."""
    _fill(default_scenario)
    peak, ledger = _verify(default_scenario)
    sys.stdout.write(f"{RECORDS:,} inputs and answers: {peak / 1e6:.0f} MB at the most\n")
    assert (ledger["inputs"], ledger["predicted"], ledger["missing"]) == (RECORDS, RECORDS, 0)
    assert peak + DOCUMENTED_RECORDS - RECORDS < MAX_BYTES


def _fill(scenario: Scenario) -> None:
    producer = Producer({"bootstrap.servers": scenario.bootstrap, "linger.ms": 50, "compression.type": "lz4"})
    raw = scenario.topics.raw
    for number in range(RECORDS):
        partition, offset = number % PARTITIONS, number // PARTITIONS
        _send(producer, raw, partition, None)
        _send(producer, scenario.topics.predictions, partition, [("source", f"{raw}/{partition}/{offset}".encode())])
    assert producer.flush(120) == 0
    group = Consumer({"bootstrap.servers": scenario.bootstrap, "group.id": scenario.topics.group})
    ends = [len(range(partition, RECORDS, PARTITIONS)) for partition in range(PARTITIONS)]
    group.commit(
        offsets=[TopicPartition(raw, partition, end) for partition, end in enumerate(ends)], asynchronous=False
    )
    group.close()


def _send(producer: Producer, topic: str, partition: int, headers: list[tuple[str, bytes]] | None) -> None:
    while True:
        try:
            return producer.produce(topic, b"{}", b"key", partition, headers=headers)  # type: ignore[arg-type]
        except BufferError:
            producer.poll(0.1)


def _verify(scenario: Scenario) -> tuple[int, dict[str, int]]:
    """Return the peak memory of `verify` in bytes, and its ledger."""
    out = scenario.folder / "ledger.json"
    with out.open("wb") as file:
        command = [sys.executable, "-m", "telco_stream", "verify", "--output", "json", "--quiet"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), **scenario.env()}
        running = subprocess.Popen(command, stdout=file, env=environment, cwd=scenario.folder)
        _, status, usage = os.wait4(running.pid, 0)
    running.returncode = os.waitstatus_to_exitcode(status)
    assert running.returncode == 0
    ledger: dict[str, int] = json.loads(out.read_text())
    return usage.ru_maxrss * 1_024, ledger
