"""How the pipeline stands, asked from outside: nothing here joins the group.

Offsets alone don't tell: a transaction's marker takes an offset too, so that a group that has answered everything still
stands one short of the end, and the newest record isn't the last offset. Where it matters, records are counted.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from telco_stream.kafka.clients import Clients
from telco_stream.kafka.cluster import Cluster
from telco_stream.kafka.groups import Groups
from telco_stream.kafka.offsets import Commit
from telco_stream.kafka.reading import read
from telco_stream.runtime.signals import Stop

#: The largest distance, in offsets, that is read and counted; above it markers are too few to matter.
_COUNTED = 10_000
#: Offsets before the end in which the newest record is looked for first.
_FIRST_LOOK = 100
#: How much farther each next look goes back.
_FARTHER = 10


@dataclass(frozen=True, slots=True)
class TopicStatus:
    """A topic's offsets by partition: the oldest kept, and the one after the last that a reader can see."""

    topic: str
    partitions: int
    start_offsets: dict[int, int]
    end_offsets: dict[int, int]


@dataclass(frozen=True, slots=True)
class PartitionLag:
    """How far the group is in one partition of the raw topic; `committed` is None where it has not begun.

    `lag` counts the records that it has yet to answer; more than 10,000 are told by their offsets. `expired_unanswered`
    counts offsets that retention deleted before the group answered them; transaction markers may be among them.
    """

    partition: int
    committed: int | None
    end: int
    lag: int
    expired_unanswered: int


@dataclass(frozen=True, slots=True)
class StatusResult:
    """The pipeline's numbers; the age is in seconds, None where no prediction is kept."""

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
    """How topics and group stand; `now` is in seconds since 1970."""
    names = clients.settings.topics
    cluster = Cluster(clients, stop)
    groups = Groups(clients, cluster)
    committed = groups.committed(group, names.raw)  # before the ends, so that no lag is negative
    counts = cluster.partitions(names.raw, names.predictions, names.deadletter)
    raw, predictions, letters = (_topic(cluster, topic, count) for topic, count in counts.items())
    described = groups.describe(group)
    partitions = _lags(clients, raw, committed, stop)
    newest = _newest(clients, predictions, stop)
    return StatusResult(
        group=group,
        state=described.state,
        members=described.members,
        lag=sum(one.lag for one in partitions),
        expired_unanswered=sum(one.expired_unanswered for one in partitions),
        newest_prediction_age_seconds=None if newest is None else round(max(0.0, now - newest / 1000), 3),
        dead_letters=sum(_count(clients, letters, letters.start_offsets, stop).values()),
        topics=[raw, predictions, letters],
        partitions=partitions,
    )


def exceeded(result: StatusResult, *, max_lag: int | None = None, max_age: float | None = None) -> list[str]:
    """A line for each limit that is exceeded; where there is no prediction, its age exceeds any limit."""
    lines = []
    if max_lag is not None and result.lag > max_lag:
        lines.append(f"the lag of group {result.group} is {result.lag:,}, above {max_lag:,}")
    age = result.newest_prediction_age_seconds
    if max_age is not None and age is None:
        lines.append("there is no prediction")
    elif max_age is not None and age is not None and age > max_age:
        lines.append(f"the newest prediction is {age:,.1f} s old, above {max_age:g} s")
    return lines


def _topic(cluster: Cluster, topic: str, partitions: int) -> TopicStatus:
    numbers = range(partitions)
    return TopicStatus(topic, partitions, cluster.starts(topic, numbers), cluster.ends(topic, numbers))


def _lags(clients: Clients, raw: TopicStatus, commits: Mapping[int, Commit], stop: Stop) -> list[PartitionLag]:
    """Counts to where a reader of committed records gets: what an open transaction holds is nobody's to answer yet."""
    committed = {number: commit.offset for number, commit in commits.items()}
    expired = {number: commit.expired_unanswered(raw.start_offsets[number]) for number, commit in commits.items()}
    begin = {number: max(committed.get(number, 0), start) for number, start in raw.start_offsets.items()}
    lags = {number: max(0, end - begin[number]) for number, end in raw.end_offsets.items()}
    near = {number: begin[number] for number, lag in lags.items() if 0 < lag <= _COUNTED}
    lags |= _count(clients, raw, near, stop)
    return [
        PartitionLag(number, committed.get(number), end, lags[number], expired.get(number, 0))
        for number, end in sorted(raw.end_offsets.items())
    ]


def _count(clients: Clients, topic: TopicStatus, starts: Mapping[int, int], stop: Stop) -> dict[int, int]:
    """How many records stand from `starts` to the end, by partition."""
    counts = dict.fromkeys(starts, 0)
    for records in read(clients, topic.topic, stop=stop, starts=starts, ends=topic.end_offsets):
        for record in records:
            counts[record.partition()] += 1
    return counts


def _newest(clients: Clients, topic: TopicStatus, stop: Stop) -> int | None:
    """Time of the newest record in milliseconds; steps back over markers and what was aborted until there is one."""
    newest: list[int] = []
    ends, step = dict(topic.end_offsets), _FIRST_LOOK
    while ends:
        starts = {number: max(end - step, topic.start_offsets[number]) for number, end in ends.items()}
        found: dict[int, int] = {}
        for records in read(clients, topic.topic, stop=stop, starts=starts, ends=ends):
            found |= {record.partition(): record.timestamp()[1] for record in records}
        newest += found.values()
        ends = {
            number: start
            for number, start in starts.items()
            if number not in found and start > topic.start_offsets[number]
        }
        step *= _FARTHER
    return max(newest, default=None)
