"""Writers of rows to the raw topic, which also confirm the progress of a pass.

At least once, a flush confirms the rows, and the checkpoint file is written afterwards. Exactly once, rows and progress
are one transaction: the progress is the metadata of a committed offset, in a group without members that is named after
file and topic, or after the run. Kafka deletes such offsets after `offsets.retention.minutes` (7 days), so the last
record of each transaction carries a mark: a header with the progress, which Kafka keeps as long as the record.
"""

import hashlib
import re
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Protocol

from telco_stream.errors import DataError
from telco_stream.kafka.clients import Clients
from telco_stream.kafka.cluster import Cluster
from telco_stream.kafka.reading import read, settled_ends
from telco_stream.kafka.sink import Sink, delivery_errors
from telco_stream.kafka.transactions import End, StoredOffset, transactions_under
from telco_stream.messages.headers import PROGRESS_MARK
from telco_stream.messages.record import Message, Record
from telco_stream.monitoring.protocols import SendCounters
from telco_stream.produce.progress import PassKey, PassProgress, decode_progress, encode_metadata, latest_progress
from telco_stream.runtime.signals import Stop

#: Maximum difference between clocks and record times, in milliseconds.
_CLOCK_MARGIN = 2 * 60 * 60 * 1_000


@dataclass(frozen=True, slots=True)
class MarkedProgress:
    """Progress of the newest mark; `is_certain` is false if retention may have deleted a newer one."""

    progress: PassProgress
    is_certain: bool


class RowWriter(Protocol):
    """Writer of the rows of one pass."""

    #: Whether Kafka stores the progress of the pass.
    stores_progress: bool

    def read_progress(self) -> PassProgress | None:
        """Return the progress that Kafka stores, or None if it stores none."""

    def search_marks(self, *, whole: bool) -> MarkedProgress | None:
        """Search the topic for progress in record headers: in all records, or in those older than Kafka keeps offsets.

        Return None if no record has progress of the pass.
        """

    def send(self, topic: str, messages: Sequence[Message]) -> None:
        """Queue messages; `confirm` waits until they have arrived."""

    def confirm(self, progress: PassProgress) -> bool:
        """Wait until all messages have arrived, and store `progress` with them.

        Return False if that is not certain: then continue from `read_progress`.
        """

    def unconfirmed(self) -> int:
        """Return the number of messages that were sent but not confirmed."""


class AtLeastOnceWriter:
    """Writer that confirms by a flush; only the checkpoint file stores the progress."""

    stores_progress = False

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self.counters = SendCounters(lambda: sink.failed, dict)

    def read_progress(self) -> PassProgress | None:
        """Return None: Kafka stores no progress."""
        return None

    def search_marks(self, *, whole: bool) -> None:
        """Return None: records carry no progress."""

    def send(self, topic: str, messages: Sequence[Message]) -> None:
        """Queue messages."""
        with delivery_errors():
            self._sink.send(topic, messages)

    def confirm(self, progress: PassProgress) -> bool:  # noqa: ARG002 - the caller writes it to the checkpoint file
        """Wait until the broker has acknowledged all messages."""
        with delivery_errors():
            self._sink.flush()
        return True

    def unconfirmed(self) -> int:
        """Return the number of messages that are still queued, or failed."""
        return self._sink.unconfirmed()


#: Error message of a process that another one of the same pass has fenced.
_FENCED = (
    "Another instance has taken over this pass: a second produce sends the same file to the same topic and continues"
    " it; to send the file twice, give each a --run-id"
)


