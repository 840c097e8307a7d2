"""Rates of answers and new records, and the time in which the group catches up at these rates.

Kafka finds the first offset since a time, so that a rate needs few records. Transaction markers take offsets too: the
share of records among the offsets is taken from the newest ones.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from telco_stream.kafka.cluster import Cluster
from telco_stream.kafka.reading import read

#: Seconds over which answers are counted, long enough for several batches of a slow model.
_ANSWER_WINDOW = 60.0
#: Seconds over which new records are counted, short so that a burst that has ended no longer counts.
_ARRIVAL_WINDOW = 10.0
#: Seconds over which a rate is taken at least.
_MIN_SECONDS = 1.0
#: Newest offsets of each partition that are read for the share of records.
_SAMPLE = 500


@dataclass(frozen=True, slots=True)
class Rates:
    """Answers and new records per second."""

    answered: float
    arriving: float

    def catch_up_seconds(self, lag: int, *, has_members: bool) -> float | None:
        """Return the seconds until nothing is unanswered, or None if the lag does not shrink at these rates.

        A lag of less than a second's answers is in flight: the group keeps up, whichever rate is higher by chance.
        """
        if not lag:
            return 0.0
        shrinking = self.answered - (self.arriving if lag > self.answered else 0.0)
        return round(lag / shrinking, 1) if has_members and shrinking > 0 else None


class RateReader:
    """Rates up to the end offsets of each topic; `now` is in seconds since 1970."""

    def __init__(self, cluster: Cluster, ends: Mapping[str, Mapping[int, int]], now: float) -> None:
        self._cluster = cluster
        self._ends = ends
        self._now = now

    def read(self, raw: str, answers: Collection[str]) -> Rates:
        """Return the rate of answers since the first one of the last minute, and of records of the last 10 seconds."""
        counts = [self._count_since(topic, self._now - _ANSWER_WINDOW) for topic in answers]
        seconds = self._now - min((since for _, since in counts), default=self._now)
        answered = sum(count for count, _ in counts) / max(_MIN_SECONDS, seconds)
        arriving = self._count_since(raw, self._now - _ARRIVAL_WINDOW)[0] / _ARRIVAL_WINDOW
        return Rates(round(answered, 1), round(arriving, 1))

    def _count_since(self, topic: str, since: float) -> tuple[float, float]:
        """Estimate the number of records since a time, and return it with the time of the first record."""
        first = self._cluster.first_since(topic, self._ends[topic], round(since * 1_000))
        ends = {partition: self._ends[topic][partition] for partition in first}
        offsets = sum(max(0, end - first[partition][0]) for partition, end in ends.items())
        if not offsets:
            return 0, self._now
        starts = {partition: max(first[partition][0], end - _SAMPLE) for partition, end in ends.items()}
        records = count_records(self._cluster, topic, starts, ends)
        share = sum(records.values()) / sum(end - starts[partition] for partition, end in ends.items())
        return offsets * share, min(milliseconds for _, milliseconds in first.values()) / 1_000


def count_records(cluster: Cluster, topic: str, starts: Mapping[int, int], ends: Mapping[int, int]) -> dict[int, int]:
    """Read and count the records of each partition from its start to its end."""
    counts = dict.fromkeys(starts, 0)
    for records in read(cluster, topic, starts=starts, ends=ends):
        for record in records:
            counts[record.partition()] += 1
    return counts
