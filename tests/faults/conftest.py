"""Fixtures of the fault suite: one broker for all cases, and scenarios with seeds and figures."""

import os
import random
import re
import sys
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.conftest import require_containers
from tests.faults.scenario import Scenario
from tests.support.crashing_kafka import CrashingKafka
from tests.support.kafka_container import SMALL, KafkaContainer
from tests.support.run_summary import FAULT_FIGURES, FULL
from tests.support.topics import create_internal_topics, create_topics, delete_topics, fresh_topics

# Read at import: `clean_environment` removes the variable.
SEED = os.environ.get("TELCO_STREAM_TEST_SEED")
#: Makes the broker abort the transactions of killed workers within a second instead of ten.
_QUICK_ABORT = {
    "group_min_session_timeout_ms": "1000",
    "transaction_abort_timed_out_transaction_cleanup_interval_ms": "1000",
}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the end of Kafka's log and its transactions to the report of a failed case."""
    report = yield
    kafka = getattr(item, "funcargs", {}).get("fault_kafka")
    if report.failed and report.when == "call" and kafka is not None:
        report.sections.append(("Kafka", kafka.evidence()))
    return report


@pytest.fixture(scope="session")
def fault_kafka(pytestconfig: pytest.Config) -> Iterator[KafkaContainer]:
    """Yield a real Kafka for all cases, which may kill and pause it."""
    require_containers(pytestconfig)
    with CrashingKafka(**_QUICK_ABORT, **({} if FULL else SMALL)) as container:
        create_internal_topics(container.bootstrap)
        yield container


@pytest.fixture
def scenario(fault_kafka: KafkaContainer, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Scenario]:
    """Yield a scenario with new topics; it prints its seed, which `TELCO_STREAM_TEST_SEED` repeats."""
    yield from new_scenario(fault_kafka.bootstrap, request, tmp_path)


def new_scenario(bootstrap: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Scenario]:
    """Yield a scenario on this broker, and delete its topics afterwards."""
    seed = int(SEED) if SEED else random.randrange(1_000_000)
    sys.stdout.write(f"seed {seed}\n")
    name = re.sub(r"^test_|\]$|each_\w+_once_when_", "", request.node.name).replace("_", " ").replace("[", ": ")
    topics = fresh_topics()
    create_topics(bootstrap, topics)
    figures = request.config.stash.setdefault(FAULT_FIGURES, [])
    yield Scenario(name, bootstrap, topics, tmp_path, seed, FULL, figures.append)
    delete_topics(bootstrap, topics)
