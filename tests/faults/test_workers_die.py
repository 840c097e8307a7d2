"""Cases 1, 2, 3, 6 and 7: faults of workers."""

import signal
import time

import pytest

from tests.faults.scenario import QUICK, Scenario

pytestmark = [pytest.mark.own_broker, pytest.mark.timeout(1200)]

PROTOCOLS = {
    "range": QUICK | {"TELCO_STREAM_KAFKA__PARTITION__ASSIGNMENT__STRATEGY": "range"},
    "cooperative-sticky": QUICK | {"TELCO_STREAM_KAFKA__PARTITION__ASSIGNMENT__STRATEGY": "cooperative-sticky"},
    # With this protocol the broker sets the timeouts, and rejects clients that set them.
    "consumer": {
        **{name: value for name, value in QUICK.items() if "SESSION" not in name and "HEARTBEAT" not in name},
        "TELCO_STREAM_KAFKA__GROUP__PROTOCOL": "consumer",
    },
}


@pytest.mark.parametrize("fixed", [False, True], ids=["own id", "fixed id"])
def test_1_each_input_is_answered_once_when_workers_are_killed(scenario: Scenario, fixed: bool) -> None:
    """SIGKILL at random moments to one of three workers; each is replaced at once."""
    with scenario.streaming(fixed=fixed):
        for _ in range(scenario.form(2, 10)):
            scenario.moment()
            scenario.pool.replace_killed()


def test_2_each_input_is_answered_once_when_workers_stop(scenario: Scenario) -> None:
    """SIGTERM at random moments: exit 0 and a summary each time."""
    with scenario.streaming():
        for _ in range(scenario.form(2, 10)):
            scenario.moment()
            scenario.pool.replace_stopped()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_3_each_input_is_answered_once_when_workers_join(scenario: Scenario, protocol: str) -> None:
    """A changing number of one to four workers, with each assignment protocol."""
    with scenario.streaming(workers=2, settings=PROTOCOLS[protocol]):
        for _ in range(scenario.form(3, 20)):
            scenario.moment(0.5)
            running = len(scenario.pool.running)
            if running == 1 or (running < 4 and scenario.random.random() < 0.5):
                scenario.pool.start()
            else:
                scenario.pool.stop(scenario.pool.choose())


def test_6_each_input_is_answered_once_when_a_worker_is_paused(scenario: Scenario) -> None:
    """For longer than the group and transaction timeouts; others have answered its records when it resumes."""
    settings = QUICK | {"TELCO_STREAM_KAFKA__MAX__POLL__INTERVAL__MS": "4000"}
    with scenario.streaming(workers=2, settings=settings):
        for _ in range(scenario.form(1, 5)):
            scenario.moment()
            paused = scenario.pool.running[scenario.pool.choose()]
            paused.signal(signal.SIGSTOP)
            time.sleep(8)
            paused.signal(signal.SIGCONT)


def test_7_consume_is_fenced_when_two_workers_share_an_id(scenario: Scenario) -> None:
    """The second worker fences the first, which exits with 6."""
    settings = QUICK | {"TELCO_STREAM_CONSUMER__TRANSACTIONAL_ID": scenario.topics.transactional_id}
    with scenario.streaming(workers=1, settings=settings):
        for _ in range(scenario.form(1, 5)):
            scenario.moment()
            first = scenario.pool.running.pop(0)
            scenario.pool.start(0)
            assert first.wait() == 6
            assert "taken over" in first.stderr()
