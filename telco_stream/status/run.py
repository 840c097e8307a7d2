"""`status`: offsets, lag, the age of the newest prediction and the dead letters, without joining the group.

Transaction markers take offsets too. So the committed offset of a group that has answered everything can be below the
end offset, and the newest record rarely has the last offset. Where the difference matters, records are counted.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from telco_stream.kafka.clients import Clients
from telco_stream.kafka.cluster import Cluster
from telco_stream.kafka.offsets import Commit, committed_offsets
from telco_stream.kafka.reading import read
from telco_stream.runtime.signals import Stop

#: Maximum lag, in offsets, whose records are counted; in a larger lag, markers make little difference.
_MAX_COUNTED = 10_000
#: Offsets before the end that are searched for the newest record first.
_FIRST_SEARCH = 100
#: Factor by which each further search reaches farther back.
_SEARCH_FACTOR = 10


@dataclass(frozen=True, slots=True)
class TopicStatus:
    """Start and end offsets of a topic by partition; the end is the last stable offset."""

    topic: str
    partitions: int
    start_offsets: dict[int, int]
    end_offsets: dict[int, int]


@dataclass(frozen=True, slots=True)
class PartitionLag:
    """Progress of the group in one partition of the raw topic; `committed` is None without a committed offset.

    `lag` is the number of unanswered records; above 10,000, it is the number of their offsets. `expired_unanswered`
    counts offsets that retention deleted before the group answered them; transaction markers may be among them.
    """

    partition: int
    committed: int | None
    end: int
    lag: int
    expired_unanswered: int


@dataclass(frozen=True, slots=True)
class StatusResult:
    """State of the group and its topics; the age is None if the topic holds no prediction."""

    group: str
    state: str
    members: int
    lag: int
    expired_unanswered: int
    newest_prediction_age_seconds: float | None
    dead_letters: int
    topics: list[TopicStatus]
    partitions: list[PartitionLag]


def status(clients: Clients, group: str, *, now: float, stop: Stop) -> StatusResult:
    """Query the state of the group and its topics; `now` is in seconds since 1970."""
    names = clients.settings.topics
    cluster = Cluster(clients, stop)
    committed = committed_offsets(cluster, group, names.raw)  # before the end offsets, so that no lag is negative
    counts = cluster.partitions(names.raw, names.predictions, names.deadletter)
    raw, predictions, letters = (_topic(cluster, topic, count) for topic, count in counts.items())
    described = cluster.describe_group(group)
    partitions = _lags(clients, raw, committed, stop)
    newest = _newest(clients, predictions, stop)
    return StatusResult(
        group=group,
        state=described.state,
        members=described.members,
        lag=sum(partition.lag for partition in partitions),
        expired_unanswered=sum(partition.expired_unanswered for partition in partitions),
        newest_prediction_age_seconds=None if newest is None else round(max(0.0, now - newest / 1000), 3),
        dead_letters=sum(_count(clients, letters, letters.start_offsets, stop).values()),
        topics=[raw, predictions, letters],
        partitions=partitions,
    )


def exceeded(result: StatusResult, *, max_lag: int | None = None, max_age: float | None = None) -> list[str]:
    """Return a message for each exceeded limit; without a prediction, its age exceeds any limit."""
    lines = []
    if max_lag is not None and result.lag > max_lag:
        lines.append(f"the lag of group {result.group} is {result.lag:,}, above {max_lag:,}")
    age = result.newest_prediction_age_seconds
    if max_age is not None and age is None:
        lines.append("there are no predictions")
    elif max_age is not None and age is not None and age > max_age:
        lines.append(f"the newest prediction is {age:,.1f} s old, above {max_age:g} s")
    return lines


def _topic(cluster: Cluster, topic: str, partitions: int) -> TopicStatus:
    every = range(partitions)
    return TopicStatus(topic, partitions, cluster.starts(topic, every), cluster.ends(topic, every))


def _lags(clients: Clients, raw: TopicStatus, commits: Mapping[int, Commit], stop: Stop) -> list[PartitionLag]:
    """Compute the lag up to the last stable offset: records of an open transaction can't be answered yet."""
    committed = {partition: commit.offset for partition, commit in commits.items()}
    expired = {
        partition: commit.expired_unanswered(raw.start_offsets[partition]) for partition, commit in commits.items()
    }
    starts = {partition: max(committed.get(partition, 0), start) for partition, start in raw.start_offsets.items()}
    lags = {partition: max(0, end - starts[partition]) for partition, end in raw.end_offsets.items()}
    counted = {partition: starts[partition] for partition, lag in lags.items() if 0 < lag <= _MAX_COUNTED}
    lags |= _count(clients, raw, counted, stop)
    return [
        PartitionLag(partition, committed.get(partition), end, lags[partition], expired.get(partition, 0))
        for partition, end in sorted(raw.end_offsets.items())
    ]


def _count(clients: Clients, topic: TopicStatus, starts: Mapping[int, int], stop: Stop) -> dict[int, int]:
    """Count the records from `starts` to the end, by partition."""
    counts = dict.fromkeys(starts, 0)
    for records in read(clients, topic.topic, stop=stop, starts=starts, ends=topic.end_offsets):
        for record in records:
            counts[record.partition()] += 1
    return counts


def _newest(clients: Clients, topic: TopicStatus, stop: Stop) -> int | None:
    """Return the time of the newest record in milliseconds; search backwards past markers and aborted records."""
    times: list[int] = []
    ends, step = dict(topic.end_offsets), _FIRST_SEARCH
    while ends:
        starts = {partition: max(end - step, topic.start_offsets[partition]) for partition, end in ends.items()}
        newest: dict[int, int] = {}
        for records in read(clients, topic.topic, stop=stop, starts=starts, ends=ends):
            newest |= {record.partition(): record.timestamp()[1] for record in records}
        times += newest.values()
        ends = {
            partition: start
            for partition, start in starts.items()
            if partition not in newest and start > topic.start_offsets[partition]
        }
        step *= _SEARCH_FACTOR
    return max(times, default=None)
