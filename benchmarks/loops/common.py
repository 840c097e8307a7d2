"""What all loops share: their arguments, the product's own client properties, and how they tell what they did."""

import argparse
import json
import signal
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition

#: Seconds of silence after which a loop that should have more to read gives up.
PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class Job:
    """One run of one loop."""

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
        """A consumer with the product's own properties, subscribed to the raw topic."""
        consumer = Consumer(self.properties["consumer"])
        consumer.subscribe([self.raw])
        return consumer

    def producer(self) -> Producer:
        """A producer with the product's own properties, transactional where that is asked for."""
        if not self.transactional:
            return Producer(self.properties["producer"])
        producer = Producer(self.properties["transactional"])
        producer.init_transactions(30)
        return producer

    def take(self, consumer: Consumer, left: int) -> list[Any]:
        """Records: a full batch if they pour, or with `trickle` what has arrived."""
        size = min(self.size, left)
        if not self.trickle:
            return [one for one in consumer.consume(size, 0.5) if one.error() is None]
        first = consumer.poll(0.5)
        more = consumer.consume(size - 1, 0) if first is not None and size > 1 else ()
        return [one for one in (first, *more) if one is not None and one.error() is None]


def read_job() -> Job:
    """The job on the command line, as one JSON object."""
    parser = argparse.ArgumentParser()
    parser.add_argument("job", type=json.loads)
    given = parser.parse_args().job
    return Job(**{**given, "model": Path(given["model"]), "csv": Path(given["csv"])})


class Clock:
    """From the first record to the last one that is certain."""

    def __init__(self) -> None:
        self._started = 0.0
        self._ended = 0.0
        self.records = 0

    def took(self) -> None:
        """Records are in hand."""
        self._started = self._started or time.perf_counter()

    def done(self, records: int) -> None:
        """So many more are answered."""
        self.records += records
        self._ended = time.perf_counter()

    def end(self) -> None:
        """What was answered is certain only now."""
        self._ended = time.perf_counter()

    def tell(self) -> None:
        """The result, as the product tells its own."""
        print(json.dumps({"records": self.records, "seconds": self._ended - self._started}))


def stop_on_signals() -> threading.Event:
    """Set by SIGTERM: a loop without a count ends so."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    return stop


def next_offsets(messages: list[Any]) -> list[TopicPartition]:
    """Where each partition goes on after these."""
    newest = {(one.topic(), one.partition()): one.offset() + 1 for one in messages}
    return [TopicPartition(topic, partition, offset) for (topic, partition), offset in newest.items()]
