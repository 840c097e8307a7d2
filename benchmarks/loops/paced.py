"""Customers at a steady rate, each stamped with the moment at which it leaves: what latency is measured from.

The job's `size` is the rate, `count` how many to send.
"""

import time
from datetime import UTC, datetime
from itertools import cycle

from benchmarks.loops.common import Clock, Job, read_job
from telco_stream.contract.raw_row import encode_row
from telco_stream.csv.reader import read_chunks

#: Seconds between two looks at the schedule.
TICK = 0.001


def send(job: Job) -> Clock:
    """Row n leaves at start + n / rate."""
    rows, clock = cycle(next(read_chunks(job.csv, 1_000))), Clock()
    producer = job.producer()
    producer.list_topics(job.raw, 10)
    started = time.perf_counter()
    clock.took()
    while clock.records < job.count:
        due = min(job.count, int((time.perf_counter() - started) * job.size) + 1)
        for _ in range(due - clock.records):
            row = next(rows)
            producer.produce(job.raw, encode_row(row, datetime.now(UTC).isoformat()), row.key)
        clock.done(due - clock.records)
        producer.poll(TICK)
        time.sleep(TICK)
    producer.flush()
    return clock


if __name__ == "__main__":
    send(read_job()).tell()
