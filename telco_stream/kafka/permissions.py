"""Check of this user's rights before the first record.

Without it, a missing right would show at its first use: for dead letters, this can be days later.
"""

from functools import partial

from confluent_kafka import TopicCollection
from confluent_kafka.admin import AclOperation, AdminClient  # type: ignore[attr-defined]

from telco_stream import errors
from telco_stream.kafka.clients import Clients
from telco_stream.kafka.cluster import Cluster


class Permissions:
    """Checks of this user's rights; each raises `errors.KafkaError` for a missing right that the broker reports."""

    def __init__(self, clients: Clients, cluster: Cluster) -> None:
        self._admin: AdminClient = clients.admin()
        self._cluster = cluster
        self._timeout = clients.timeout
        self._is_unknown = cluster.is_embedded()

    def require_read(self, *topics: str) -> None:
        """Require the right to read these topics and to commit their offsets."""
        self._require(AclOperation.READ, topics)

    def may_read(self, *topics: str) -> bool:
        """Return whether the user may read these topics; True if the broker doesn't report rights."""
        try:
            self.require_read(*topics)
        except errors.KafkaError:
            return False
        return True

    def require_write(self, *topics: str) -> None:
        """Require the right to write to these topics."""
        self._require(AclOperation.WRITE, topics)

    def require_group(self, group: str) -> None:
        """Require the right to join this group and to commit its offsets."""
        if self._is_unknown:
            return
        describe = partial(
            self._admin.describe_consumer_groups,
            [group],
            include_authorized_operations=True,
            request_timeout=self._timeout,
        )
        description = self._cluster.wait_for_group(lambda: describe()[group], group)
        _check(f"Group {group}", AclOperation.READ, description.authorized_operations)

    def _require(self, operation: AclOperation, topics: tuple[str, ...]) -> None:
        if self._is_unknown:
            return
        futures = self._admin.describe_topics(
            TopicCollection(list(topics)), include_authorized_operations=True, request_timeout=self._timeout
        )
        for topic, future in futures.items():
            description = self._cluster.wait(future, f"Topic {topic}")
            _check(f"Topic {topic}", operation, description.authorized_operations)


def _check(resource: str, operation: AclOperation, allowed: list[AclOperation] | None) -> None:
    """Raise if the operation is not allowed; a broker that does not report rights returns no operations at all."""
    if allowed and operation not in allowed:
        raise errors.KafkaError(
            f"{resource}: this user lacks the right to {operation.name.lower()};"
            " docs/security.md lists the rights each command needs"
        )
