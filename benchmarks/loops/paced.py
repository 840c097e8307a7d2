"""Sends customers at a steady rate, each stamped with its send time, for the latency benchmark.

`size` of the job is the rate per second, `count` the number of customers.
"""

import time
from datetime import UTC, datetime
from itertools import cycle

from benchmarks.loops.common import Clock, Job, read_job
from tests.support.csv_chunks import read_chunks
from tests.support.telco import FORMAT, encode_row

#: Seconds between two checks of the schedule.
TICK = 0.001


def send(job: Job) -> Clock:
    """Send row n at start + n / rate."""
    rows, clock = cycle(next(read_chunks(job.csv, 1_000, FORMAT))), Clock()
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
    send(read_job()).print_result()
