"""Shared parts of the loops: arguments, clients with the package's properties, and the result."""

import argparse
import json
import signal
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition


@dataclass(frozen=True, slots=True)
class Job:
    """Arguments of one run of a loop."""

    properties: dict[str, dict[str, Any]]
    raw: str
    out: str
    count: int
    size: int
    model: Path
    csv: Path
    transactional: bool
    trickle: bool

    def consumer(self) -> Consumer:
        """Return a consumer with the package's properties, subscribed to the raw topic."""
        consumer = Consumer(self.properties["consumer"])
        consumer.subscribe([self.raw])
        return consumer

    def producer(self) -> Producer:
        """Return a producer with the package's properties, transactional if the job is."""
        if not self.transactional:
            return Producer(self.properties["producer"])
        producer = Producer(self.properties["transactional"])
        producer.init_transactions(30)
        return producer

    def take(self, consumer: Consumer, remaining: int) -> list[Any]:
        """Return a batch: full if possible, or with `trickle` the records that have arrived."""
        size = min(self.size, remaining)
        if not self.trickle:
            return [message for message in consumer.consume(size, 0.5) if message.error() is None]
        first = consumer.poll(0.5)
        more = consumer.consume(size - 1, 0) if first is not None and size > 1 else ()
        return [message for message in (first, *more) if message is not None and message.error() is None]


def read_job() -> Job:
    """Read the job from the command line, a JSON object."""
    parser = argparse.ArgumentParser()
    parser.add_argument("job", type=json.loads)
    job = parser.parse_args().job
    return Job(**{**job, "model": Path(job["model"]), "csv": Path(job["csv"])})


class Clock:
    """Measures the time from the first record read to the last one confirmed."""

    def __init__(self) -> None:
        self._started = 0.0
        self._ended = 0.0
        self.records = 0

    def took(self) -> None:
        """Start the clock at the first records."""
        self._started = self._started or time.perf_counter()

    def done(self, records: int) -> None:
        """Count answered records."""
        self.records += records
        self._ended = time.perf_counter()

    def end(self) -> None:
        """Stop the clock after the last confirmation."""
        self._ended = time.perf_counter()

    def print_result(self) -> None:
        """Print the result as JSON, like the package's commands."""
        print(json.dumps({"records": self.records, "seconds": self._ended - self._started}))


def stop_on_signals() -> threading.Event:
    """Return an event that SIGTERM and SIGINT set; it ends a loop without a count."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    return stop


def next_offsets(messages: list[Any]) -> list[TopicPartition]:
    """Return the offset after the last message of each partition."""
    newest = {(message.topic(), message.partition()): message.offset() + 1 for message in messages}
    return [TopicPartition(topic, partition, offset) for (topic, partition), offset in newest.items()]
