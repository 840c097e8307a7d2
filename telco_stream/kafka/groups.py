"""State and committed offsets of a consumer group, read without joining it."""

from dataclasses import dataclass
from functools import partial

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from telco_stream.kafka.clients import MAX_CALL_SECONDS, Clients
from telco_stream.kafka.cluster import Cluster
from telco_stream.kafka.error_policy import user_error
from telco_stream.kafka.offsets import Commit, decode_commit_metadata


@dataclass(frozen=True, slots=True)
class GroupDescription:
    """A group's state as Kafka names it (`dead` if the group does not exist) and its number of members."""

    state: str
    members: int


class Groups:
    """Requests about groups with the clients' timeout; each raises `errors.KafkaError` if it fails."""

    def __init__(self, clients: Clients, cluster: Cluster) -> None:
        self._clients = clients
        self._admin: AdminClient = clients.admin()
        self._cluster = cluster
        self._timeout = clients.timeout

    def committed(self, group: str, topic: str) -> dict[int, Commit]:
        """Return the group's commits by partition, without those for a deleted topic of the same name."""
        topic_id = self._cluster.topic_ids(topic)[topic]
        partitions = [TopicPartition(topic, partition) for partition in range(self._cluster.partitions(topic)[topic])]
        # The admin client's own request crashes (segmentation fault) if the coordinator answers with an error while it
        # starts. With read_committed, the request would wait for open transactions.
        consumer = self._clients.consumer(group, isolation_level="read_uncommitted")
        try:
            committed = self._cluster.ask_group(lambda: _committed(consumer, partitions), group)
        finally:
            consumer.close()
        commits = {}
        for partition in committed:
            if partition.error is not None:
                raise user_error(partition.error, f"Group {group}, topic {topic}")
            commit = Commit(partition.offset, decode_commit_metadata(partition.metadata))
            if commit.offset >= 0 and commit.metadata.belongs_to(topic_id):
                commits[partition.partition] = commit
        return commits

    def describe(self, group: str) -> GroupDescription:
        """Return the group's current state."""
        describe = partial(self._admin.describe_consumer_groups, [group], request_timeout=self._timeout)
        description = self._cluster.wait_for_group(lambda: describe()[group], group)
        return GroupDescription(description.state.name.lower(), len(description.members))


def _committed(consumer: Consumer, partitions: list[TopicPartition]) -> list[TopicPartition]:
    try:
        return consumer.committed(partitions, timeout=MAX_CALL_SECONDS)
    except KafkaException as error:
        message = consumer.poll(0)  # the client reports a missing right for the group only here
        raise KafkaException((message and message.error()) or error.args[0]) from error
