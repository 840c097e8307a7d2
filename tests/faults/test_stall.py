"""How long readers wait after a `kill -9` in the middle of a transaction: measured, for docs/delivery.md."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.conftest import a_trial
from tests.faults.scenario import Trial
from tests.support.last_words import FULL
from tests.support.waiting import wait_until

pytestmark = [
    pytest.mark.timeout(1200),
    pytest.mark.skipif(not FULL, reason="a measurement of the time-outs as they are; make faults takes the time"),
]


@pytest.fixture
def usual(kafka: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Trial]:
    """A case on a broker with the time-outs that Kafka has by itself."""
    yield from a_trial(kafka, request, tmp_path)


@pytest.mark.parametrize("fixed", [False, True], ids=["own id", "fixed id"])
def test_stall_after_a_kill_in_a_transaction(usual: Trial, fixed: bool) -> None:
    """One worker, killed while readers are held back by its transaction, and started again at once."""
    with usual.streaming(workers=1, least=(0, 1_000), rate=500, fixed=fixed, settings={}):
        usual.progress.wait_for_more(100)
        wait_until(lambda: _stands_in_a_transaction(usual), 60, "a transaction to be killed in")
        usual.crew.replace_killed()
        usual.faults += 1


def _stands_in_a_transaction(trial: Trial) -> bool:
    """Whether the worker has been stopped in one; if not, it goes on."""
    worker = trial.crew.running[0]
    worker.signal(signal.SIGSTOP)
    if trial.progress.is_held_back():
        return True
    worker.signal(signal.SIGCONT)
    return False
