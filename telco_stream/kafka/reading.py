"""Bounded reads of a topic, without a consumer group.

The end of a partition is a position, not a record: its last offsets may be transaction markers or aborted records.
"""

import logging
import time
from collections.abc import Iterator, Mapping
from typing import cast

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from telco_stream import errors
from telco_stream.kafka.auth_errors import reason_of
from telco_stream.kafka.blocking_calls import MAX_CALL_SECONDS, Deadline
from telco_stream.kafka.cluster import Cluster
from telco_stream.kafka.error_policy import cannot_connect, consumer_failure, is_fatal, response_too_large
from telco_stream.kafka.polling import BoundedPoll
from telco_stream.messages.record import Record
from telco_stream.runtime.signals import Stopped

log = logging.getLogger("telco_stream.kafka.reading")

#: Largest batch, in records and in bytes; these limits and the client's queue bound the memory.
_BATCH = 10_000
_BATCH_BYTES = 16_777_216
#: Maximum difference in milliseconds between the clocks of producers.
_MAX_CLOCK_SKEW = 60_000
#: Seconds to wait for open transactions. A killed process blocks readers for 40 s: its timeout of 30 s, and up to 10 s
#: until the broker notices.
_TRANSACTION_TIMEOUT = 60.0
#: Seconds to wait for the markers of a commit, and between two queries; they usually take a few milliseconds.
_MARKER_SECONDS, _MARKER_PAUSE = 1.0, 0.02


def read(
    cluster: Cluster,
    topic: str,
    *,
    starts: Mapping[int, int] | None = None,
    ends: Mapping[int, int] | None = None,
) -> Iterator[list[Record]]:
    """Yield batches of the committed records from `starts` (default: the oldest) to `ends` (default: the current ends).

    Partitions that `starts` or `ends` do not name are skipped, and so are partitions with a negative start: Kafka
    returns it if no record is new enough. Raises `Stopped`, and `errors.KafkaError` if nothing arrives for the clients'
    timeout.
    """
    ranges = _ranges(cluster, topic, starts, ends)
    offsets = ", ".join(f"{partition}: {start} to {end}" for partition, (start, end) in ranges.items())
    log.debug("reading topic %s, offsets by partition: %s", topic, offsets or "none")
    if not ranges:
        return
    reader = _Reader(cluster, topic, ranges)
    try:
        yield from reader.batches()
    finally:
        reader.close()


def starts_since(cluster: Cluster, topic: str, ends: Mapping[int, int], milliseconds: int) -> dict[int, int]:
    """Return the first offset of each partition that can have been written since a time, or its end without one.

    The time is in milliseconds since 1970; the clocks of producers may differ by a minute.
    """
    if cluster.is_embedded():  # it doesn't store record times
        return cluster.starts(topic, ends)
    offsets = cluster.offsets_at(topic, ends, max(0, milliseconds - _MAX_CLOCK_SKEW))
    return {partition: offset if offset >= 0 else ends[partition] for partition, offset in offsets.items()}


def settled_ends(cluster: Cluster, topic: str, partitions: int) -> dict[int, int]:
    """Return the high watermarks, once all transactions below them have ended.

    A group's offsets can be visible before the messages of the same transaction, because the broker writes its markers
    one by one. Raises `errors.KafkaError` if a transaction stays open.
    """
    written = cluster.ends(topic, range(partitions), committed_only=False)
    deadline = Deadline(_TRANSACTION_TIMEOUT)
    while behind := _behind(written, cluster.ends(topic, range(partitions))):
        if deadline.has_passed:
            raise errors.KafkaError(
                f"Topic {topic}, partition {behind[0]}: a transaction has been open for {_TRANSACTION_TIMEOUT:g} s and"
                " hides the records after it; try again when its producer has ended it, or abort it with"
                " kafka-transactions.sh"
            )
        if cluster.stop.wait(MAX_CALL_SECONDS):
            raise Stopped
    return written


def ends_after_commit(cluster: Cluster, topic: str) -> dict[int, int]:
    """Return the high watermarks, including the markers of transactions that were committed before the call.

    The broker writes the markers a moment after the commit, one partition after the other. Waits for them only briefly,
    because another producer's transaction can be open for long.
    """
    partitions = range(cluster.partitions(topic)[topic])
    written = cluster.ends(topic, partitions, committed_only=False)
    deadline = Deadline(_MARKER_SECONDS)
    while _behind(written, cluster.ends(topic, partitions)) and not deadline.has_passed:
        time.sleep(_MARKER_PAUSE)
    return cluster.ends(topic, partitions, committed_only=False)


def _behind(written: Mapping[int, int], visible: Mapping[int, int]) -> list[int]:
    return [partition for partition, end in written.items() if visible[partition] < end]


