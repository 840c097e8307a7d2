"""What this user may do, asked before the first record.

A missing right would else be noticed when it is first needed: that to write dead letters perhaps after days.
"""

from functools import partial

from confluent_kafka import TopicCollection
from confluent_kafka.admin import AclOperation, AdminClient  # type: ignore[attr-defined]

from telco_stream import errors
from telco_stream.kafka.clients import Clients
from telco_stream.kafka.cluster import Cluster


class Permissions:
    """Raises `errors.KafkaError` for a right that is missing, as far as the broker tells."""

    def __init__(self, clients: Clients, cluster: Cluster) -> None:
        self._admin: AdminClient = clients.admin()
        self._cluster = cluster
        self._timeout = clients.timeout
        self._is_silent = cluster.is_embedded()

    def require_read(self, *topics: str) -> None:
        """The user may read these topics, and commit offsets of them."""
        self._need(AclOperation.READ, topics)

    def may_read(self, *topics: str) -> bool:
        """Return whether the user may read these topics; true where the broker doesn't tell."""
        try:
            self.require_read(*topics)
        except errors.KafkaError:
            return False
        return True

    def require_write(self, *topics: str) -> None:
        """The user may write to these topics."""
        self._need(AclOperation.WRITE, topics)

    def require_group(self, group: str) -> None:
        """The user may be a member of this group, and commit for it."""
        if self._is_silent:
            return
        describe = partial(
            self._admin.describe_consumer_groups,
            [group],
            include_authorized_operations=True,
            request_timeout=self._timeout,
        )
        found = self._cluster.wait_for_group(lambda: describe()[group], group)
        _check(f"Group {group}", AclOperation.READ, found.authorized_operations)

    def _need(self, operation: AclOperation, topics: tuple[str, ...]) -> None:
        if self._is_silent:
            return
        futures = self._admin.describe_topics(
            TopicCollection(list(topics)), include_authorized_operations=True, request_timeout=self._timeout
        )
        for topic, future in futures.items():
            found = self._cluster.wait(future, f"Topic {topic}")
            _check(f"Topic {topic}", operation, found.authorized_operations)


def _check(what: str, operation: AclOperation, allowed: list[AclOperation] | None) -> None:
    """A broker that doesn't tell names no operation at all."""
    if allowed and operation not in allowed:
        raise errors.KafkaError(
            f"{what}: this user lacks the right to {operation.name.lower()};"
            " docs/security.md lists the rights each command needs"
        )
