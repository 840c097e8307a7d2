"""Every input of a group answered exactly once, or which were not.

An answer doesn't say which group gave it: groups that share a predictions topic are each other's duplicates.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from telco_stream.errors import UsageError
from telco_stream.kafka.clients import Clients
from telco_stream.kafka.cluster import Cluster
from telco_stream.kafka.groups import Groups
from telco_stream.kafka.reading import read, settled_ends
from telco_stream.kafka.topics import compacted_topics
from telco_stream.runtime.signals import Stop
from telco_stream.verify.ledger import Account, Kind, Ledger, Scope


@dataclass(frozen=True, slots=True)
class VerifyResult:
    """The sums of the accounts: each input is in one of the fields but `unexplained`, which counts answers.

    `expired` inputs have no answer, but it may have been given and deleted by retention since.
    `expired_unanswered` counts offsets that retention deleted before the group answered them; transaction markers may
    be among them.
    """

    inputs: int
    predicted: int
    dead_lettered: int
    missing: int
    duplicated: int
    unexplained: int
    expired: int
    partitions: list[Account]
    #: Of the unexplained: those whose input was in an earlier topic of that name, which has been deleted.
    answers_to_earlier_topic: int
    #: Topics among the three from which Kafka deletes all but the newest record of each key.
    compacted_topics: list[str]
    expired_unanswered: int

    @property
    def is_clean(self) -> bool:
        """Whether nothing is missing, duplicated, unexplained or deleted before it was answered."""
        return not (self.missing or self.duplicated or self.unexplained or self.expired_unanswered)


def verify(
    clients: Clients, group: str, *, now: float, stop: Stop, turned: Callable[[int], None] = lambda _records: None
) -> VerifyResult:
    """The accounts of all inputs up to the group's committed offsets; `now` is in seconds since 1970.

    `turned` hears how many records each batch had. Raises `UsageError` where the group has committed nothing though
    there are inputs.
    """
    audit = _Audit(clients, group, now, stop)
    for records in audit.enter():
        turned(records)
    return _sum(audit.accounts(), audit.compacted)


class _Audit:
    """What is read, and up to where: it is the order of these looks that makes them agree.

    First the committed offsets, so that every answer to an input below them is written by the time the answers' ends
    are taken; the inputs' ends last, so that every answer's source is below them.
    """

    def __init__(self, clients: Clients, group: str, now: float, stop: Stop) -> None:
        topics = clients.settings.topics
        self._clients, self._now, self._stop = clients, now, stop
        self._cluster = Cluster(clients, stop)
        self._raw = topics.raw
        self._answers: dict[Kind, str] = {"prediction": topics.predictions, "letter": topics.deadletter}
        self._partitions = self._cluster.partitions(topics.raw, *self._answers.values())
        self._commits = Groups(clients, self._cluster).committed(group, topics.raw)
        self._ends = {
            topic: settled_ends(self._cluster, topic, self._partitions[topic], stop) for topic in self._answers.values()
        }
        self._scopes = self._scopes_up_to({number: commit.offset for number, commit in self._commits.items()})
        if not self._commits and any(scope.start < scope.latest for scope in self._scopes.values()):
            raise UsageError(
                f"Group {group} has committed nothing of topic {self._raw}; is --group right? Kafka deletes offsets"
                " with their topic, and those of a group without members after offsets.retention.minutes (7 days)"
            )
        self._ledger = Ledger(self._raw, self._scopes, self._cluster.topic_ids(self._raw)[self._raw])
        self.compacted = compacted_topics(self._cluster, *self._partitions)

    def enter(self) -> Iterator[int]:
        """Read everything into the ledger, inputs first; says how many records each batch had."""
        ends = {partition: scope.end for partition, scope in self._scopes.items()}
        for records in read(self._clients, self._raw, stop=self._stop, ends=ends):
            self._ledger.add_inputs(records)
            yield len(records)
        self._ledger.forget(self._starts(self._raw))
        for kind, topic in self._answers.items():
            for records in read(self._clients, topic, stop=self._stop, ends=self._ends[topic]):
                self._ledger.add_answers(kind, records)
                yield len(records)

    def accounts(self) -> list[Account]:
        """An account a partition, with what may have expired."""
        trimmed = [
            (kind, partition)
            for kind, topic in self._answers.items()
            for partition, start in self._starts(topic).items()
            if start > 0
        ]
        return self._ledger.accounts(
            {
                number: max((self._oldest_kept(number, kind, partition) for kind, partition in trimmed), default=0)
                for number in self._scopes
            },
            {number: one.expired_unanswered(self._scopes[number].start) for number, one in self._commits.items()},
        )

    def _scopes_up_to(self, committed: dict[int, int]) -> dict[int, Scope]:
        starts = self._starts(self._raw)
        latest = self._cluster.ends(self._raw, starts)
        return {
            partition: Scope(start, min(committed.get(partition, start), latest[partition]), latest[partition])
            for partition, start in starts.items()
        }

    def _oldest_kept(self, number: int, kind: Kind, partition: int) -> int:
        """Below which inputs of partition `number` an answer may have been deleted from one partition of the answers.

        Answers to one partition stand in its order, so those below the first that is kept. Where none is kept, time has
        to tell: an answer is younger than its input, and those deleted were older than all that is kept, or than the
        retention. A topic emptied by hand can't be told from one whose answers were lost.
        """
        if (kind, partition, number) in self._ledger.oldest:
            return self._ledger.oldest[kind, partition, number]
        scope = self._scopes[number]
        kept = [first for (_, _, source), first in self._ledger.oldest.items() if source == number]
        retention = max(0, self._clients.settings.topics.retention_ms)
        cutoff = self._ledger.oldest_times.get((kind, partition), int(self._now * 1000) - retention)
        found = self._cluster.offsets_at(self._raw, [number], cutoff)[number]
        return max(min(kept, default=scope.end), found if found >= 0 else scope.end)

    def _starts(self, topic: str) -> dict[int, int]:
        return self._cluster.starts(topic, range(self._partitions[topic]))


def _sum(accounts: list[Account], compacted: list[str]) -> VerifyResult:
    return VerifyResult(
        inputs=sum(one.inputs for one in accounts),
        predicted=sum(one.predicted for one in accounts),
        dead_lettered=sum(one.dead_lettered for one in accounts),
        missing=sum(one.missing for one in accounts),
        duplicated=sum(one.duplicated for one in accounts),
        unexplained=sum(one.unexplained for one in accounts),
        expired=sum(one.expired for one in accounts),
        partitions=accounts,
        answers_to_earlier_topic=sum(one.answers_to_earlier_topic for one in accounts),
        compacted_topics=compacted,
        expired_unanswered=sum(one.expired_unanswered for one in accounts),
    )
