"""A coordinator that is slow or fails: every class in the table of errors, injected into the embedded broker's answers.

The embedded broker keeps no transactional offsets and fences nobody, so what is told here is how the worker goes on;
that nothing is lost or doubled by it is told on a real broker.
"""

from typing import Any

import pytest
from confluent_kafka import KafkaError

from telco_stream import errors
from telco_stream.assembly import ConsumeOrder
from tests.support.mock_cluster import Api, MockCluster
from tests.support.running import Running, coordinates, customers, settings_of, sources
from tests.support.topics import Topics, read_topic, send

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


class Broken:
    """A worker on an embedded broker whose next answers of a kind are errors."""

    def __init__(self, embedded: MockCluster, topics: Topics, delivery: str = "exactly-once", **consumer: Any) -> None:
        self.embedded, self.topics = embedded, topics
        send(embedded.bootstrap, topics.raw, customers(range(30)))
        self.settings = settings_of(embedded.bootstrap, topics, **consumer)
        self.order = ConsumeOrder("streaming", delivery, max_messages=30, idle_timeout=20)  # type: ignore[arg-type]

    def run(self, api: Api, *names: str) -> Running:
        self.embedded.push_errors(api, *(getattr(KafkaError, name) for name in names))
        return Running(self.settings, self.order)

    def check_answers(self) -> None:
        """Each input has an answer; the embedded broker shows those of aborted transactions too."""
        answered = set(sources(read_topic(self.embedded.bootstrap, self.topics.predictions)))
        assert answered == set(coordinates(read_topic(self.embedded.bootstrap, self.topics.raw)))


@pytest.fixture
def broken(embedded: MockCluster, embedded_topics: Topics) -> Broken:
    return Broken(embedded, embedded_topics)


@pytest.mark.parametrize(("api", "name"), PASSING + ABORTING + RENEWING + FENCING)
def test_a_worker_with_an_id_of_its_own_goes_on(broken: Broken, api: Api, name: str) -> None:
    """Whatever the coordinator says, but what no repetition mends."""
    assert broken.run(api, name).result().consumed == 30
    broken.check_answers()


@pytest.mark.parametrize(("api", "name"), PASSING)
def test_what_passes_costs_no_transaction(
    broken: Broken, api: Api, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The client asks again by itself."""
    broken.run(api, name).result()
    assert "was not committed" not in caplog.text


@pytest.mark.parametrize(("api", "name"), FENCING)
def test_a_worker_with_a_fixed_id_that_is_fenced_ends_with_6(
    embedded: MockCluster, embedded_topics: Topics, api: Api, name: str
) -> None:
    broken = Broken(embedded, embedded_topics, transactional_id=embedded_topics.transactional_id)
    with pytest.raises(errors.FencedError):
        broken.run(api, *[name] * 5).result()


@pytest.mark.parametrize(("api", "name"), HOPELESS)
def test_what_no_repetition_mends_ends_with_3(broken: Broken, api: Api, name: str) -> None:
    with pytest.raises(errors.KafkaError) as caught:
        broken.run(api, *[name] * 5).result()
    assert caught.value.exit_code == 3
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("api", [Api.ADD_OFFSETS_TO_TXN, Api.END_TXN])
def test_a_slow_coordinator_is_waited_for(broken: Broken, api: Api) -> None:
    """Longer than any one call: the call is taken up again, and answered once."""
    broken.embedded.push_slow_errors(api, (0, 1_200))
    assert broken.run(api).result().consumed == 30
    assert len(read_topic(broken.embedded.bootstrap, broken.topics.predictions)) == 30


@pytest.mark.parametrize("name", ["COORDINATOR_LOAD_IN_PROGRESS", "REBALANCE_IN_PROGRESS"])
def test_at_least_once_goes_on_when_a_commit_is_refused(
    embedded: MockCluster, embedded_topics: Topics, name: str
) -> None:
    broken = Broken(embedded, embedded_topics, "at-least-once")
    assert broken.run(Api.OFFSET_COMMIT, name, name).result().consumed == 30
    broken.check_answers()


@pytest.mark.parametrize(
    ("api", "name"),
    [
        (Api.OFFSET_COMMIT, "GROUP_AUTHORIZATION_FAILED"),
        (Api.PRODUCE, "TOPIC_AUTHORIZATION_FAILED"),
        (Api.PRODUCE, "MSG_SIZE_TOO_LARGE"),
        (Api.FETCH, "TOPIC_AUTHORIZATION_FAILED"),
        (Api.JOIN_GROUP, "GROUP_AUTHORIZATION_FAILED"),
    ],
)
def test_at_least_once_ends_with_3_where_no_repetition_helps(
    embedded: MockCluster, embedded_topics: Topics, api: Api, name: str
) -> None:
    with pytest.raises(errors.KafkaError):
        Broken(embedded, embedded_topics, "at-least-once").run(api, *[name] * 5).result()


@pytest.mark.parametrize("api", [Api.HEARTBEAT, Api.JOIN_GROUP, Api.OFFSET_FETCH])
def test_a_group_that_stumbles_is_joined_all_the_same(broken: Broken, api: Api) -> None:
    assert broken.run(api, "NOT_COORDINATOR").result().consumed == 30


@pytest.mark.parametrize("strategy", ["cooperative-sticky", "range"])
def test_partitions_whose_committed_offset_was_not_to_be_had_are_not_forgotten(
    embedded: MockCluster, embedded_topics: Topics, strategy: str
) -> None:
    """The client says so once, and never fetches them again by itself."""
    send(embedded.bootstrap, embedded_topics.raw, customers(range(30)))
    embedded.push_errors(Api.OFFSET_FETCH, *[KafkaError.NOT_COORDINATOR] * 3)
    settings = settings_of(embedded.bootstrap, embedded_topics, {"partition.assignment.strategy": strategy})
    order = ConsumeOrder("batch", "at-least-once", idle_timeout=20)
    assert Running(settings, order).result().consumed == 30
    assert len(read_topic(embedded.bootstrap, embedded_topics.predictions)) == 30
