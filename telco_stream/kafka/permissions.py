"""Check of this user's rights before the first record; each raises `errors.KafkaError` for a missing right.

Without it, a missing right would show at its first use: for dead letters, this can be days later. A broker that does
not report rights passes.
"""

from collections.abc import Sequence
from enum import Enum

from confluent_kafka.admin import AclOperation  # type: ignore[attr-defined]

from telco_stream import errors
from telco_stream.kafka.cluster import Cluster
from telco_stream.runtime.docs import docs_link


def require_read(cluster: Cluster, *topics: str) -> None:
    """Require the right to read these topics and to commit their offsets."""
    _require(cluster, AclOperation.READ, topics)


def require_write(cluster: Cluster, *topics: str) -> None:
    """Require the right to write to these topics."""
    _require(cluster, AclOperation.WRITE, topics)


def require_group(cluster: Cluster, group: str) -> None:
    """Require the right to join this group and to commit its offsets."""
    if not cluster.is_embedded():
        _check(f"Group {group}", AclOperation.READ, cluster.describe_group(group).rights)


def _require(cluster: Cluster, operation: AclOperation, topics: Sequence[str]) -> None:
    if cluster.is_embedded():
        return
    descriptions = cluster.describe_topics(*topics, with_rights=True)
    for topic in topics:
        _check(f"Topic {topic}", operation, cluster.wait(descriptions[topic], topic).authorized_operations)


def _check(resource: str, operation: AclOperation, rights: Sequence[Enum] | None) -> None:
    if rights and operation not in rights:
        raise errors.KafkaError(
            f"{resource}: this user lacks the right to {operation.name.lower()};"
            f" {docs_link('security.md')} lists the rights each command needs"
        )
