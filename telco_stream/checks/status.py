"""`status`: offsets, lag, owners, time to catch up, newest prediction and dead letters, without joining the group.

Transaction markers take offsets too. So the committed offset of a group that has answered everything can be below the
end offset, and the newest record rarely has the last offset. Where the difference matters, records are counted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches

from telco_stream.checks.rates import RateReader, count_records
from telco_stream.checks.results import PartitionLag, StatusResult, TopicStatus
from telco_stream.dlq.run import StateOptions, count_letters
from telco_stream.errors import KafkaError
from telco_stream.kafka.clients import Clients
from telco_stream.kafka.cluster import Cluster, GroupMember
from telco_stream.kafka.offsets import Commit, committed_offsets
from telco_stream.kafka.reading import read
from telco_stream.messages.prediction import newest_versions, version_of
from telco_stream.messages.record import Record
from telco_stream.runtime.clock import utc_timestamp
from telco_stream.runtime.signals import Stop

#: Maximum lag, in offsets, whose records are counted; in a larger lag, markers make little difference.
_MAX_COUNTED = 10_000
#: Maximum number of records of each topic that are read to count open dead letters: a second of reading.
_MAX_READ = 200_000
#: Offsets before the end that are searched for the newest record first.
_FIRST_SEARCH = 100
#: Factor by which each further search reaches farther back.
_SEARCH_FACTOR = 10


def status(clients: Clients, group: str, *, now: float, stop: Stop, is_unknown_allowed: bool = False) -> StatusResult:
    """Query the state of the group and its topics; `now` is in seconds since 1970.

    Raises `KafkaError` if the group does not exist, unless this is allowed.
    """
    names = clients.settings.topics
    cluster = Cluster(clients, stop)
    committed = committed_offsets(cluster, group, names.raw)  # before the end offsets, so that no lag is negative
    optional = [names.outcomes] if names.outcomes in cluster.topics() else []
    counts = cluster.partitions(names.raw, names.predictions, names.deadletter, *optional)
    raw, predictions, letters, *others = (_topic(cluster, topic, count) for topic, count in counts.items())
    described = cluster.describe_group(group)
    if described.state == "dead" and not is_unknown_allowed:
        raise _unknown_group(group, cluster.groups())
    ends = {topic.topic: topic.end_offsets for topic in (raw, predictions, letters)}
    rates = RateReader(cluster, ends, now).read(names.raw, (names.predictions, names.deadletter))
    newest = _newest(cluster, predictions)
    versions = {partition: version for partition, (_, version) in newest_versions(newest, names.raw).items()}
    partitions = [
        replace(lag, model_version=versions.get(lag.partition))
        for lag in _with_owners(_lags(cluster, raw, committed), names.raw, described.members)
    ]
    age = None if not newest else round(max(0.0, now - max(map(_time_of, newest)) / 1000), 3)
    lag = sum(partition.lag for partition in partitions)
    dead_letters, open_dead_letters = _count_letters(cluster, letters)
    return StatusResult(
        time=utc_timestamp(),
        group=group,
        state=described.state,
        members=len(described.members),
        lag=lag,
        catch_up_seconds=rates.catch_up_seconds(lag, has_members=bool(described.members)),
        answered_per_second=rates.answered,
        arriving_per_second=rates.arriving,
        expired_unanswered=sum(partition.expired_unanswered for partition in partitions),
        newest_prediction_age_seconds=age,
        model_versions=sorted({version for record in newest if (version := version_of(record))}),
        dead_letters=dead_letters,
        open_dead_letters=open_dead_letters,
        topics=[raw, predictions, letters, *others],
        partitions=partitions,
    )


def _unknown_group(group: str, groups: Sequence[str]) -> KafkaError:
    """Return the error for a group that does not exist, with similar names."""
    similar = get_close_matches(group, groups, n=1, cutoff=0.8)
    if similar:
        return KafkaError(f"Group {group} does not exist; did you mean {similar[0]}?")
    return KafkaError(f"Group {group} does not exist; start a consumer, which creates it, or name another with --group")


def _with_owners(partitions: list[PartitionLag], topic: str, members: Sequence[GroupMember]) -> list[PartitionLag]:
    """Add to each partition of the topic the member that it is assigned to."""
    owners = {partition: member for member in members for name, partition in member.partitions if name == topic}
    return [
        replace(lag, owner=owner.name, host=owner.host) if (owner := owners.get(lag.partition)) else lag
        for lag in partitions
    ]


def _topic(cluster: Cluster, topic: str, partitions: int) -> TopicStatus:
    every = range(partitions)
    return TopicStatus(topic, partitions, cluster.starts(topic, every), cluster.ends(topic, every))


def _lags(cluster: Cluster, raw: TopicStatus, commits: Mapping[int, Commit]) -> list[PartitionLag]:
    """Compute the lag up to the last stable offset: records of an open transaction can't be answered yet."""
    committed = {partition: commit.offset for partition, commit in commits.items()}
    expired = {
        partition: commit.expired_unanswered(raw.start_offsets[partition]) for partition, commit in commits.items()
    }
    starts = {partition: max(committed.get(partition, 0), start) for partition, start in raw.start_offsets.items()}
    lags = {partition: max(0, end - starts[partition]) for partition, end in raw.end_offsets.items()}
    counted = {partition: starts[partition] for partition, lag in lags.items() if 0 < lag <= _MAX_COUNTED}
    lags |= count_records(cluster, raw.topic, counted, raw.end_offsets)
    return [
        PartitionLag(partition, committed.get(partition), end, lags[partition], expired.get(partition, 0))
        for partition, end in sorted(raw.end_offsets.items())
    ]


def _count_letters(cluster: Cluster, topic: TopicStatus) -> tuple[int, int | None]:
    """Count the dead letters, and the open ones unless too many records would have to be read."""
    if sum(topic.end_offsets.values()) - sum(topic.start_offsets.values()) > _MAX_READ:
        counts = count_records(cluster, topic.topic, topic.start_offsets, topic.end_offsets)
        return sum(counts.values()), None
    return count_letters(cluster, StateOptions(max_offsets=_MAX_READ))


def _newest(cluster: Cluster, topic: TopicStatus) -> list[Record]:
    """Return the newest record of each partition; search backwards past markers and aborted records."""
    found: list[Record] = []
    ends, step = dict(topic.end_offsets), _FIRST_SEARCH
    while ends:
        starts = {partition: max(end - step, topic.start_offsets[partition]) for partition, end in ends.items()}
        newest: dict[int, Record] = {}
        for records in read(cluster, topic.topic, starts=starts, ends=ends):
            newest |= {record.partition(): record for record in records}
        found += newest.values()
        ends = {
            partition: start
            for partition, start in starts.items()
            if partition not in newest and start > topic.start_offsets[partition]
        }
        step *= _SEARCH_FACTOR
    return found


def _time_of(record: Record) -> int:
    """Return the time of a record in milliseconds since 1970."""
    return record.timestamp()[1]
