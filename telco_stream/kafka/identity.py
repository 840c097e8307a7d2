"""Check that a topic is still the same: if it is deleted and created again, it gets a new ID (KIP-516)."""

import time
from collections.abc import Callable
from concurrent.futures import Future

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import TopicDescription  # type: ignore[attr-defined]

from telco_stream import errors
from telco_stream.kafka.blocking_calls import Deadline
from telco_stream.kafka.cluster import topic_id_of
from telco_stream.kafka.error_policy import is_missing_topic, is_permanent, user_error

#: Seconds between two checks.
_INTERVAL = 5.0
#: Seconds before a failed check is repeated.
_PAUSE = 0.1
#: Seconds for which a topic may be missing: it is being created again, or not all brokers know it yet.
_MISSING_SECONDS = 5.0


class TopicIdentity:
    """Regular, non-blocking check of a topic's ID; raises `errors.KafkaError` if the ID has changed.

    `describe` starts the request. Without a `topic_id`, as on the embedded broker, nothing is checked. `on_unanswered`
    is called when `confirm` has waited in vain, because the client calls no error callback meanwhile.
    """

    def __init__(
        self,
        topic: str,
        topic_id: str | None = None,
        describe: Callable[[], "Future[TopicDescription]"] | None = None,
        on_unanswered: Callable[[], object] = lambda: None,
    ) -> None:
        self._topic = topic
        self._describe = describe
        self._on_unanswered = on_unanswered
        self._pending: Future[TopicDescription] | None = None
        self._is_confirmed = True
        self._next_at = time.monotonic() + _INTERVAL
        self._missing_since: float | None = None
        self._suspicion: KafkaError | None = None
        #: The ID that the topic had at the start of the run.
        self.topic_id = topic_id

    def ask(self) -> None:
        """Start a request: if the ID is unchanged, all records read before now belong to this topic."""
        if self.topic_id is not None and self._describe is not None:
            self._pending, self._is_confirmed = self._describe(), False

    def check(self) -> None:
        """Handle a finished request, and start the next one when it is due."""
        if self._pending is None and time.monotonic() >= self._next_at:
            self.ask()
        if self._pending is not None and self._pending.done():
            self._handle(self._pending)

    def confirm(self, seconds: float) -> bool:
        """Wait up to `seconds` for the latest request, and return whether the ID is unchanged."""
        deadline = Deadline(seconds)
        while not self._is_confirmed and (remaining := deadline.remaining):
            if self._pending is None:
                time.sleep(min(remaining, max(0.0, self._next_at - time.monotonic())))
                self.check()
            else:
                self._wait(self._pending, remaining)
        if not self._is_confirmed:
            self._on_unanswered()
        return self._is_confirmed

    def suspect(self, error: KafkaError) -> None:
        """Handle the client's error for a missing topic or partition: a new request shows the reason."""
        self._suspicion = error
        self.ask()

    def _wait(self, pending: "Future[TopicDescription]", seconds: float) -> None:
        try:
            pending.exception(seconds)
        except TimeoutError:
            return
        self._handle(pending)

    def _handle(self, request: "Future[TopicDescription]") -> None:
        self._pending, self._next_at = None, time.monotonic() + _INTERVAL
        try:
            topic_id = topic_id_of(request.result())
        except KafkaException as error:
            self._next_at = time.monotonic() + _PAUSE
            self._handle_error(error.args[0])
            return
        if topic_id != self.topic_id:
            raise errors.KafkaError(
                f"Topic {self._topic} was deleted and created again while `consume` was reading it; no record of the"
                " new topic was answered. Start `consume` again: it begins at the start of the new topic"
            )
        if self._suspicion is not None:
            raise user_error(self._suspicion, f"Topic {self._topic}")
        self._is_confirmed, self._missing_since = True, None

    def _handle_error(self, error: KafkaError) -> None:
        if is_missing_topic(error):
            self._missing_since = self._missing_since or time.monotonic()
            if time.monotonic() - self._missing_since > _MISSING_SECONDS:
                raise user_error(error, f"Topic {self._topic} was deleted while `consume` was reading it")
        elif is_permanent(error):
            raise user_error(error, f"Topic {self._topic}")
