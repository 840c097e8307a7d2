"""Follows the answers of a scenario: measures the longest wait and detects stalls."""

import threading
import time
import uuid
from collections.abc import Collection

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    IsolationLevel,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

from tests.faults.load import Load
from tests.support.topics import Topics

#: Seconds without an answer that count as a stall: several times the timeouts of a case.
STALL = 60.0
_TICK = 0.1


class StalledError(AssertionError):
    """Inputs wait without an answer, and the group has not committed them: a stall, not a loss."""


class Silence:
    """Time since the last answer while an input waits."""

    def __init__(self, now: float) -> None:
        self._since = now
        self._answers = 0

    def seconds(self, now: float, answers: int, inputs: int) -> float:
        """Return the seconds of silence until `now`."""
        if answers > self._answers or answers >= inputs:
            self._since, self._answers = now, answers
        return now - self._since


class Progress(threading.Thread):
    """Reads the answers in the background, as a `read_committed` consumer sees them."""

    def __init__(self, bootstrap: str, topics: Topics, load: Load) -> None:
        super().__init__(daemon=True)
        self._topics = topics
        self._load = load
        self._ended = threading.Event()
        self._admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0, "reconnect.backoff.max.ms": 500})
        # Only reads committed offsets: the admin client crashes with a segmentation fault during a coordinator change.
        self._group = _consumer(bootstrap, topics.group, "read_uncommitted")
        self._reader = _consumer(bootstrap, f"progress-{uuid.uuid4().hex}", "read_committed")
        self._reader.assign(
            [
                TopicPartition(topic, number, OFFSET_BEGINNING)
                for topic, count in topics.partitions().items()
                for number in range(count)
                if topic != topics.raw
            ]
        )
        #: Time at which each customer's first answer was visible.
        self.answered: dict[str, float] = {}

    def run(self) -> None:
        while not self._ended.is_set():
            for message in self._reader.consume(1_000, _TICK):
                if message.error() is None:
                    self.answered.setdefault((message.key() or b"").decode(), time.monotonic())
        self._reader.close()
        self._group.close()

    def end(self) -> None:
        """Stop reading."""
        self._ended.set()
        if self.is_alive():
            self.join()

    def wait_for_more(self, answers: int = 1, limit: float = STALL) -> None:
        """Wait until `answers` more customers are answered."""
        target, silence = len(self.answered) + answers, Silence(time.monotonic())
        while len(self.answered) < target:
            self._tick(silence, limit)

    def drain(self, limit: float = STALL) -> None:
        """Wait until every input is answered or committed by the group; raise `StalledError` after `limit` seconds."""
        silence = Silence(time.monotonic())
        while len(self.answered) < len(self._load.sent) and not self._is_done():
            self._tick(silence, limit)

    def is_held_back(self) -> bool:
        """Return whether an open transaction hides answers."""
        topics = (self._topics.predictions, self._topics.deadletter)
        return any(self._ends(topic) != self._ends(topic, committed_only=False) for topic in topics)

    def longest_wait(self) -> float:
        """Return the longest time from an input's confirmation to its visible answer, in seconds."""
        waits = [at - self._load.confirmed.get(key, at) for key, at in self.answered.items()]
        return max(waits, default=0.0)

    def _tick(self, silence: Silence, limit: float) -> None:
        self._ended.wait(_TICK)
        answers, inputs = len(self.answered), len(self._load.confirmed)
        if silence.seconds(time.monotonic(), answers, inputs) > limit:
            raise StalledError(f"{inputs - answers} of {inputs} inputs wait; no answer for {limit:g} s")

    def _is_done(self) -> bool:
        """Return whether the group has committed all inputs and no transaction hides an answer."""
        try:
            return not self._load.is_alive() and self._has_committed_all()
        except KafkaException:  # a partition is changing its leader
            return False

    def _has_committed_all(self) -> bool:
        return self._committed() == self._ends(self._topics.raw) and not self.is_held_back()

    def _committed(self) -> dict[int, int]:
        partitions = [TopicPartition(self._topics.raw, number) for number in range(3)]
        return {committed.partition: committed.offset for committed in self._group.committed(partitions, timeout=15)}

    def _ends(self, topic: str, *, committed_only: bool = True) -> dict[int, int]:
        isolation = IsolationLevel.READ_COMMITTED if committed_only else IsolationLevel.READ_UNCOMMITTED
        numbers: Collection[int] = range(self._topics.partitions()[topic])
        requests = {TopicPartition(topic, number): OffsetSpec.latest() for number in numbers}
        futures = self._admin.list_offsets(requests, isolation_level=isolation)
        return {partition.partition: future.result(15).offset for partition, future in futures.items()}


def _consumer(bootstrap: str, group: str, isolation: str) -> Consumer:
    return Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": group,
            "isolation.level": isolation,
            "enable.auto.commit": False,
            "reconnect.backoff.max.ms": 500,
            "log_level": 0,
        }
    )
