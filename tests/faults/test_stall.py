"""How long readers wait after a `kill -9` in the middle of a transaction: measured, for docs/delivery.md."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.conftest import new_scenario
from tests.faults.scenario import Scenario
from tests.support.run_summary import FULL
from tests.support.waiting import wait_until

pytestmark = [
    pytest.mark.timeout(1200),
    pytest.mark.skipif(not FULL, reason="a measurement of the time-outs as they are; make faults takes the time"),
]


@pytest.fixture
def default_scenario(kafka: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Scenario]:
    """A case on a broker with the time-outs that Kafka has by itself."""
    yield from new_scenario(kafka, request, tmp_path)


@pytest.mark.parametrize("fixed", [False, True], ids=["own id", "fixed id"])
def test_readers_resume_when_a_transaction_was_killed(default_scenario: Scenario, fixed: bool) -> None:
    """One worker, killed while readers are held back by its transaction, and started again at once."""
    with default_scenario.streaming(workers=1, least=(0, 1_000), rate=500, fixed=fixed, settings={}):
        default_scenario.progress.wait_for_more(100)
        wait_until(lambda: _stands_in_a_transaction(default_scenario), 60, "a transaction to be killed in")
        default_scenario.pool.replace_killed()
        default_scenario.faults += 1


def _stands_in_a_transaction(scenario: Scenario) -> bool:
    """Whether the worker has been stopped in one; if not, it goes on."""
    worker = scenario.pool.running[0]
    worker.signal(signal.SIGSTOP)
    if scenario.progress.is_held_back():
        return True
    worker.signal(signal.SIGCONT)
    return False
