"""A coordinator that is slow or fails: every class in the table of errors, injected into the embedded broker's answers.

The embedded broker keeps no transactional offsets and has no fencing, so these tests check only how the worker
continues; tests on a real broker check that nothing is lost or duplicated. A worker mostly waits, so all cases run at
the same time, each on a separate broker, and a test waits for its case.
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

#: Errors that the client retries.
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
#: Errors that abort the transaction; the batch is processed again.
ABORTING = [
    (Api.TXN_OFFSET_COMMIT, "ILLEGAL_GENERATION"),
    (Api.TXN_OFFSET_COMMIT, "UNKNOWN_MEMBER_ID"),
    (Api.TXN_OFFSET_COMMIT, "FENCED_INSTANCE_ID"),
    (Api.END_TXN, "UNKNOWN_PRODUCER_ID"),
    (Api.END_TXN, "INVALID_PRODUCER_ID_MAPPING"),
]
#: Errors that need a new producer; the batch is processed again.
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
PERMANENT = [
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
#: At-least-once: other requests than transactions, or another recovery.
PASSING_COMMITS = [
    (Api.OFFSET_COMMIT, "COORDINATOR_LOAD_IN_PROGRESS"),
    (Api.OFFSET_COMMIT, "REBALANCE_IN_PROGRESS"),
]
PERMANENT_AT_LEAST_ONCE = [
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
    """A worker whose broker answers one kind of request with this error; without an error, it answers late."""

    api: Api
    error: str = ""
    times: int = 1
    delivery: Any = "exactly-once"
    fixed_id: bool = False
    strategy: str = "cooperative-sticky"


@dataclass(frozen=True, slots=True)
class CaseResult:
    """End of the run, its inputs and the answered inputs, including those of aborted transactions."""

    end: ConsumeResult | Exception
    inputs: list[str]
    answered: list[str]

    def assert_all_answered(self) -> None:
        """Assert that every input was consumed and has an answer."""
        assert isinstance(self.end, ConsumeResult), self.end
        assert self.end.consumed == 30
        assert set(self.answered) == set(self.inputs)


ResultOf = Callable[[Case], CaseResult]


def run(case: Case) -> CaseResult:
    """Run a worker over 30 customers."""
    names = fresh_topics()
    with closing(MockCluster()) as broker:
        for topic, partitions in names.partitions().items():
            broker.create_topic(topic, partitions)
        send(broker.bootstrap, names.raw, customers(range(30)))
        if case.error:
            broker.push_errors(case.api, *[getattr(KafkaError, case.error)] * case.times)
        else:
            broker.push_slow_errors(case.api, (0, 1_200))  # longer than one call
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
        return CaseResult(end, coordinates(inputs), sources(answers))


def fenced(api: Api, name: str) -> Case:
    return Case(api, name, times=5, fixed_id=True)


def permanent(api: Api, name: str, delivery: str = "exactly-once") -> Case:
    return Case(api, name, times=5, delivery=delivery)


def forgotten(strategy: str) -> Case:
    return Case(Api.OFFSET_FETCH, "NOT_COORDINATOR", times=3, delivery="at-least-once", strategy=strategy)


CASES = [
    *(Case(*case) for case in PASSING + ABORTING + RENEWING + FENCING + REJOINING),
    *(Case(*case, delivery="at-least-once") for case in PASSING_COMMITS),
    *(Case(api) for api in SLOW),
    *(fenced(*case) for case in FENCING),
    *(permanent(*case) for case in PERMANENT),
    *(permanent(*case, "at-least-once") for case in PERMANENT_AT_LEAST_ONCE),
    *(forgotten(strategy) for strategy in STRATEGIES),
]


@pytest.fixture(scope="module")
def result_of() -> Iterator[ResultOf]:
    """Return a function that waits for a case and returns its result."""
    with ThreadPoolExecutor(12) as pool:
        runs = {case: pool.submit(run, case) for case in CASES}
        yield lambda case: runs[case].result(120)
        pool.shutdown(cancel_futures=True)
    # A case's error references its clients, whose threads would stay until the end of the test run.
    runs.clear()
    gc.unfreeze()
    gc.collect()


@pytest.mark.parametrize(("api", "name"), ABORTING + RENEWING + FENCING + REJOINING)
def test_consume_continues_when_a_unique_id_gets_an_error(result_of: ResultOf, api: Api, name: str) -> None:
    """After an abort or with a new producer, the batch is processed again."""
    result_of(Case(api, name)).assert_all_answered()


@pytest.mark.parametrize(("api", "name"), PASSING)
def test_consume_keeps_the_transaction_when_the_error_passes(result_of: ResultOf, api: Api, name: str) -> None:
    """The client retries the request: no answer is sent twice."""
    result_of(Case(api, name)).assert_all_answered()
    assert len(result_of(Case(api, name)).answered) == 30


@pytest.mark.parametrize("api", SLOW)
def test_consume_waits_when_the_coordinator_is_slow(result_of: ResultOf, api: Api) -> None:
    """The call that timed out is resumed, and each input is answered once."""
    result_of(Case(api)).assert_all_answered()
    assert len(result_of(Case(api)).answered) == 30


@pytest.mark.parametrize(("api", "name"), FENCING)
def test_consume_exits_6_when_a_fixed_id_is_fenced(result_of: ResultOf, api: Api, name: str) -> None:
    end = result_of(fenced(api, name)).end
    assert isinstance(end, errors.FencedError)
    assert "TELCO_STREAM_CONSUMER__TRANSACTIONAL_ID" in str(end)


@pytest.mark.parametrize(("api", "name"), PERMANENT)
def test_consume_exits_3_when_the_error_is_permanent(result_of: ResultOf, api: Api, name: str) -> None:
    end = result_of(permanent(api, name)).end
    assert isinstance(end, errors.KafkaError)
    assert "\n" not in str(end)


@pytest.mark.parametrize(("api", "name"), PASSING_COMMITS)
def test_at_least_once_continues_when_a_commit_is_refused(result_of: ResultOf, api: Api, name: str) -> None:
    result_of(Case(api, name, delivery="at-least-once")).assert_all_answered()


@pytest.mark.parametrize(("api", "name"), PERMANENT_AT_LEAST_ONCE)
def test_at_least_once_exits_3_when_the_error_is_permanent(result_of: ResultOf, api: Api, name: str) -> None:
    assert isinstance(result_of(permanent(api, name, "at-least-once")).end, errors.KafkaError)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_consume_reads_all_when_committed_offsets_come_late(result_of: ResultOf, strategy: str) -> None:
    """The client reports the error once, and never fetches these partitions again."""
    result_of(forgotten(strategy)).assert_all_answered()
