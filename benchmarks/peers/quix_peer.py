"""Quix Streams: one function on a StreamingDataFrame, at least once (its faster guarantee).

It hands over one row at a time: its windows collect by key, and here each customer is a key of its own. So the model is
called for each row, in its compiled form, which is the fastest for one row by far.
"""

import tempfile

from quixstreams import Application

from benchmarks.loops.common import Clock, Job, read_job
from benchmarks.peers.shared import BAD_DATA, complain, decode_customer, encode_answers, load, own


def main(job: Job) -> Clock:
    """Score `count` records; the clock ends with the last one handled, before the commit that follows."""
    scorer, clock, consumer = load(job.model), Clock(), job.properties["consumer"]
    app = Application(
        broker_address=consumer["bootstrap.servers"],
        consumer_group=consumer["group.id"],
        auto_offset_reset="earliest",
        consumer_extra_config=own(consumer),
        producer_extra_config=own(job.properties["producer"]),
        commit_every=job.size,
        auto_create_topics=False,
        loglevel="ERROR",
        state_dir=tempfile.mkdtemp(),
    )

    def score(value: bytes) -> list[bytes]:
        clock.took()
        try:
            return [answer for _, answer in encode_answers(scorer, [decode_customer(value)])]
        except BAD_DATA as error:
            complain(error)
            return []
        finally:
            clock.done(1)

    raw = app.topic(job.raw, value_deserializer="bytes", key_deserializer="bytes")
    out = app.topic(job.out, value_serializer="bytes", key_serializer="bytes")
    app.dataframe(raw).apply(score, expand=True).to_topic(out)  # under the input's key
    app.run(count=job.count, collect=False)
    return clock


if __name__ == "__main__":
    main(read_job()).tell()
