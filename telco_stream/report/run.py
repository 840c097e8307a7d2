"""One run of `report`, against the cluster that the clients know."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from telco_stream.kafka.clients import Clients
from telco_stream.kafka.cluster import Cluster
from telco_stream.kafka.reading import read, settled_ends
from telco_stream.messages.record import Record
from telco_stream.report.predictions import ALL, Look, PredictionFilter, Report, report
from telco_stream.runtime.period import Period
from telco_stream.runtime.signals import Stop

#: Milliseconds by which the clocks of whoever answered and of whoever wrote the record down may differ.
_SKEW = 60_000


@dataclass(frozen=True, slots=True)
class ReportOptions:
    """What a report is asked for."""

    top_k: int = 10
    wanted: PredictionFilter = ALL


@dataclass(frozen=True, slots=True)
class Audience:
    """Who looks on: `looks` at each prediction that counts, `turned` at how many records each batch had."""

    looks: Sequence[Look] = ()
    turned: Callable[[int], None] = lambda _records: None


#: Nobody looks on.
EMPTY = Audience()


@dataclass(frozen=True, slots=True)
class OffsetRange:
    """What was read of a topic: by partition, from which offset, and up to which."""

    topic: str
    starts: dict[int, int]
    ends: dict[int, int]


def run_report(clients: Clients, order: ReportOptions, *, stop: Stop, audience: Audience = EMPTY) -> Report:
    """What the wanted predictions say that stand in the topic now."""
    offset_range = offset_range_of(
        Cluster(clients, stop), clients.settings.topics.predictions, order.wanted.period, stop
    )
    found = records(clients, offset_range, stop, audience)
    return report(found, wanted=order.wanted, top_k=order.top_k, looks=audience.looks)


def offset_range_of(cluster: Cluster, topic: str, period: Period, stop: Stop) -> OffsetRange:
    """Where the answers of the period stand: an answer is written down after it was made, so none is further up."""
    partitions = cluster.partitions(topic)[topic]
    ends = settled_ends(cluster, topic, partitions, stop)
    starts = cluster.starts(topic, ends)
    # The embedded broker doesn't know the time of a record.
    if period.since is not None and not cluster.is_embedded():
        milliseconds = max(0, int(period.since.timestamp() * 1_000) - _SKEW)
        found = cluster.offsets_at(topic, ends, milliseconds)
        starts = {one: offset if offset >= 0 else ends[one] for one, offset in found.items()}
    return OffsetRange(topic, starts, ends)


def records(clients: Clients, offset_range: OffsetRange, stop: Stop, audience: Audience) -> Iterator[Record]:
    """The records of the stretch, as they arrive."""
    for batch in read(clients, offset_range.topic, stop=stop, starts=offset_range.starts, ends=offset_range.ends):
        yield from batch
        audience.turned(len(batch))
