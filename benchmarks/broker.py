"""A real Kafka for a benchmark session, and topics on it."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

PARTITIONS = 3


@contextmanager
def running_broker() -> Iterator[str]:
    """Yield the address of the broker in the environment, or of a container that runs while the block does."""
    bootstrap = os.environ.get("TELCO_STREAM_TEST_BOOTSTRAP") or os.environ.get("TEST_KAFKA_BOOTSTRAP")
    if bootstrap:
        yield bootstrap
        return
    from tests.support.kafka_container import KafkaContainer, docker_unavailable_reason  # noqa: PLC0415 - needs Docker's client

    if reason := docker_unavailable_reason():
        raise SystemExit(f"no real Kafka: {reason}; set TELCO_STREAM_TEST_BOOTSTRAP to a broker's address")
    with KafkaContainer() as container:
        yield container.bootstrap


class Topics:
    """Creates topics with unique names and deletes them."""

    def __init__(self, bootstrap: str) -> None:
        self._common: dict[str, str | int | float | bool] = {"bootstrap.servers": bootstrap, "log_level": 0}
        self._admin = AdminClient(self._common)
        self._prefix = f"bench-{time.time_ns() // 1_000_000}"
        self._count = 0

    def unique_name(self, kind: str) -> str:
        """Return a unique name."""
        self._count += 1
        return f"{self._prefix}-{self._count}-{kind}"

    @contextmanager
    def temporary_topics(self, *kinds: str) -> Iterator[list[str]]:
        """Create empty topics with three partitions, as `topics init` does, and delete them after the block."""
        names = [self.unique_name(kind) for kind in kinds]
        limits = [4_194_304 if kind == "out" else 2_097_152 for kind in kinds]
        topics = [
            NewTopic(name, PARTITIONS, 1, config={"max.message.bytes": str(limit)})
            for name, limit in zip(names, limits, strict=True)
        ]
        for future in self._admin.create_topics(topics).values():
            future.result(30)
        try:
            yield names
        finally:
            for future in self._admin.delete_topics(names).values():
                future.result(30)

    def wait_until_committed(self, group: str, topic: str, records: int, is_alive: Callable[[], bool]) -> None:
        """Wait until the group's committed offsets add up to `records`, without joining the group."""
        consumer = Consumer({**self._common, "group.id": group})
        partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        while is_alive() and _committed(consumer, partitions) < records:
            time.sleep(0.1)
        consumer.close()


def _committed(consumer: Consumer, partitions: list[TopicPartition]) -> int:
    try:
        return sum(max(0, committed.offset) for committed in consumer.committed(partitions, timeout=5))
    except KafkaException:
        return 0  # the coordinator is not available yet
