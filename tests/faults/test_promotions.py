"""Case 11: versions of the model are promoted under load while workers are killed."""

import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping
from functools import partial

import pytest

from telco_stream.contract.timestamps import parse_timestamp
from tests.faults.scenario import QUICK, Scenario
from tests.support.published_models import PublishedModels
from tests.support.topics import read_topic
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.own_broker, pytest.mark.timeout(1200)]

WORKERS = 3
#: Seconds between two promotions: 50 in a minute.
INTERVAL = 1.2
#: Seconds in which a promotion reaches the loop of a worker on a busy machine.
SWAP_SECONDS = 5.0


def test_11_each_answer_names_a_serving_version_when_workers_die(scenario: Scenario) -> None:
    """The versions have the probabilities of the committed model, which the checker expects."""
    models = PublishedModels(scenario.bootstrap, scenario.topics)
    versions = [f"v{number}" for number in range(scenario.form(5, 51))]
    for version in versions:
        models.publish(version)
    models.promote(versions[0])
    # Time is not measured here: three workers, load and broker share two cores.
    settings = {"TELCO_STREAM_MODEL__PATH": f"kafka:{models.topic}", "TELCO_STREAM_MODEL__GATE_MICROSECONDS": "1e6"}
    load = {"rate": scenario.form(1_000, 5_000), "least": (5_000, 300_000)}
    with scenario.streaming(workers=WORKERS, settings=QUICK | settings, **load):
        wait_until(lambda: len(models.reports(versions[0])) >= WORKERS, 60, "the workers")
        killed_after = {scenario.form(1 + slot, 10 + 12 * slot): slot for slot in range(WORKERS)}
        started = time.monotonic()
        for number, version in enumerate(versions[1:], 1):
            models.promote(version)
            if number in killed_after:
                scenario.pool.replace_killed(killed_after[number])
            scenario.faults += 1
            if scenario.full:
                time.sleep(max(0.0, started + number * INTERVAL - time.monotonic()))
            else:  # a busy machine may take longer to replace a worker
                wait_until(partial(has_answered, scenario, version), 60, f"an answer of {version}")
    answered = check_versions(scenario, models)
    assert len(answered) > len(versions) // 2, answered


def has_answered(scenario: Scenario, version: str) -> bool:
    """Return whether a prediction names the version."""
    answers = read_topic(scenario.bootstrap, scenario.topics.predictions)
    return any(record.json()["model_version"] == version for record in reversed(answers))


def check_versions(scenario: Scenario, models: PublishedModels) -> Mapping[str, int]:
    """Check that each answer's version served when it was computed; return the number of answers by version."""
    promotions = [applied for applied in models.registry().history if applied.effective]
    times = [applied.time / 1_000 for applied in promotions]
    answered: Counter[str] = Counter()
    wrong = []
    for record in read_topic(scenario.bootstrap, scenario.topics.predictions):
        answer = record.json()
        at = parse_timestamp(answer["processed_ts"]).timestamp()
        first, last = bisect_right(times, at - SWAP_SECONDS), bisect_right(times, at)
        served = {applied.change.version for applied in promotions[max(0, first - 1) : last]}
        if answer["model_version"] not in served:
            wrong.append((answer["model_version"], answer["processed_ts"], sorted(served)))
        answered[answer["model_version"]] += 1
    assert not wrong, f"seed {scenario.seed}: {len(wrong)} answers: {wrong[:5]}"
    return answered
