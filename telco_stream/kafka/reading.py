"""A topic as it stands, read from end to end outside of any group.

Where a partition ends is a position, not a record: its last offsets may be a transaction's marker or aborted records.
"""

import time
from collections.abc import Iterator, Mapping
from typing import cast

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from telco_stream import errors
from telco_stream.kafka.advertised import unreachable_broker
from telco_stream.kafka.auth_errors import refusal
from telco_stream.kafka.clients import MAX_CALL_SECONDS, Clients
from telco_stream.kafka.cluster import Cluster
from telco_stream.kafka.error_policy import cannot_connect, consumer_failure, is_fatal, unreadable
from telco_stream.kafka.polling import BoundedPoll
from telco_stream.messages.record import Record
from telco_stream.runtime.signals import Stop, Stopped

#: The most records of one batch, and bytes of them; memory is bounded by these and by the client's own queue.
_BATCH = 10_000
_BATCH_BYTES = 16_777_216
#: Seconds; longer than a transaction left by a killed process holds readers back: its 30 s, and the broker's 10.
_TRANSACTION_PATIENCE = 60.0


def read(
    clients: Clients,
    topic: str,
    *,
    stop: Stop,
    starts: Mapping[int, int] | None = None,
    ends: Mapping[int, int] | None = None,
) -> Iterator[list[Record]]:
    """Batches of the committed records from `starts` (the oldest kept) up to `ends` (where the topic ends now).

    With either given, the partitions it doesn't name are left out; a negative start, which is what Kafka says where no
    record is that young, leaves its partition out too. Raises `Stopped`, and `errors.KafkaError` where the broker stays
    away for the clients' timeout.
    """
    ranges = _ranges(Cluster(clients, stop), topic, starts, ends)
    if not ranges:
        return
    reader = _Reader(clients, topic, ranges, stop)
    try:
        yield from reader.batches()
    finally:
        reader.close()


def settled_ends(cluster: Cluster, topic: str, partitions: int, stop: Stop) -> dict[int, int]:
    """Where each of the partitions ends now, open transactions included, once those have ended.

    A group's offsets can be visible before the answers that were committed with them: the markers of one transaction
    are written one by one. Raises `errors.KafkaError` where a transaction stays open.
    """
    written = cluster.ends(topic, range(partitions), committed_only=False)
    deadline = time.monotonic() + _TRANSACTION_PATIENCE
    while behind := _behind(written, cluster.ends(topic, range(partitions))):
        if time.monotonic() > deadline:
            raise errors.KafkaError(
                f"Topic {topic}, partition {behind[0]}: a transaction has been open for {_TRANSACTION_PATIENCE:g} s and"
                " hides what stands behind it; try again when its producer has ended it, or abort it with"
                " kafka-transactions.sh"
            )
        if stop.wait(MAX_CALL_SECONDS):
            raise Stopped
    return written


def _behind(wanted: Mapping[int, int], visible: Mapping[int, int]) -> list[int]:
    return [partition for partition, end in wanted.items() if visible[partition] < end]


def _ranges(
    cluster: Cluster, topic: str, starts: Mapping[int, int] | None, ends: Mapping[int, int] | None
) -> dict[int, tuple[int, int]]:
    """First offset and end of each partition that has anything to read."""
    partitions = set(range(cluster.partitions(topic)[topic]))
    partitions &= partitions if starts is None else starts.keys()
    partitions &= partitions if ends is None else ends.keys()
    oldest = cluster.starts(topic, partitions) if partitions else {}
    newest = cluster.ends(topic, partitions) if partitions else {}
    ranges = {}
    for partition in sorted(partitions):
        wanted = oldest[partition] if starts is None else starts[partition]
        start, end = max(wanted, oldest[partition]), newest[partition]
        end = end if ends is None else min(end, ends[partition])
        if wanted >= 0 and start < end:
            ranges[partition] = (start, end)
    return ranges


