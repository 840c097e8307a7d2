"""One broker for all cases, to kill and to pause; the cases' form, seeds and figures."""

import os
import random
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import require_containers
from tests.faults.scenario import Scenario
from tests.support.crashing_kafka import CrashingKafka
from tests.support.kafka_container import SMALL, KafkaContainer
from tests.support.run_summary import FAULT_FIGURES, FULL
from tests.support.topics import create_topics, delete_topics, fresh_topics

# Read before `clean_environment` removes them.
SEED = os.environ.get("TELCO_STREAM_TEST_SEED")
#: Transactions of killed workers are looked for every second, not every ten.
_QUICK_ABORT = {
    "group_min_session_timeout_ms": "1000",
    "transaction_abort_timed_out_transaction_cleanup_interval_ms": "1000",
}


@pytest.fixture(scope="session")
def fault_kafka(pytestconfig: pytest.Config) -> Iterator[KafkaContainer]:
    """A real Kafka that every case finds running, and may kill and pause."""
    require_containers(pytestconfig)
    with CrashingKafka(**_QUICK_ABORT, **({} if FULL else SMALL)) as container:
        yield container


@pytest.fixture
def scenario(fault_kafka: KafkaContainer, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Scenario]:
    """A case with topics of its own; its seed is printed, and `TELCO_STREAM_TEST_SEED` gives it again."""
    yield from new_scenario(fault_kafka.bootstrap, request, tmp_path)


def new_scenario(bootstrap: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Scenario]:
    """A case on this broker."""
    seed = int(SEED) if SEED else random.randrange(1_000_000)
    sys.stdout.write(f"seed {seed}\n")
    name = re.sub(r"^test_|\]$", "", request.node.name).replace("_", " ").replace("[", ": ")
    topics = fresh_topics()
    create_topics(bootstrap, topics)
    noted = request.config.stash.setdefault(FAULT_FIGURES, [])
    yield Scenario(name, bootstrap, topics, tmp_path, seed, FULL, noted.append)
    delete_topics(bootstrap, topics)
