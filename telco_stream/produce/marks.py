"""Marks: progress of a pass in record headers, which Kafka keeps as long as the records.

Kafka deletes the offsets of a group without members after `offsets.retention.minutes` (7 days), and with them the
progress of a pass. So the last record of each transaction has the progress in a header too.
"""

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass

from telco_stream.kafka.clients import Clients
from telco_stream.kafka.cluster import Cluster
from telco_stream.kafka.reading import read, settled_ends
from telco_stream.messages.headers import PROGRESS_MARK
from telco_stream.messages.record import Record
from telco_stream.produce.progress import PassKey, PassProgress, decode_progress, latest_progress
from telco_stream.runtime.signals import Stop

#: Maximum difference between clocks and record times, in milliseconds.
_CLOCK_MARGIN = 2 * 60 * 60 * 1_000


@dataclass(frozen=True, slots=True)
class MarkedProgress:
    """Progress of the newest mark; `is_certain` is false if retention may have deleted a newer one."""

    progress: PassProgress
    is_certain: bool


@dataclass(frozen=True, slots=True)
class _Mark:
    progress: PassProgress
    partition: int
    milliseconds: int


def find_marked_progress(clients: Clients, pass_key: PassKey, stop: Stop, *, whole: bool) -> MarkedProgress | None:
    """Search the topic for marks of the pass.

    Unless `whole`, search only records whose offset Kafka can have deleted because of its age; usually no record is
    that old.
    """
    cluster = Cluster(clients, stop)
    if cluster.is_embedded():  # it keeps offsets
        return None
    count = cluster.partitions(pass_key.topic)[pass_key.topic]
    ends = settled_ends(cluster, pass_key.topic, count, stop) if whole else _old_ends(cluster, pass_key.topic, count)
    newest: dict[str, _Mark] = {}
    for batch in read(clients, pass_key.topic, stop=stop, ends=ends):
        for record in batch:
            progress = _progress_in(record)
            if progress is None or progress.of.identity != pass_key.identity:
                continue
            mark = newest.get(progress.pass_id)
            if mark is None or mark.progress.last_processed_index < progress.last_processed_index:
                newest[progress.pass_id] = _Mark(progress, record.partition(), record.timestamp()[1])
    latest = latest_progress(mark.progress for mark in newest.values())
    if latest is None:
        return None
    return MarkedProgress(latest, _is_certain(cluster, pass_key.topic, count, newest[latest.pass_id]))


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
