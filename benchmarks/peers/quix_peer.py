"""Quix Streams: one function on a StreamingDataFrame, at least once (its faster guarantee).

It processes one row at a time, because its windows collect by key and each customer has another key. The compiled model
is called per row, which is by far the fastest way for one row.
"""

import tempfile

from quixstreams import Application

from benchmarks.loops.common import Clock, Job, read_job
from benchmarks.peers.shared import BAD_DATA, decode, encode_answers, framework_config, load, report_bad_record


def main(job: Job) -> Clock:
    """Score `count` records; the clock stops at the last one handled, before its commit."""
    scorer, clock, consumer = load(job.model), Clock(), job.properties["consumer"]
    app = Application(
        broker_address=consumer["bootstrap.servers"],
        consumer_group=consumer["group.id"],
        auto_offset_reset="earliest",
        consumer_extra_config=framework_config(consumer),
        producer_extra_config=framework_config(job.properties["producer"]),
        commit_every=job.size,
        auto_create_topics=False,
        loglevel="ERROR",
        state_dir=tempfile.mkdtemp(),
    )

    def score(value: bytes) -> list[bytes]:
        clock.took()
        try:
            return [answer for _, answer in encode_answers(scorer, [decode(value)])]
        except BAD_DATA as error:
            report_bad_record(error)
            return []
        finally:
            clock.done(1)

    raw = app.topic(job.raw, value_deserializer="bytes", key_deserializer="bytes")
    out = app.topic(job.out, value_serializer="bytes", key_serializer="bytes")
    app.dataframe(raw).apply(score, expand=True).to_topic(out)  # keeps the input's key
    app.run(count=job.count, collect=False)
    return clock


if __name__ == "__main__":
    main(read_job()).print_result()
