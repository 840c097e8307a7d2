"""A consumer group seen from outside: nothing here joins it."""

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
    """A group's state in Kafka's words, `dead` if there is no such group, and how many members it has."""

    state: str
    members: int


class Groups:
    """Answers within the clients' timeout; raises `errors.KafkaError` where Kafka doesn't."""

    def __init__(self, clients: Clients, cluster: Cluster) -> None:
        self._clients = clients
        self._admin: AdminClient = clients.admin()
        self._cluster = cluster
        self._timeout = clients.timeout

    def committed(self, group: str, topic: str) -> dict[int, Commit]:
        """Return the group's commits by partition, without those that belong to an earlier topic of that name."""
        topic_id = self._cluster.topic_ids(topic)[topic]
        asked = [TopicPartition(topic, number) for number in range(self._cluster.partitions(topic)[topic])]
        # The admin client has a question for it too, but ends in a segmentation fault where the coordinator, still on
        # its way, answers with an error. Of committed records only, this one would wait for open transactions.
        consumer = self._clients.consumer(group, isolation_level="read_uncommitted")
        try:
            found = self._cluster.ask_group(lambda: _committed(consumer, asked), group)
        finally:
            consumer.close()
        for one in found:
            if one.error is not None:
                raise user_error(one.error, f"Group {group}, topic {one.topic}")
        commits = {
            one.partition: Commit(one.offset, decode_commit_metadata(one.metadata)) for one in found if one.offset >= 0
        }
        return {number: one for number, one in commits.items() if one.metadata.belongs_to(topic_id)}

    def describe(self, group: str) -> GroupDescription:
        """The group as it stands now."""
        describe = partial(self._admin.describe_consumer_groups, [group], request_timeout=self._timeout)
        found = self._cluster.wait_for_group(lambda: describe()[group], group)
        return GroupDescription(found.state.name.lower(), len(found.members))


def _committed(consumer: Consumer, asked: list[TopicPartition]) -> list[TopicPartition]:
    try:
        return consumer.committed(asked, timeout=MAX_CALL_SECONDS)
    except KafkaException as error:
        told = consumer.poll(0)  # the only way in which it says that this user may not know of the group
        raise KafkaException((told and told.error()) or error.args[0]) from error
