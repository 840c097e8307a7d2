"""A broker inside the process: librdkafka's own, for the demo and for tests that need no Docker.

It knows neither CreateTopics (a topic appears when it is first asked for, with four partitions) nor transactions'
isolation and fencing: what runs on it is at-least-once, and says so.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from confluent_kafka import Producer

log = logging.getLogger("telco_stream.kafka.client")

#: Seconds; the broker is in this process, so it answers at once or never.
_TIMEOUT = 5.0


@contextmanager
def embedded_broker(*topics: str) -> Iterator[str]:
    """The address of a broker that has these topics, and that ends with the block."""
    host = Producer({"bootstrap.servers": "none", "test.mock.num.brokers": "1", "logger": log})
    addresses = [f"{one.host}:{one.port}" for one in host.list_topics(timeout=_TIMEOUT).brokers.values()]
    for topic in topics:
        host.list_topics(topic, timeout=_TIMEOUT)
    yield addresses[0]
