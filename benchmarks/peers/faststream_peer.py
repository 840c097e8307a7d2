"""FastStream on confluent-kafka: batch subscriber, typed decoder, one model call per batch, confirmed `publish_batch`.

It commits offsets after handling the batch (`NACK_ON_ERROR`): at least once.
"""

import asyncio
import logging
from typing import Any

from faststream import AckPolicy, FastStream
from faststream.confluent import KafkaBroker, KafkaMessage
from faststream.confluent.response import KafkaResponse

from benchmarks.loops.common import Clock, Job, read_job
from benchmarks.peers.shared import (
    BAD_DATA,
    Event,
    decode,
    encode_answers,
    framework_config,
    load,
    report_bad_record,
)


async def decode_batch(message: KafkaMessage) -> list[Event]:
    """Decode the valid customers of a batch; a custom decoder is the documented way to avoid an object per record."""
    events = []
    for record in message.raw_message:
        try:
            events.append(decode(record.value()))
        except BAD_DATA as error:
            report_bad_record(error)
    return events


def main(job: Job) -> Clock:
    """Score `count` records."""
    scorer, clock, consumer = load(job.model), Clock(), job.properties["consumer"]
    config = framework_config(consumer) | framework_config(job.properties["producer"])
    broker = KafkaBroker(job.properties["producer"]["bootstrap.servers"], config=config, logger=None)
    app = FastStream(broker, logger=None)

    @broker.subscriber(
        job.raw,
        group_id=consumer["group.id"],
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        batch=True,
        max_records=job.size,
        ack_policy=AckPolicy.NACK_ON_ERROR,
        decoder=decode_batch,
    )
    async def handle(customers: list[Any]) -> None:
        clock.took()
        answers = [KafkaResponse(value, key=key.encode()) for key, value in encode_answers(scorer, customers)]
        await broker.publish_batch(*answers, topic=job.out)
        clock.done(len(customers))
        if clock.records >= job.count:
            app.exit()

    logging.disable(logging.WARNING)
    asyncio.run(app.run(log_level=logging.ERROR))
    return clock


if __name__ == "__main__":
    main(read_job()).print_result()
