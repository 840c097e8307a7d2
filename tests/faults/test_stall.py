"""How long readers wait after a `kill -9` during a transaction, measured for docs/delivery.md."""

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
    pytest.mark.skipif(not FULL, reason="waits for the default timeouts; runs in the full form (make faults)"),
]


@pytest.fixture
def default_scenario(kafka: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Scenario]:
    """Yield a scenario on a broker with default timeouts."""
    yield from new_scenario(kafka, request, tmp_path)


@pytest.mark.parametrize("fixed", [False, True], ids=["own id", "fixed id"])
def test_readers_resume_when_a_transaction_was_killed(default_scenario: Scenario, fixed: bool) -> None:
    """The worker is killed while its transaction holds back readers, and replaced at once."""
    with default_scenario.streaming(workers=1, least=(0, 1_000), rate=500, fixed=fixed, settings={}):
        default_scenario.progress.wait_for_more(100)
        wait_until(lambda: _stop_in_transaction(default_scenario), 60, "an open transaction")
        default_scenario.pool.replace_killed()
        default_scenario.faults += 1


def _stop_in_transaction(scenario: Scenario) -> bool:
    """Freeze the worker; return whether its transaction is open, or else let it continue."""
    worker = scenario.pool.running[0]
    worker.signal(signal.SIGSTOP)
    if scenario.progress.is_held_back():
        return True
    worker.signal(signal.SIGCONT)
    return False
