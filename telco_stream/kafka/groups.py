"""A consumer group seen from outside: nothing here joins it."""

from dataclasses import dataclass
from functools import partial

from confluent_kafka import ConsumerGroupTopicPartitions
from confluent_kafka.admin import AdminClient

from telco_stream.kafka.clients import Clients
from telco_stream.kafka.cluster import Cluster
from telco_stream.kafka.trouble import complaint


@dataclass(frozen=True, slots=True)
class Group:
    """A group's state in Kafka's words, `dead` if there is no such group, and how many members it has."""

    state: str
    members: int


class Groups:
    """Answers within the clients' timeout; raises `errors.KafkaError` where Kafka doesn't."""

    def __init__(self, clients: Clients, cluster: Cluster) -> None:
        self._admin: AdminClient = clients.admin()
        self._cluster = cluster
        self._timeout = clients.timeout

    def committed(self, group: str, topic: str) -> dict[int, int]:
        """The group's committed offsets by partition; a partition without one isn't in it."""
        asked = [ConsumerGroupTopicPartitions(group)]
        read = partial(self._admin.list_consumer_group_offsets, asked, request_timeout=self._timeout)
        offsets = {}
        for one in self._cluster.wait_for_group(lambda: read()[group], group).topic_partitions:
            if one.error is not None:
                raise complaint(one.error, f"Group {group}, topic {one.topic}")
            if one.topic == topic and one.offset >= 0:
                offsets[one.partition] = one.offset
        return offsets

    def describe(self, group: str) -> Group:
        """The group as it stands now."""
        describe = partial(self._admin.describe_consumer_groups, [group], request_timeout=self._timeout)
        found = self._cluster.wait_for_group(lambda: describe()[group], group)
        return Group(found.state.name.lower(), len(found.members))
