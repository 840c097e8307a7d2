"""A worker that commits offsets on a timer and flushes predictions late, as many do.

It loses or duplicates answers when it is killed; the checker must report that.
"""

import json
import sys
from collections.abc import Callable
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition

from telco_stream.model.artifact import load_scorer
from telco_stream.runtime.clock import utc_timestamp
from telco_stream.runtime.files import bundled
from telco_stream.runtime.signals import stop_on_signals
from telco_stream.scoring import Limits, process
from telco_stream.settings import load


def main() -> None:
    settings, stop = load({}), stop_on_signals()
    scorer = load_scorer(bundled("models/churn"))
    consumer = Consumer(
        {
            "bootstrap.servers": settings.bootstrap_servers,
            "group.id": settings.consumer.group_id,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": True,
            "auto.commit.interval.ms": 1_000,
            "session.timeout.ms": 4_000,
            "log_level": 0,
        }
    )
    producer = Producer({"bootstrap.servers": settings.bootstrap_servers, "linger.ms": 100, "log_level": 0})
    send: Callable[..., None] = producer.produce
    consumer.subscribe([settings.topics.raw], on_assign=_log_assignment)
    sys.stderr.write("started\n")
    while not stop.requested:
        records: list[Any] = [message for message in consumer.consume(500, 0.1) if message.error() is None]
        outcome = process(records, scorer, processed_at=utc_timestamp(), limits=Limits())
        for key, value, headers in outcome.prediction_messages:
            send(settings.topics.predictions, value, key, headers=headers)
        producer.poll(0)
    producer.flush()
    consumer.close()
    sys.stdout.write(json.dumps({"stopped_by": "signal"}))


def _log_assignment(_consumer: Consumer, partitions: list[TopicPartition]) -> None:
    sys.stderr.write("".join(f"assigned partitions {partition.partition}\n" for partition in partitions))
    sys.stderr.flush()


if __name__ == "__main__":
    main()
