"""The producer's upper limit: sends prepared payloads with `produce_batch`, plain or in transactions."""

from collections.abc import Sequence
from itertools import islice
from typing import Any

from confluent_kafka import Producer

from benchmarks.loops.common import Clock, Job, read_job
from tests.support.csv_chunks import read_chunks
from tests.support.telco import FORMAT, encode_row

#: Number of prepared payloads, which are sent repeatedly.
PREPARED = 50_000
#: Rows of a transaction, as in `produce`.
TRANSACTION = 20_000


def send(job: Job) -> Clock:
    """Send `count` payloads, including the last flush or commit."""
    rows = [row for chunk in islice(read_chunks(job.csv, 1_000, FORMAT), PREPARED // 1_000) for row in chunk]
    payloads = [{"key": row.key, "value": encode_row(row, "2026-01-01T00:00:00.000Z")} for row in rows]
    producer, clock = job.producer(), Clock()
    clock.took()
    while clock.records < job.count:
        start = clock.records % len(payloads)
        batch = payloads[start : start + min(job.size, job.count - clock.records)]
        if job.transactional and clock.records % TRANSACTION == 0:
            producer.begin_transaction()
        _send(job, producer, batch)
        clock.done(len(batch))
        if job.transactional and (clock.records % TRANSACTION == 0 or clock.records == job.count):
            producer.commit_transaction()
    producer.flush()
    clock.end()
    return clock


def _send(job: Job, producer: Producer, batch: Sequence[dict[str, Any]]) -> None:
    while len(producer) + len(batch) > 90_000:
        producer.poll(0.001)
    if producer.produce_batch(job.out, list(batch)) != len(batch):
        raise SystemExit("the producer's queue is full")


if __name__ == "__main__":
    send(read_job()).print_result()
