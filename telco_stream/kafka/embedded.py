"""librdkafka's mock broker inside the process, for the demo and for tests without Docker.

It lacks CreateTopics (the first metadata request for a topic creates it, with four partitions), isolation of
transactions and fencing. Runs on it are at-least-once and say so.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from confluent_kafka import Producer

log = logging.getLogger("telco_stream.kafka.client")

#: Timeout of a metadata request in seconds; the broker is in this process and answers at once or never.
_TIMEOUT = 5.0


@contextmanager
def embedded_broker(*topics: str) -> Iterator[str]:
    """Start a broker with these topics and yield its address; it stops at the end of the block."""
    host = Producer({"bootstrap.servers": "none", "test.mock.num.brokers": "1", "logger": log})
    addresses = [f"{broker.host}:{broker.port}" for broker in host.list_topics(timeout=_TIMEOUT).brokers.values()]
    for topic in topics:
        host.list_topics(topic, timeout=_TIMEOUT)
    yield addresses[0]
