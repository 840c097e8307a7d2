"""`verify`: checks that each input of a group was answered exactly once.

Dead letters of outcomes are ignored. Answers don't name their group: if two groups share a predictions topic, their
answers count as duplicates.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from difflib import SequenceMatcher

from telco_stream.checks.ledger import Account, AnswerKind, Ledger, PartitionRange
from telco_stream.checks.verdict import Evidence, FindingKind, VerifyResult, list_findings, state_verdict
from telco_stream.errors import KafkaError, UsageError
from telco_stream.kafka.clients import Clients
from telco_stream.kafka.cluster import Cluster
from telco_stream.kafka.offsets import committed_offsets
from telco_stream.kafka.reading import read, settled_ends
from telco_stream.kafka.topics import compacted_topics
from telco_stream.messages.headers import parse_position
from telco_stream.runtime.signals import Stop

#: Fields of the result that are sums over the accounts.
_SUMS = (
    *("inputs", "predicted", "dead_lettered", "missing", "duplicated", "unexplained", "expired"),
    *("unanswered", "answers_to_earlier_topic", "expired_unanswered"),
)
#: Maximum number of other groups that are asked whether they have read a duplicated input, those with the most similar
#: names first.
_MAX_GROUPS = 50
#: Prefix of the groups in which `produce` stores the progress of a pass; they read nothing.
_PASSES = "telco-stream-produce-"


def verify(
    clients: Clients, group: str, *, now: float, stop: Stop, on_read: Callable[[int], None] = lambda _records: None
) -> VerifyResult:
    """Account for all inputs below the group's committed offsets, and count those that are not answered yet.

    `now` is in seconds since 1970. `on_read` is called with the number of records of each batch. Raises `UsageError` if
    the group has committed no offsets although there are inputs.
    """
    audit = _Audit(clients, group, now, stop)
    for count in audit.read():
        on_read(count)
    accounts = audit.accounts()
    sums = {name: sum(getattr(account, name) for account in accounts) for name in _SUMS}
    return VerifyResult(
        verdict=state_verdict(sums),
        **sums,
        partitions=accounts,
        compacted_topics=audit.compacted,
        findings=list_findings(sums, audit.evidence(accounts)),
    )


class _Audit:
    """Reads the three topics up to offsets that fit together.

    The committed offsets are queried first: every answer to an input below them has then been written when the ends of
    the answer topics are queried. The ends of the raw topic are queried last: the input of every answer is below them.
    """

    def __init__(self, clients: Clients, group: str, now: float, stop: Stop) -> None:
        topics = clients.settings.topics
        self._group, self._now = group, now
        self._cluster = Cluster(clients, stop)
        self._raw = topics.raw
        self._answers: dict[AnswerKind, str] = {"prediction": topics.predictions, "letter": topics.deadletter}
        self._partitions = self._cluster.partitions(topics.raw, *self._answers.values())
        self._commits = committed_offsets(self._cluster, group, topics.raw)
        self._ends = {
            topic: settled_ends(self._cluster, topic, self._partitions[topic]) for topic in self._answers.values()
        }
        self._ranges = self._ranges_up_to({partition: commit.offset for partition, commit in self._commits.items()})
        if not self._commits and any(offsets.start < offsets.latest for offsets in self._ranges.values()):
            raise UsageError(
                f"Group {group} has committed no offsets of topic {self._raw}: check --group. Kafka deletes offsets"
                " with their topic, and those of a group without members after offsets.retention.minutes (7 days)"
            )
        topic_id = self._cluster.topic_ids(self._raw)[self._raw]
        self._ledger = Ledger(self._raw, self._ranges, topic_id, outcomes=topics.outcomes)
        self.compacted = compacted_topics(self._cluster.topic_configs(*self._partitions))

    def read(self) -> Iterator[int]:
        """Read everything into the ledger, inputs first; yield the number of records of each batch."""
        ends = {partition: offsets.latest for partition, offsets in self._ranges.items()}
        for records in read(self._cluster, self._raw, ends=ends):
            self._ledger.add_inputs(records)
            yield len(records)
        self._ledger.forget(self._starts(self._raw))
        for kind, topic in self._answers.items():
            for records in read(self._cluster, topic, ends=self._ends[topic]):
                self._ledger.add_answers(kind, records)
                yield len(records)

    def accounts(self) -> list[Account]:
        """Return an account per partition."""
        trimmed = [
            (kind, partition)
            for kind, topic in self._answers.items()
            for partition, start in self._starts(topic).items()
            if start > 0
        ]
        return self._ledger.accounts(
            {
                source: max((self._expired_before(source, kind, partition) for kind, partition in trimmed), default=0)
                for source in self._ranges
            },
            {
                partition: commit.expired_unanswered(self._ranges[partition].start)
                for partition, commit in self._commits.items()
            },
        )

    def evidence(self, accounts: Sequence[Account]) -> Evidence:
        """Collect what explains the findings; other groups are asked only if there are duplicates."""
        duplicated = [position for account in accounts for position in account.first_duplicated]
        positions: dict[FindingKind, list[str]] = {
            "missing": [position for account in accounts for position in account.first_missing],
            "duplicated": duplicated,
            "unexplained": [position for account in accounts for position in account.first_unexplained],
        }
        return Evidence(
            brokers=self._cluster.clients.settings.bootstrap_servers,
            group=self._group,
            raw=self._raw,
            predictions=self._answers["prediction"],
            first={kind: of_kind[0] for kind, of_kind in positions.items() if of_kind},
            answers_to_earlier_topic=sum(account.answers_to_earlier_topic for account in accounts),
            compacted_topics=self.compacted,
            other_groups=self._groups_that_read(duplicated) if duplicated else (),
            other_sources=sorted(self._ledger.other_sources),
        )

    def _groups_that_read(self, positions: Sequence[str]) -> list[str]:
        """Return other groups whose committed offsets are above one of the positions, as far as they may be read."""
        inputs = [position for text in positions if (position := parse_position(text.encode()))]
        groups = []
        others = [group for group in self._cluster.groups() if group != self._group and not group.startswith(_PASSES)]
        others.sort(key=lambda group: -SequenceMatcher(None, group, self._group).ratio())
        for group in others[:_MAX_GROUPS]:
            with suppress(KafkaError):
                commits = committed_offsets(self._cluster, group, self._raw)
                if any(at.partition in commits and commits[at.partition].offset > at.offset for at in inputs):
                    groups.append(group)
        return groups

    def _ranges_up_to(self, committed: dict[int, int]) -> dict[int, PartitionRange]:
        starts = self._starts(self._raw)
        latest = self._cluster.ends(self._raw, starts)
        return {
            partition: PartitionRange(start, min(committed.get(partition, start), latest[partition]), latest[partition])
            for partition, start in starts.items()
        }

    def _expired_before(self, source: int, kind: AnswerKind, partition: int) -> int:
        """Return the offset of raw partition `source` below which answers in `partition` may have been deleted.

        Answers to one raw partition are in its order, so this is the input of the first answer that is still there. If
        no answer to `source` is left in `partition`, compare times: an answer is younger than its input, and deleted
        answers were older than all records left, or than the retention. A topic that was emptied by hand looks the same
        as one whose answers were lost.
        """
        if (kind, partition, source) in self._ledger.oldest:
            return self._ledger.oldest[kind, partition, source]
        end = self._ranges[source].end
        firsts = [first for (_, _, raw_partition), first in self._ledger.oldest.items() if raw_partition == source]
        retention = max(0, self._cluster.clients.settings.topics.retention_ms)
        cutoff = self._ledger.oldest_times.get((kind, partition), int(self._now * 1000) - retention)
        offset = self._cluster.offsets_at(self._raw, [source], cutoff)[source]
        return max(min(firsts, default=end), offset if offset >= 0 else end)

    def _starts(self, topic: str) -> dict[int, int]:
        return self._cluster.starts(topic, range(self._partitions[topic]))
