"""`model promote --wait`: follows a promotion until the answers name the version, or a worker rejects it."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

from telco_stream.errors import DataError, ModelError
from telco_stream.kafka.clients import Clients
from telco_stream.kafka.cluster import Cluster
from telco_stream.kafka.offsets import committed_offsets
from telco_stream.kafka.permissions import require_read
from telco_stream.kafka.reading import read
from telco_stream.messages.prediction import newest_versions
from telco_stream.registry.results import RoleResult
from telco_stream.registry.topic import ModelTopic
from telco_stream.runtime.humanize import count_of
from telco_stream.runtime.signals import Stop, Stopped

#: Seconds between two looks at the topics.
_PAUSE = 0.5
#: Offsets after a group's position that are searched for a record: the last ones may be transaction markers.
_MAX_SEARCHED = 1_000


@dataclass(frozen=True, slots=True)
class Rollout:
    """What has become of a promotion: number of the group's members, and what is missing.

    `undecided` names the members that have reported nothing; the answers of `outdated` partitions name another version.
    """

    members: int
    undecided: tuple[str, ...]
    outdated: tuple[int, ...]

    def missing(self) -> str | None:
        """Return what is missing until all answers name the version, or None."""
        if not self.members:
            return "the group has no members; start telco-stream consume"
        if self.undecided:
            accepted = self.members - len(self.undecided)
            return f"{accepted} of {count_of(self.members, 'worker')} accepted it, not {', '.join(self.undecided)}"
        if self.outdated:
            return f"answers of partitions {', '.join(map(str, self.outdated))} do not name it yet"
        return None


class RolloutWatch:
    """The workers of a group and their answers from now on; raises `KafkaError` if this user may not read them."""

    def __init__(self, clients: Clients, group: str, stop: Stop) -> None:
        topics = clients.settings.topics
        self._group = group
        self._raw, self._predictions = topics.raw, topics.predictions
        self._cluster = Cluster(clients, stop)
        count = self._cluster.partitions(self._raw, self._predictions)[self._predictions]
        require_read(self._cluster, self._raw, self._predictions)
        self._cluster.describe_group(group)
        self._positions = self._cluster.ends(self._predictions, range(count))
        #: Offset of the newest answered record by partition of the raw topic, and the version that answered it.
        self._answers: dict[int, tuple[int, str]] = {}

    def wait(self, topic: ModelTopic, result: RoleResult, seconds: float) -> Rollout:
        """Wait until each worker has accepted the version, and answers name it, if it serves.

        Only current members of the group count. Raise `ModelError` if one rejects it or it loses its role, and
        `DataError` after `seconds`.
        """
        deadline = time.monotonic() + seconds
        while (missing := (rollout := self._look(topic, result)).missing()) is not None:
            if time.monotonic() > deadline:
                raise DataError(f"{result.version} was promoted, but after {seconds:g} s {missing}")
            if self._cluster.stop.wait(_PAUSE):
                raise Stopped
        return rollout

    def _look(self, topic: ModelTopic, result: RoleResult) -> Rollout:
        registry, version = topic.registry(), result.version
        if registry.roles.role_of(version) != result.role:
            change = registry.history[-1].change
            reason = f": {change.reason}" if change.reason else ""
            raise ModelError(f"{version} lost its role by the {change.action} of {change.version}{reason}")
        members = self._cluster.describe_group(self._group).members
        verdicts = registry.verdicts_on(version, {member.worker for member in members})
        if rejected := next((verdict for verdict in verdicts if not verdict.accepted), None):
            raise ModelError(
                f"Worker {rejected.worker} rejects {version}: {rejected.reason}; telco-stream model rollback returns to"
                " the version before"
            )
        decided = {verdict.worker for verdict in verdicts}
        assigned = {number for member in members for name, number in member.partitions if name == self._raw}
        self._read_answers()
        outdated = {number for number in assigned if self._answers.get(number, (0, ""))[1] != version}
        outdated = outdated if result.role == "serving" else set()
        undecided = sorted(member.worker for member in members if member.worker not in decided)
        return Rollout(len(members), tuple(undecided), tuple(sorted(self._unanswered(outdated))))

    def _read_answers(self) -> None:
        """Read the predictions that are new, and keep the version of the newest for each raw partition."""
        for batch in read(self._cluster, self._predictions, starts=self._positions):
            self._positions |= {record.partition(): record.offset() + 1 for record in batch}
            for partition, answer in newest_versions(batch, self._raw).items():
                self._answers[partition] = max(self._answers.get(partition, answer), answer)

    def _unanswered(self, partitions: set[int]) -> list[int]:
        """Return those of the partitions that have an unanswered record; the others can't get an answer now."""
        if not partitions:
            return []
        committed = committed_offsets(self._cluster, self._group, self._raw)
        ends = self._cluster.ends(self._raw, partitions)
        starts = self._cluster.starts(self._raw, partitions)
        positions = {
            number: max(committed[number].offset if number in committed else 0, starts[number]) for number in partitions
        }
        return [number for number in partitions if self._has_record(number, positions[number], ends)]

    def _has_record(self, partition: int, start: int, ends: Mapping[int, int]) -> bool:
        if ends[partition] - start > _MAX_SEARCHED:
            return True
        return any(read(self._cluster, self._raw, starts={partition: start}, ends=ends))
