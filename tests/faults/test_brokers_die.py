"""Cases 4, 5 and 9: faults of the broker, also together with faults of workers and data."""

import time

import pytest

from tests.faults.scenario import Scenario
from tests.support.kafka_container import KafkaContainer

pytestmark = [pytest.mark.own_broker, pytest.mark.timeout(1200)]


def test_4_each_input_is_answered_once_when_the_broker_is_killed(
    scenario: Scenario, fault_kafka: KafkaContainer
) -> None:
    """SIGKILL at random moments, each followed by a restart."""
    with scenario.streaming():
        for _ in range(scenario.form(1, 3)):
            scenario.moment()
            fault_kafka.kill()
            fault_kafka.start_again()


def test_5_each_input_is_answered_once_when_the_broker_is_paused(
    scenario: Scenario, fault_kafka: KafkaContainer
) -> None:
    """For longer than the session and transaction timeouts; connections stay open."""
    with scenario.streaming():
        for _ in range(scenario.form(1, 3)):
            scenario.moment()
            fault_kafka.pause()
            time.sleep(8)
            fault_kafka.unpause()


def test_9_each_input_is_answered_once_when_all_are_killed(scenario: Scenario, fault_kafka: KafkaContainer) -> None:
    """5 % of the records are poison; one worker is killed while the broker is down, another while it is up."""
    with scenario.streaming(poison=0.05):
        for _ in range(scenario.form(1, 3)):
            scenario.moment()
            fault_kafka.kill()
            scenario.pool.replace_killed()
            fault_kafka.start_again()
            scenario.moment()
            scenario.pool.replace_killed()
            scenario.faults += 1
