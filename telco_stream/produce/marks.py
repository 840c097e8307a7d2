"""The marks of a pass: progress that is in the topic itself, and lasts as long as the records.

Kafka deletes the offsets of a group without members after `offsets.retention.minutes` (7 days), and with them the
progress of a pass. So the last record of each transaction carries it too, in a header.
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

#: Milliseconds by which clocks, and the times of records, may differ.
_CLOCK_MARGIN = 2 * 60 * 60 * 1_000


@dataclass(frozen=True, slots=True)
class MarkedProgress:
    """What the marks say; `is_certain` is false where retention may have deleted a newer one."""

    progress: PassProgress
    is_certain: bool


@dataclass(frozen=True, slots=True)
class _Mark:
    progress: PassProgress
    partition: int
    milliseconds: int


def find_marked_progress(clients: Clients, wanted: PassKey, stop: Stop, *, whole: bool) -> MarkedProgress | None:
    """Search the topic for marks of the pass.

    Unless `whole`, only where a mark can be whose offset Kafka has deleted for its age: in the usual case there are no
    records as old as that.
    """
    cluster = Cluster(clients, stop)
    if cluster.is_embedded():  # it keeps the offsets
        return None
    count = cluster.partitions(wanted.topic)[wanted.topic]
    ends = settled_ends(cluster, wanted.topic, count, stop) if whole else _old_ends(cluster, wanted.topic, count)
    newest: dict[str, _Mark] = {}
    for batch in read(clients, wanted.topic, stop=stop, ends=ends):
        for record in batch:
            progress = _progress_in(record)
            if progress is None or progress.of.key != wanted.key:
                continue
            known = newest.get(progress.pass_id)
            if known is None or known.progress.last_processed_index < progress.last_processed_index:
                newest[progress.pass_id] = _Mark(progress, record.partition(), record.timestamp()[1])
    latest = latest_progress(mark.progress for mark in newest.values())
    if latest is None:
        return None
    return MarkedProgress(latest, _is_certain(cluster, wanted.topic, count, newest[latest.pass_id]))


def _old_ends(cluster: Cluster, topic: str, partitions: int) -> Mapping[int, int]:
    """The ends of what is older than the offsets that Kafka still keeps; of everything, where it doesn't tell."""
    retention = cluster.offsets_retention()
    if retention is None:
        return dict.fromkeys(range(partitions), sys.maxsize)
    since = time.time_ns() // 1_000_000 - retention + _CLOCK_MARGIN
    found = cluster.offsets_at(topic, range(partitions), since)
    return {partition: sys.maxsize if offset < 0 else offset for partition, offset in found.items()}


def _progress_in(record: Record) -> PassProgress | None:
    """The progress in the record's mark; None where it has none that can be read."""
    try:
        for name, value in record.headers() or ():
            if name == PROGRESS_MARK and value is not None:
                return decode_progress(value)
    except ValueError:  # another's header, even a name that is not UTF-8
        pass
    return None


def _is_certain(cluster: Cluster, topic: str, partitions: int, mark: _Mark) -> bool:
    """Whether each partition is either whole or still has a record older than the mark.

    Retention deletes the oldest records of a partition first, so a newer mark would be there too.
    """
    others = [partition for partition in range(partitions) if partition != mark.partition]
    starts, ends = cluster.starts(topic, others), cluster.ends(topic, others)
    younger = cluster.offsets_at(topic, others, mark.milliseconds)
    return all(starts[one] == 0 or starts[one] < (ends[one] if younger[one] < 0 else younger[one]) for one in others)
