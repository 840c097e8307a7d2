"""A coordinator that is slow or fails: every class in the table of errors, injected into the embedded broker's answers.

The embedded broker keeps no transactional offsets and fences nobody, so what is told here is how the worker goes on;
that nothing is lost or doubled by it is told on a real broker. A worker waits more than it works, so all cases run side
by side, each on a broker of its own, and a test asks for its case.
"""

import gc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import pytest
from confluent_kafka import KafkaError

from telco_stream import errors
from telco_stream.consume.counters import ConsumeResult
from telco_stream.consume.run import ConsumeOptions
from tests.support.consumer_harness import RunningConsumer, coordinates, customers, settings_of, sources
from tests.support.mock_cluster import Api, MockCluster
from tests.support.topics import fresh_topics, read_topic, send

pytestmark = pytest.mark.slow

#: What the client waits for by itself.
PASSING = [
    (Api.ADD_OFFSETS_TO_TXN, "COORDINATOR_LOAD_IN_PROGRESS"),
    (Api.ADD_OFFSETS_TO_TXN, "NOT_COORDINATOR"),
    (Api.ADD_OFFSETS_TO_TXN, "CONCURRENT_TRANSACTIONS"),
    (Api.ADD_PARTITIONS_TO_TXN, "CONCURRENT_TRANSACTIONS"),
    (Api.ADD_PARTITIONS_TO_TXN, "COORDINATOR_NOT_AVAILABLE"),
    (Api.TXN_OFFSET_COMMIT, "COORDINATOR_LOAD_IN_PROGRESS"),
    (Api.TXN_OFFSET_COMMIT, "NOT_COORDINATOR"),
    (Api.END_TXN, "COORDINATOR_LOAD_IN_PROGRESS"),
    (Api.END_TXN, "COORDINATOR_NOT_AVAILABLE"),
    (Api.END_TXN, "_TRANSPORT"),
    (Api.PRODUCE, "NOT_ENOUGH_REPLICAS"),
    (Api.PRODUCE, "NOT_LEADER_FOR_PARTITION"),
]
#: Abort, and once more.
ABORTING = [
    (Api.TXN_OFFSET_COMMIT, "ILLEGAL_GENERATION"),
    (Api.TXN_OFFSET_COMMIT, "UNKNOWN_MEMBER_ID"),
    (Api.TXN_OFFSET_COMMIT, "FENCED_INSTANCE_ID"),
    (Api.END_TXN, "UNKNOWN_PRODUCER_ID"),
    (Api.END_TXN, "INVALID_PRODUCER_ID_MAPPING"),
]
#: A new producer, and once more.
RENEWING = [
    (Api.END_TXN, "INVALID_TXN_STATE"),
    (Api.ADD_OFFSETS_TO_TXN, "INVALID_TXN_STATE"),
]
FENCING = [
    (Api.END_TXN, "INVALID_PRODUCER_EPOCH"),
    (Api.END_TXN, "PRODUCER_FENCED"),
    (Api.ADD_PARTITIONS_TO_TXN, "INVALID_PRODUCER_EPOCH"),
    (Api.ADD_OFFSETS_TO_TXN, "INVALID_PRODUCER_EPOCH"),
    (Api.PRODUCE, "INVALID_PRODUCER_EPOCH"),
]
HOPELESS = [
    (Api.ADD_PARTITIONS_TO_TXN, "TOPIC_AUTHORIZATION_FAILED"),
    (Api.ADD_PARTITIONS_TO_TXN, "TRANSACTIONAL_ID_AUTHORIZATION_FAILED"),
    (Api.ADD_OFFSETS_TO_TXN, "GROUP_AUTHORIZATION_FAILED"),
    (Api.TXN_OFFSET_COMMIT, "GROUP_AUTHORIZATION_FAILED"),
    (Api.TXN_OFFSET_COMMIT, "TOPIC_AUTHORIZATION_FAILED"),
    (Api.END_TXN, "TRANSACTIONAL_ID_AUTHORIZATION_FAILED"),
    (Api.PRODUCE, "TOPIC_AUTHORIZATION_FAILED"),
    (Api.PRODUCE, "MSG_SIZE_TOO_LARGE"),
    (Api.INIT_PRODUCER_ID, "TRANSACTIONAL_ID_AUTHORIZATION_FAILED"),
]
REJOINING = [
    (Api.HEARTBEAT, "NOT_COORDINATOR"),
    (Api.JOIN_GROUP, "NOT_COORDINATOR"),
    (Api.SYNC_GROUP, "REBALANCE_IN_PROGRESS"),
    (Api.OFFSET_FETCH, "NOT_COORDINATOR"),
]
#: Where at-least-once has other answers than transactions, or other requests.
PASSING_COMMITS = [
    (Api.OFFSET_COMMIT, "COORDINATOR_LOAD_IN_PROGRESS"),
    (Api.OFFSET_COMMIT, "REBALANCE_IN_PROGRESS"),
]
HOPELESS_AT_LEAST_ONCE = [
    (Api.OFFSET_COMMIT, "GROUP_AUTHORIZATION_FAILED"),
    (Api.PRODUCE, "TOPIC_AUTHORIZATION_FAILED"),
    (Api.PRODUCE, "MSG_SIZE_TOO_LARGE"),
    (Api.FETCH, "TOPIC_AUTHORIZATION_FAILED"),
    (Api.JOIN_GROUP, "GROUP_AUTHORIZATION_FAILED"),
]
SLOW = [Api.ADD_OFFSETS_TO_TXN, Api.END_TXN]
STRATEGIES = ["cooperative-sticky", "range"]


