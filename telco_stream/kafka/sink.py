"""Send messages through a producer and track their failures."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress

from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka import Message as Report

from telco_stream.kafka.blocking_calls import MAX_CALL_SECONDS, SHUTDOWN_GRACE_SECONDS
from telco_stream.kafka.error_policy import is_permanent, topic_error, user_error
from telco_stream.messages.record import Outgoing
from telco_stream.runtime.signals import Stop, Stopped

#: Seconds between two checks of a full queue; short, because a successful delivery does not end a poll.
_PAUSE = 0.01
#: Seconds of waiting for the broker between two checks for a permanent error of a topic.
_CHECK_INTERVAL = 10.0
#: Values by which the client chooses the partition from the key, and takes the current time.
_ANY_PARTITION, _NOW = -1, 0


@contextmanager
def delivery_errors() -> Iterator[None]:
    """Convert the client's errors into the user's error; for sends outside a transaction."""
    try:
        yield
    except KafkaException as error:
        raise user_error(error.args[0], "A record was not delivered") from error


class Sink:
    """Producer that records delivery failures. Waits while its queue is full, and drops nothing."""

    def __init__(self, producer: Producer, stop: Stop) -> None:
        self.producer = producer
        self._stop = stop
        self._failed: list[KafkaError] = []
        self._failed_topic = ""
        self._topics: set[str] = set()
        self._check_at = 0.0
        #: Number of messages that the broker rejected or that timed out.
        self.failed = 0

    def send(self, topic: str, messages: Iterable[Outgoing], partition: int | None = None) -> None:
        """Queue all messages; `flush` or the transaction's commit confirms their delivery.

        Without `partition`, the key of each message decides.
        """
        target = _ANY_PARTITION if partition is None else partition
        produce: Callable[..., None] = self.producer.produce
        on_delivery = self._on_delivery
        self._topics.add(topic)
        for key, value, headers in messages:
            try:
                # Positional arguments: with keywords, the call takes nearly twice as long.
                produce(topic, value, key, target, on_delivery, None, _NOW, headers)
            except BufferError:
                self._send_when_space(topic, value, key, target, on_delivery, None, _NOW, headers)

    def flush(self) -> None:
        """Wait until the broker has confirmed all messages; raise if one failed, `Stopped` after a stop request."""
        self.drain()
        if failure := self.failure_cause():
            raise user_error(failure, "A record was not delivered")

    def drain(self) -> None:
        """Wait until each message was confirmed or has failed; raise `Stopped` after a stop request."""
        self._check_at = time.monotonic() + _CHECK_INTERVAL
        while self.producer.flush(MAX_CALL_SECONDS):
            self._check_waiting()

    def unconfirmed(self) -> int:
        """Return the number of messages that are unconfirmed or failed."""
        return len(self.producer) + self.failed

    def failure_cause(self) -> KafkaError | None:
        """Return the topic error behind the first failure, or the failure itself if its topic is well; clear both."""
        self.serve()
        failure, topic = self.take_failure(), self._failed_topic
        # In a transaction, a record for a deleted topic is only reported as timed out.
        return failure and (topic_error(self.producer, topic) or failure)

    def take_failure(self) -> KafkaError | None:
        """Return and clear the first failure since the last call."""
        first = next(iter(self._failed), None)
        self._failed.clear()
        return first

    def serve(self) -> None:
        """Serve the client's callbacks; the next call repeats a fatal error, so it is ignored here."""
        with suppress(KafkaException):
            self.producer.poll(0)

    def _send_when_space(self, *message: object) -> None:
        """Queue the message once there is space: one delivery may free too little, as bytes are limited too."""
        produce: Callable[..., None] = self.producer.produce
        self._check_at = time.monotonic() + _CHECK_INTERVAL
        while self.producer.poll(_PAUSE) or len(self.producer):
            self._check_waiting()
            try:
                produce(*message)
            except BufferError:
                continue
            return
        # An empty queue rejects only what is larger than the queue.
        raise KafkaException(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE))

    def _check_waiting(self) -> None:
        """Raise `Stopped` after a stop request, and `KafkaException` if a topic has a permanent error."""
        if self._stop.overdue(SHUTDOWN_GRACE_SECONDS):
            raise Stopped
        if time.monotonic() < self._check_at:
            return
        self._check_at = time.monotonic() + _CHECK_INTERVAL
        for topic in sorted(self._topics):
            error = topic_error(self.producer, topic)
            if error is not None and is_permanent(error):
                raise KafkaException(error)

    def _on_delivery(self, error: KafkaError | None, report: Report) -> None:
        if error is not None:
            if not self._failed:
                self._failed_topic = report.topic() or ""
            self._failed.append(error)
            self.failed += 1