class _Reader:
    """A consumer on fixed partitions, each up to its end."""

    def __init__(self, clients: Clients, topic: str, ranges: Mapping[int, tuple[int, int]], stop: Stop) -> None:
        self._clients = clients
        self._topic = topic
        self._stop = stop
        self._ends = {partition: end for partition, (_, end) in ranges.items()}
        self._position = {partition: start for partition, (start, _) in ranges.items()}
        self._unfinished = set(ranges)
        self._last_error: KafkaError | None = None
        self._consumer: Consumer = clients.reader()
        self._consumer.assign([TopicPartition(topic, partition, start) for partition, start in self._position.items()])

    def batches(self) -> Iterator[list[Record]]:
        """Yield what has arrived until every partition has ended; raise where nothing new comes for the timeout."""
        deadline = time.monotonic() + self._clients.timeout
        while self._unfinished:
            before = dict(self._position)
            records = self._records(self._arrived(deadline))
            self._finish()
            if records:
                yield records
            if self._position != before:
                deadline = time.monotonic() + self._clients.timeout
            elif time.monotonic() > deadline:
                raise self._silence()

    def close(self) -> None:
        """The consumer is gone; it was in no group."""
        self._consumer.close()

    def _arrived(self, deadline: float) -> list[Message]:
        """Wait for at least one message, which may be an error: only the caller can tell whether it is progress."""
        while not self._stop.requested:
            polling = BoundedPoll(self._consumer, _BATCH_BYTES)
            first = polling.poll(MAX_CALL_SECONDS)
            if first is not None:
                return [first, *polling.consume_arrived(_BATCH - 1)]
            if time.monotonic() > deadline or self._clients.too_large or cannot_connect(self._clients.last_error):
                raise self._silence()
        raise Stopped

    def _records(self, messages: list[Message]) -> list[Record]:
        """The records among the messages, without those that came after the end."""
        records = cast("list[Record]", [one for one in messages if one.error() is None or self._note(one)])
        newest = {record.partition(): record.offset() for record in records}
        for partition, offset in newest.items():
            # The end may have been told in the same breath, and lies beyond the last record where a marker follows it.
            self._position[partition] = max(self._position[partition], offset + 1)
        if any(offset >= self._ends[partition] for partition, offset in newest.items()):
            return [record for record in records if record.offset() < self._ends[record.partition()]]
        return records

    def _note(self, message: Message) -> bool:
        error, partition = message.error(), cast("int", message.partition())
        if error is None or error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - the client's public name
            self._position[partition] = cast("int", message.offset())
        elif error.code() == KafkaError._AUTO_OFFSET_RESET:  # noqa: SLF001
            self._skip_deleted(partition)
        elif message.topic() is not None or is_fatal(error):  # a group's errors are nothing to a reader without one
            self._raise_permanent(message)
            self._last_error = error
        return False

    def _raise_permanent(self, message: Message) -> None:
        failure = consumer_failure(message)
        if failure is not None:
            raise failure

    def _skip_deleted(self, partition: int) -> None:
        """Retention has overtaken the reader: go on with the oldest record that is still kept."""
        oldest = Cluster(self._clients, self._stop).starts(self._topic, [partition])[partition]
        if oldest <= self._position[partition]:
            raise errors.KafkaError(
                f"Topic {self._topic}, partition {partition} no longer has offset {self._position[partition]}: was the"
                " topic deleted and made anew while it was read? Run the command again"
            )
        self._position[partition] = oldest
        if oldest < self._ends[partition]:
            # A partition whose fetching has failed takes no seek.
            self._consumer.incremental_unassign([TopicPartition(self._topic, partition)])
            self._consumer.incremental_assign([TopicPartition(self._topic, partition, oldest)])

    def _finish(self) -> None:
        """Fetch no more of what has ended."""
        ended = [one for one in self._unfinished if self._position[one] >= self._ends[one]]
        if ended:
            self._consumer.pause([TopicPartition(self._topic, partition) for partition in ended])
            self._unfinished.difference_update(ended)

    def _silence(self) -> errors.KafkaError:
        last, where = self._clients.last_error or self._last_error, self._clients.settings.bootstrap_servers
        too_large = self._clients.too_large
        if too_large is not None:
            unread = ", ".join(f"{one}:{self._position[one]}" for one in sorted(self._unfinished))
            return unreadable(too_large, f"Topic {self._topic}, at one of these offsets: {unread}")
        if last is not None and cannot_connect(last):
            return refusal(last, where, self._clients.settings.kafka)
        return unreachable_broker(where, self._clients.advertised) or errors.KafkaError(
            f"Kafka at {where} has sent nothing of topic {self._topic} for"
            f" {self._clients.timeout:g} s{f': {last.str()}' if last else ''}; is it up?"
        )
