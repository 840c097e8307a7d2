"""The upper limit: copies records unchanged with the client's fastest calls.

It commits offsets asynchronously, or in one transaction per batch, as `--delivery exactly-once` does.
"""

import threading
from typing import Any

from confluent_kafka import Consumer, Producer

from benchmarks.loops.common import Clock, Job, next_offsets, read_job, stop_on_signals


def copy(job: Job, stop: threading.Event) -> Clock:
    """Copy `count` records, or until stopped if it is 0."""
    consumer, producer, clock = job.consumer(), job.producer(), Clock()
    while not stop.is_set() and (not job.count or clock.records < job.count):
        messages = job.take(consumer, job.count - clock.records if job.count else job.size)
        if messages:
            clock.took()
            (_deliver_in_transaction if job.transactional else _deliver)(job, consumer, producer, messages)
            clock.done(len(messages))
    producer.flush()
    if not job.transactional and job.count:
        clock.end()
    consumer.close()
    return clock


def _deliver(job: Job, consumer: Consumer, producer: Producer, messages: list[Any]) -> None:
    while len(producer) > 50_000:
        producer.poll(0.01)
    _send(job, producer, messages)
    consumer.commit(offsets=next_offsets(messages), asynchronous=True)


def _deliver_in_transaction(job: Job, consumer: Consumer, producer: Producer, messages: list[Any]) -> None:
    group = consumer.consumer_group_metadata()
    producer.begin_transaction()
    _send(job, producer, messages)
    producer.send_offsets_to_transaction(next_offsets(messages), group)
    producer.commit_transaction()


def _send(job: Job, producer: Producer, messages: list[Any]) -> None:
    batch = [{"value": message.value(), "key": message.key()} for message in messages]
    if producer.produce_batch(job.out, batch) != len(batch):
        raise SystemExit("the producer's queue is full")


if __name__ == "__main__":
    copy(read_job(), stop_on_signals()).print_result()
