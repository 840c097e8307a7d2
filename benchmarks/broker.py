"""A real Kafka for one session, and topics on it."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

PARTITIONS = 3


@contextmanager
def a_broker() -> Iterator[str]:
    """The address of the one that is named in the environment, else of a container that lives as long as the block."""
    given = os.environ.get("TELCO_STREAM_TEST_BOOTSTRAP") or os.environ.get("TEST_KAFKA_BOOTSTRAP")
    if given:
        yield given
        return
    from tests.support.kafka_container import KafkaContainer, docker_unavailable_reason  # noqa: PLC0415 - needs Docker's client

    if reason := docker_unavailable_reason():
        raise SystemExit(f"no real Kafka: {reason}; TELCO_STREAM_TEST_BOOTSTRAP can name one")
    with KafkaContainer() as container:
        yield container.bootstrap


class Topics:
    """Makes topics of fresh names, and removes them."""

    def __init__(self, bootstrap: str) -> None:
        self._common: dict[str, str | int | float | bool] = {"bootstrap.servers": bootstrap, "log_level": 0}
        self._admin = AdminClient(self._common)
        self._prefix = f"bench-{time.time_ns() // 1_000_000}"
        self._process_batch = 0

    def fresh(self, kind: str) -> str:
        """A name that nobody has used."""
        self._process_batch += 1
        return f"{self._prefix}-{self._process_batch}-{kind}"

    @contextmanager
    def standing(self, *kinds: str) -> Iterator[list[str]]:
        """Empty topics of three partitions that are gone after the block."""
        names = [self.fresh(kind) for kind in kinds]
        for made in self._admin.create_topics([NewTopic(name, PARTITIONS, 1) for name in names]).values():
            made.result(30)
        try:
            yield names
        finally:
            for gone in self._admin.delete_topics(names).values():
                gone.result(30)

    def wait_until_committed(self, group: str, topic: str, records: int, is_alive: Callable[[], bool]) -> None:
        """Return once the group's offsets add up to so many; looks on as a consumer that joins nothing."""
        onlooker = Consumer({**self._common, "group.id": group})
        partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        while is_alive() and _committed(onlooker, partitions) < records:
            time.sleep(0.1)
        onlooker.close()


def _committed(onlooker: Consumer, partitions: list[TopicPartition]) -> int:
    try:
        return sum(max(0, one.offset) for one in onlooker.committed(partitions, timeout=5))
    except KafkaException:
        return 0  # the coordinator is on its way
