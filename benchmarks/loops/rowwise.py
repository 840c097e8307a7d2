"""The usual template: poll one record, predict a data frame of one row, produce, commit asynchronously."""

import joblib

from benchmarks.loops.common import Clock, Job, next_offsets, read_job
from benchmarks.loops.naive import answers


def score(job: Job) -> Clock:
    """Score `count` records, one at a time."""
    model, clock = joblib.load(job.model / "pipeline.joblib"), Clock()
    consumer, producer = job.consumer(), job.producer()
    while clock.records < job.count:
        message = consumer.poll(1.0)
        if message is None or message.error():
            continue
        clock.took()
        for key, value in answers(model, [message]):
            producer.produce(job.out, value, key)
        producer.poll(0)
        consumer.commit(offsets=next_offsets([message]), asynchronous=True)
        clock.done(1)
    producer.flush()
    clock.end()
    consumer.close()
    return clock


if __name__ == "__main__":
    score(read_job()).print_result()