def _ranges(
    cluster: Cluster, topic: str, starts: Mapping[int, int] | None, ends: Mapping[int, int] | None
) -> dict[int, tuple[int, int]]:
    """Return the first offset and the end of each partition that has records to read."""
    partitions = set(range(cluster.partitions(topic)[topic]))
    partitions &= partitions if starts is None else starts.keys()
    partitions &= partitions if ends is None else ends.keys()
    oldest = cluster.starts(topic, partitions) if partitions else {}
    newest = cluster.ends(topic, partitions) if partitions else {}
    ranges = {}
    for partition in sorted(partitions):
        requested = oldest[partition] if starts is None else starts[partition]
        start, end = max(requested, oldest[partition]), newest[partition]
        end = end if ends is None else min(end, ends[partition])
        if requested >= 0 and start < end:
            ranges[partition] = (start, end)
    return ranges


class _Reader:
    """Consumer of assigned partitions, each up to its end."""

    def __init__(self, cluster: Cluster, topic: str, ranges: Mapping[int, tuple[int, int]]) -> None:
        self._cluster = cluster
        self._clients = cluster.clients
        self._topic = topic
        self._ends = {partition: end for partition, (_, end) in ranges.items()}
        self._position = {partition: start for partition, (start, _) in ranges.items()}
        self._unfinished = set(ranges)
        self._last_error: KafkaError | None = None
        self._consumer: Consumer = self._clients.reader()
        self._consumer.assign([TopicPartition(topic, partition, start) for partition, start in self._position.items()])

    def batches(self) -> Iterator[list[Record]]:
        """Yield batches until every partition has ended; raise if nothing new arrives for the timeout."""
        deadline = Deadline(self._clients.timeout)
        while self._unfinished:
            before = dict(self._position)
            records = self._records(self._poll(deadline))
            self._pause_finished()
            if records:
                yield records
            if self._position != before:
                deadline = Deadline(self._clients.timeout)
            elif deadline.has_passed:
                raise self._timeout_error()

    def close(self) -> None:
        """Close the consumer."""
        self._consumer.close()

    def _poll(self, deadline: Deadline) -> list[Message]:
        """Wait for at least one message; it can be an error, so the caller has to check for progress."""
        while not self._cluster.stop.requested:
            polling = BoundedPoll(self._consumer, _BATCH_BYTES)
            first = polling.poll(MAX_CALL_SECONDS)
            if first is not None:
                return [first, *polling.consume_arrived(_BATCH - 1)]
            if deadline.has_passed or self._clients.too_large or cannot_connect(self._clients.last_error):
                raise self._timeout_error()
        raise Stopped

    def _records(self, messages: list[Message]) -> list[Record]:
        """Return the records up to the ends, and handle the other messages."""
        records = cast("list[Record]", [message for message in messages if message.error() is None])
        if len(records) < len(messages):
            for message in messages:
                if (error := message.error()) is not None:
                    self._handle_event(message, error)
        newest = {record.partition(): record.offset() for record in records}
        for partition, offset in newest.items():
            # An end-of-partition event in the same batch can be beyond the last record, if a marker follows it.
            self._position[partition] = max(self._position[partition], offset + 1)
        if any(offset >= self._ends[partition] for partition, offset in newest.items()):
            return [record for record in records if record.offset() < self._ends[record.partition()]]
        return records

    def _handle_event(self, message: Message, error: KafkaError) -> None:
        """Handle an end of partition or an error."""
        partition = cast("int", message.partition())
        if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - the client's public name
            self._position[partition] = cast("int", message.offset())
        elif error.code() == KafkaError._AUTO_OFFSET_RESET:  # noqa: SLF001
            self._skip_deleted(partition)
        elif message.topic() is not None or is_fatal(error):  # a reader has no group: its errors are ignored
            if (failure := consumer_failure(message)) is not None:
                raise failure
            self._last_error = error

    def _skip_deleted(self, partition: int) -> None:
        """Continue at the oldest retained record after retention has overtaken the reader."""
        oldest = self._cluster.starts(self._topic, [partition])[partition]
        if oldest <= self._position[partition]:
            raise errors.KafkaError(
                f"Topic {self._topic}, partition {partition} no longer has offset {self._position[partition]}: was the"
                " topic deleted and created again during the read? Run the command again"
            )
        self._position[partition] = oldest
        if oldest < self._ends[partition]:
            # The client rejects a seek on a partition whose fetch has failed.
            self._consumer.incremental_unassign([TopicPartition(self._topic, partition)])
            self._consumer.incremental_assign([TopicPartition(self._topic, partition, oldest)])

    def _pause_finished(self) -> None:
        """Pause partitions that have reached their end."""
        ended = [partition for partition in self._unfinished if self._position[partition] >= self._ends[partition]]
        if ended:
            self._consumer.pause([TopicPartition(self._topic, partition) for partition in ended])
            self._unfinished.difference_update(ended)

    def _timeout_error(self) -> errors.KafkaError:
        """Return the error for a read without progress: its likely cause, or a timeout."""
        too_large, last = self._clients.too_large, self._clients.last_error or self._last_error
        if too_large is not None:
            unread = {partition: self._position[partition] for partition in self._unfinished}
            return response_too_large(too_large, self._topic, unread)
        return self._clients.connection_error() or errors.KafkaError(
            f"Kafka at {self._clients.settings.bootstrap_servers} has sent nothing of topic {self._topic} for"
            f" {self._clients.timeout:g} s{f': {reason_of(last)}' if last else ''}; check that it is running"
        )
