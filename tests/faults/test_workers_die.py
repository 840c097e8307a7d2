"""Cases 1, 2, 3, 6, 7: what may happen to workers, and nothing is lost or answered twice."""

import signal
import time

import pytest

from tests.faults.scenario import QUICK, Trial

pytestmark = [pytest.mark.own_broker, pytest.mark.timeout(1200)]

PROTOCOLS = {
    "range": QUICK | {"TELCO_STREAM_KAFKA__PARTITION__ASSIGNMENT__STRATEGY": "range"},
    "cooperative-sticky": QUICK | {"TELCO_STREAM_KAFKA__PARTITION__ASSIGNMENT__STRATEGY": "cooperative-sticky"},
    # The broker keeps the time-outs of this one, and refuses them from a client.
    "consumer": {
        **{name: value for name, value in QUICK.items() if "SESSION" not in name and "HEARTBEAT" not in name},
        "TELCO_STREAM_KAFKA__GROUP__PROTOCOL": "consumer",
    },
}


@pytest.mark.parametrize("fixed", [False, True], ids=["own id", "fixed id"])
def test_1_workers_are_killed(trial: Trial, fixed: bool) -> None:
    """SIGKILL at random moments, three workers in one group; each is replaced at once."""
    with trial.streaming(fixed=fixed):
        for _ in range(trial.form(2, 10)):
            trial.moment()
            trial.crew.replace_killed()


def test_2_workers_are_asked_to_stop(trial: Trial) -> None:
    """SIGTERM at random moments: exit 0 and a summary each time."""
    with trial.streaming():
        for _ in range(trial.form(2, 10)):
            trial.moment()
            trial.crew.replace_stopped()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_3_workers_join_and_leave(trial: Trial, protocol: str) -> None:
    """Between one and four workers, all the time another number, under each way to share the partitions."""
    with trial.streaming(workers=2, settings=PROTOCOLS[protocol]):
        for _ in range(trial.form(3, 20)):
            trial.moment(0.5)
            running = len(trial.crew.running)
            if running == 1 or (running < 4 and trial.random.random() < 0.5):
                trial.crew.start()
            else:
                trial.crew.stop(trial.crew.any())


def test_6_a_worker_is_paused_for_too_long(trial: Trial) -> None:
    """Longer than the group and its transaction wait for it; woken, it finds its records answered by others."""
    settings = QUICK | {"TELCO_STREAM_KAFKA__MAX__POLL__INTERVAL__MS": "4000"}
    with trial.streaming(workers=2, settings=settings):
        for _ in range(trial.form(1, 5)):
            trial.moment()
            sleeper = trial.crew.running[trial.crew.any()]
            sleeper.signal(signal.SIGSTOP)
            time.sleep(8)
            sleeper.signal(signal.SIGCONT)


def test_7_two_workers_have_the_same_transactional_id(trial: Trial) -> None:
    """The first is fenced by the second, and says so with exit 6."""
    settings = QUICK | {"TELCO_STREAM_CONSUMER__TRANSACTIONAL_ID": trial.topics.transactional_id}
    with trial.streaming(workers=1, settings=settings):
        for _ in range(trial.form(1, 5)):
            trial.moment()
            first = trial.crew.running.pop(0)
            trial.crew.start(0)
            assert first.wait() == 6
            assert "taken over" in first.stderr()