class ExactlyOnceWriter:
    """Writer that confirms by a transaction of rows and progress."""

    stores_progress = True

    def __init__(self, clients: Clients, pass_key: PassKey, stop: Stop, largest_batch: int | None = None) -> None:
        self._group = group_of(pass_key)
        self._clients = clients
        self._pass_key = pass_key
        self._stop = stop
        # The pass has one transactional ID, so that a restart aborts the open transaction of a killed process.
        self._transactions = transactions_under(
            self._group, clients, stop, has_unique_id=False, fenced=_FENCED, largest_batch=largest_batch
        )
        self._transactions.start()
        self.counters = SendCounters(self._transactions.failed, self._transactions.outcomes)
        self._stored = StoredOffset(clients, self._group, pass_key.topic, stop)
        self._open = False
        self._unconfirmed = 0
        #: The last message, held back because it gets the header with the progress if it is the transaction's last.
        self._last: Sequence[Message] = ()

    def read_progress(self) -> PassProgress | None:
        """Return the committed progress; raise `DataError` if the offset has other metadata."""
        metadata = self._stored.read_metadata()
        if metadata is None:
            return None
        try:
            return decode_progress(metadata)
        except ValueError as error:
            raise DataError(
                f"The committed offset of group {self._group} has no progress of a pass; it may have been set by hand."
                " Start over with --restart"
            ) from error

    def search_marks(self, *, whole: bool) -> MarkedProgress | None:
        """Search the topic for marks of the pass; usually no record is older than Kafka keeps offsets."""
        cluster, topic = Cluster(self._clients, self._stop), self._pass_key.topic
        if cluster.is_embedded():  # it keeps offsets
            return None
        count = cluster.partitions(topic)[topic]
        ends = settled_ends(cluster, topic, count) if whole else _old_ends(cluster, topic, count)
        newest: dict[str, _Mark] = {}
        for record in chain.from_iterable(read(cluster, topic, ends=ends)):
            progress = _progress_in(record)
            if progress is None or progress.of.identity != self._pass_key.identity:
                continue
            mark = newest.get(progress.pass_id)
            if mark is None or mark.progress.last_processed_index < progress.last_processed_index:
                newest[progress.pass_id] = _Mark(progress, record.partition(), record.timestamp()[1])
        latest = latest_progress(mark.progress for mark in newest.values())
        if latest is None:
            return None
        return MarkedProgress(latest, _is_certain(cluster, topic, count, newest[latest.pass_id]))

    def send(self, topic: str, messages: Sequence[Message]) -> None:
        """Queue messages in the transaction, except the last one, which may get the header with the progress."""
        if not self._open:
            self._transactions.begin()
            self._open = True
        if messages:
            self._transactions.send(topic, [*self._last, *messages[:-1]])
            self._last = messages[-1:]
            self._unconfirmed += len(messages)

    def confirm(self, progress: PassProgress) -> bool:
        """Commit rows and progress in one transaction."""
        topic = self._pass_key.topic
        self.send(topic, ())  # the end of a pass is committed even without rows
        mark = PROGRESS_MARK, encode_metadata(replace(progress, finished=())).encode()
        self._transactions.send(topic, [(key, value, [*headers, mark]) for key, value, headers in self._last])
        self._open, self._unconfirmed, self._last = False, 0, ()
        next_row = progress.last_processed_index + 1
        return self._stored.commit(self._transactions, next_row, encode_metadata(progress)) is End.COMMITTED

    def unconfirmed(self) -> int:
        """Return the number of messages in the open transaction."""
        return self._unconfirmed


def group_of(pass_key: PassKey) -> str:
    """Return the consumer group and transactional ID of a pass: readable, and unique for its identity.

    The name is ASCII because the client commits no offsets for groups with other names.
    """
    digest = hashlib.sha256("\0".join(pass_key.identity).encode()).hexdigest()
    name = re.sub(r"[^\w.-]", "_", (pass_key.run_id or pass_key.file.rsplit("/", 1)[-1])[:60], flags=re.ASCII)
    return f"telco-stream-produce-{name}-{digest[:16]}"


@dataclass(frozen=True, slots=True)
class _Mark:
    progress: PassProgress
    partition: int
    milliseconds: int


def _old_ends(cluster: Cluster, topic: str, partitions: int) -> Mapping[int, int]:
    """Return the end of the records that are older than Kafka keeps offsets, by partition.

    If the retention is unknown, include all records.
    """
    retention = cluster.offsets_retention()
    if retention is None:
        return dict.fromkeys(range(partitions), sys.maxsize)
    since = time.time_ns() // 1_000_000 - retention + _CLOCK_MARGIN
    offsets = cluster.offsets_at(topic, range(partitions), since)
    return {partition: sys.maxsize if offset < 0 else offset for partition, offset in offsets.items()}


def _progress_in(record: Record) -> PassProgress | None:
    """Return the progress in the record's mark, or None without a valid mark."""
    try:
        for name, value in record.headers() or ():
            if name == PROGRESS_MARK and value is not None:
                return decode_progress(value)
    except ValueError:  # another program's header, or a name that is not UTF-8
        pass
    return None


def _is_certain(cluster: Cluster, topic: str, partitions: int, mark: _Mark) -> bool:
    """Return whether each other partition is complete or still has a record older than the mark.

    Retention deletes the oldest records of a partition first, so a newer mark would still be there.
    """
    others = [partition for partition in range(partitions) if partition != mark.partition]
    starts, ends = cluster.starts(topic, others), cluster.ends(topic, others)
    younger = cluster.offsets_at(topic, others, mark.milliseconds)
    return all(
        starts[partition] == 0
        or starts[partition] < (ends[partition] if younger[partition] < 0 else younger[partition])
        for partition in others
    )
