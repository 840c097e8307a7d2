"""A topic's identity: one that is deleted and created again keeps its name, but gets another ID (KIP-516)."""

import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import TopicDescription  # type: ignore[attr-defined]

from telco_stream import errors
from telco_stream.kafka.cluster import topic_id_of
from telco_stream.kafka.error_policy import is_missing_topic, is_permanent, user_error

#: Seconds between two questions while nothing else asks.
_INTERVAL = 5.0
#: Seconds between a question that failed and the next.
_PAUSE = 0.1
#: Seconds for which a topic may be missing: it is being created again, or not every broker knows of it yet.
_MISSING = 5.0


class TopicIdentity:
    """Asks for a topic's ID again and again, without waiting; raises `errors.KafkaError` once it is another.

    `describe` begins a question. Without a `topic_id`, as on the embedded broker, nothing is asked.
    """

    def __init__(
        self, topic: str, topic_id: str | None = None, describe: Callable[[], "Future[TopicDescription]"] | None = None
    ) -> None:
        self._topic = topic
        self._describe = describe
        self._pending: Future[TopicDescription] | None = None
        self._is_confirmed = True
        self._next_at = time.monotonic() + _INTERVAL
        self._missing_since: float | None = None
        self._suspicion: KafkaError | None = None
        #: The ID that the topic had at the start of the run.
        self.topic_id = topic_id

    def ask(self) -> None:
        """Begin a new question: what was read before it belongs to the topic if the ID is still the same."""
        if self.topic_id is not None and self._describe is not None:
            self._pending, self._is_confirmed = self._describe(), False

    def check(self) -> None:
        """Take in the answer if it has come, and ask again if it is time."""
        if self._pending is None and time.monotonic() >= self._next_at:
            self.ask()
        if self._pending is not None and self._pending.done():
            self._judge(self._pending)

    def confirm(self, seconds: float) -> bool:
        """Wait up to that long, and return whether the newest question has found the same ID."""
        deadline = time.monotonic() + seconds
        while not self._is_confirmed and (left := deadline - time.monotonic()) > 0:
            if self._pending is None:
                time.sleep(min(left, max(0.0, self._next_at - time.monotonic())))
                self.check()
            else:
                self._wait(self._pending, left)
        return self._is_confirmed

    def suspect(self, error: KafkaError) -> None:
        """Take in that the client doesn't find the topic or a partition of it: the ID will tell why."""
        self._suspicion = error
        self.ask()

    def _wait(self, pending: "Future[TopicDescription]", seconds: float) -> None:
        try:
            pending.exception(seconds)
        except NotYet:
            return
        self._judge(pending)

    def _judge(self, answered: "Future[TopicDescription]") -> None:
        self._pending, self._next_at = None, time.monotonic() + _INTERVAL
        try:
            found = topic_id_of(answered.result())
        except KafkaException as error:
            self._next_at = time.monotonic() + _PAUSE
            self._judge_failure(error.args[0])
            return
        if found != self.topic_id:
            raise errors.KafkaError(
                f"Topic {self._topic} was deleted and created again while `consume` was reading it; nothing of the new"
                " topic was answered. Start `consume` again: it begins at the start of the new topic"
            )
        if self._suspicion is not None:
            raise user_error(self._suspicion, f"Topic {self._topic}")
        self._is_confirmed, self._missing_since = True, None

    def _judge_failure(self, error: KafkaError) -> None:
        if is_missing_topic(error):
            self._missing_since = self._missing_since or time.monotonic()
            if time.monotonic() - self._missing_since > _MISSING:
                raise user_error(error, f"Topic {self._topic} was deleted while `consume` was reading it")
        elif is_permanent(error):
            raise user_error(error, f"Topic {self._topic}")