@dataclass(frozen=True, slots=True)
class Case:
    """A worker whose broker answers requests of a kind with this error, so many times; 0 is a late answer."""

    api: Api
    error: str = ""
    times: int = 1
    delivery: Any = "exactly-once"
    fixed_id: bool = False
    strategy: str = "cooperative-sticky"


@dataclass(frozen=True, slots=True)
class WorkerMessage:
    """How the run ended, which inputs there were and which are answered, aborted answers included."""

    end: ConsumeResult | Exception
    inputs: list[str]
    answered: list[str]

    def went_on(self) -> None:
        """Every input was taken, and has an answer."""
        assert isinstance(self.end, ConsumeResult), self.end
        assert self.end.consumed == 30
        assert set(self.answered) == set(self.inputs)


Tell = Callable[[Case], WorkerMessage]


def run(case: Case) -> WorkerMessage:
    """What becomes of 30 customers."""
    names = fresh_topics()
    with closing(MockCluster()) as broker:
        for topic, partitions in names.partitions().items():
            broker.create_topic(topic, partitions)
        send(broker.bootstrap, names.raw, customers(range(30)))
        if case.error:
            broker.push_errors(case.api, *[getattr(KafkaError, case.error)] * case.times)
        else:
            broker.push_slow_errors(case.api, (0, 1_200))  # longer than any one call
        fixed = {"transactional_id": names.transactional_id} if case.fixed_id else {}
        kafka = {"partition.assignment.strategy": case.strategy}
        order = ConsumeOptions("streaming", case.delivery, max_messages=30, idle_timeout=20)
        running = RunningConsumer(settings_of(broker.bootstrap, names, kafka, **fixed), order)
        try:
            end: ConsumeResult | Exception = running.result(60)
        except errors.TelcoStreamError as error:
            end = error
        broker.clear_errors(case.api)
        inputs, answers = (read_topic(broker.bootstrap, topic) for topic in (names.raw, names.predictions))
        return WorkerMessage(end, coordinates(inputs), sources(answers))


def fenced(api: Api, name: str) -> Case:
    return Case(api, name, times=5, fixed_id=True)


def hopeless(api: Api, name: str, delivery: str = "exactly-once") -> Case:
    return Case(api, name, times=5, delivery=delivery)


def forgotten(strategy: str) -> Case:
    return Case(Api.OFFSET_FETCH, "NOT_COORDINATOR", times=3, delivery="at-least-once", strategy=strategy)


CASES = [
    *(Case(*one) for one in PASSING + ABORTING + RENEWING + FENCING + REJOINING),
    *(Case(*one, delivery="at-least-once") for one in PASSING_COMMITS),
    *(Case(api) for api in SLOW),
    *(fenced(*one) for one in FENCING),
    *(hopeless(*one) for one in HOPELESS),
    *(hopeless(*one, "at-least-once") for one in HOPELESS_AT_LEAST_ONCE),
    *(forgotten(strategy) for strategy in STRATEGIES),
]


@pytest.fixture(scope="module")
def told() -> Iterator[Tell]:
    """What became of a case."""
    with ThreadPoolExecutor(12) as pool:
        runs = {case: pool.submit(run, case) for case in CASES}
        yield lambda case: runs[case].result(120)
        pool.shutdown(cancel_futures=True)
    # What a case ended with holds its clients, whose threads would stay for the rest of the run.
    runs.clear()
    gc.unfreeze()
    gc.collect()


@pytest.mark.parametrize(("api", "name"), ABORTING + RENEWING + FENCING + REJOINING)
def test_a_worker_with_an_id_of_its_own_goes_on(told: Tell, api: Api, name: str) -> None:
    """By an abort or a new producer, and once more."""
    told(Case(api, name)).went_on()


@pytest.mark.parametrize(("api", "name"), PASSING)
def test_what_passes_costs_no_transaction(told: Tell, api: Api, name: str) -> None:
    """The client asks again by itself: no answer was sent twice."""
    told(Case(api, name)).went_on()
    assert len(told(Case(api, name)).answered) == 30


@pytest.mark.parametrize("api", SLOW)
def test_a_slow_coordinator_is_waited_for(told: Tell, api: Api) -> None:
    """The call that has run out of its time is taken up again, and answered once."""
    told(Case(api)).went_on()
    assert len(told(Case(api)).answered) == 30


@pytest.mark.parametrize(("api", "name"), FENCING)
def test_a_worker_with_a_fixed_id_that_is_fenced_ends_with_6(told: Tell, api: Api, name: str) -> None:
    assert isinstance(told(fenced(api, name)).end, errors.FencedError)


@pytest.mark.parametrize(("api", "name"), HOPELESS)
def test_what_no_repetition_mends_ends_with_3(told: Tell, api: Api, name: str) -> None:
    end = told(hopeless(api, name)).end
    assert isinstance(end, errors.KafkaError)
    assert "\n" not in str(end)


@pytest.mark.parametrize(("api", "name"), PASSING_COMMITS)
def test_at_least_once_goes_on_when_a_commit_is_refused(told: Tell, api: Api, name: str) -> None:
    told(Case(api, name, delivery="at-least-once")).went_on()


@pytest.mark.parametrize(("api", "name"), HOPELESS_AT_LEAST_ONCE)
def test_at_least_once_ends_with_3_where_no_repetition_helps(told: Tell, api: Api, name: str) -> None:
    assert isinstance(told(hopeless(api, name, "at-least-once")).end, errors.KafkaError)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_partitions_whose_committed_offset_was_not_to_be_had_are_not_forgotten(told: Tell, strategy: str) -> None:
    """The client says so once, and never fetches them again by itself."""
    told(forgotten(strategy)).went_on()
