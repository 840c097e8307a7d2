"""Messages into a producer's queue, and out of it."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress

from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka import Message as Report

from telco_stream.kafka.background import SHUTDOWN_GRACE_SECONDS
from telco_stream.kafka.clients import MAX_CALL_SECONDS
from telco_stream.kafka.error_policy import failed_disk, is_permanent, user_error
from telco_stream.messages.record import Outgoing
from telco_stream.runtime.signals import Stop, Stopped

#: Seconds between two looks at a full queue; only failures wake a wait, so it must be short.
_PAUSE = 0.01
#: Seconds of waiting for the broker after which it is asked whether that has any sense.
_LOOKING = 10.0
#: The client's words for "as the key says", and for a time stamp of its own.
_ANY_PARTITION, _NOW = -1, 0


@contextmanager
def delivery_errors() -> Iterator[None]:
    """Puts into words what the client itself refuses, inside; outside of a transaction no abort would mend it."""
    try:
        yield
    except KafkaException as error:
        raise user_error(error.args[0], "A record was not delivered") from error


class Sink:
    """A producer that knows what has failed. A full queue waits; nothing is dropped."""

    def __init__(self, producer: Producer, stop: Stop) -> None:
        self.producer = producer
        self._stop = stop
        self._failed: list[KafkaError] = []
        self._failed_topic = ""
        self._topics: set[str] = set()
        self._look_at = 0.0
        #: Messages that were refused, or ran out of time.
        self.failed = 0

    def send(self, topic: str, messages: Iterable[Outgoing], partition: int | None = None) -> None:
        """Queue all messages; their delivery is confirmed by `flush` or by the transaction's commit.

        Without a partition, each goes where its key says.
        """
        target = _ANY_PARTITION if partition is None else partition
        produce: Callable[..., None] = self.producer.produce
        failed = self._note_failure
        self._topics.add(topic)
        for key, value, headers in messages:
            try:
                # By position: by name, the call takes nearly twice as long.
                produce(topic, value, key, target, failed, None, _NOW, headers)
            except BufferError:
                self._wait_for_room()
                produce(topic, value, key, target, failed, None, _NOW, headers)

    def flush(self) -> None:
        """Wait until the broker has confirmed all; raises where one failed, `Stopped` where there was no time."""
        self._look_at = time.monotonic() + _LOOKING
        while self.producer.flush(MAX_CALL_SECONDS):
            self._go_on_waiting()
        if failure := self.why():
            raise user_error(failure, "A record was not delivered")

    def unconfirmed(self) -> int:
        """Messages sent but not confirmed, or failed."""
        return len(self.producer) + self.failed

    def why(self) -> KafkaError | None:
        """What is wrong with the topic of the first failure, if its broker says so; else that failure."""
        self.serve()
        failure, topic = self.take_failure(), self._failed_topic
        # A record for a topic that has been deleted runs out of time in a transaction, and no more is said of it.
        return failure and (self._trouble_with(topic) or failure)

    def take_failure(self) -> KafkaError | None:
        """The first failure since it was last asked for."""
        first = next(iter(self._failed), None)
        self._failed.clear()
        return first

    def serve(self) -> None:
        """Let the client say what it has to say; what is fatal it will say again, to whoever goes on to use it."""
        with suppress(KafkaException):
            self.producer.poll(0)

    def _wait_for_room(self) -> None:
        full = len(self.producer)
        self._look_at = time.monotonic() + _LOOKING
        while self.producer.poll(_PAUSE) == 0 and len(self.producer) >= full:
            self._go_on_waiting()

    def _go_on_waiting(self) -> None:
        """Raises `Stopped` where there is no time for it, `KafkaException` where no waiting helps."""
        if self._stop.overdue(SHUTDOWN_GRACE_SECONDS):
            raise Stopped
        if time.monotonic() < self._look_at:
            return
        self._look_at = time.monotonic() + _LOOKING
        for trouble in filter(None, map(self._trouble_with, sorted(self._topics))):
            if is_permanent(trouble):
                raise KafkaException(trouble)

    def _trouble_with(self, topic: str) -> KafkaError | None:
        """What its brokers say is wrong with the topic; nothing where they don't answer."""
        try:
            found = self.producer.list_topics(topic, timeout=MAX_CALL_SECONDS)
        except KafkaException:
            return None
        return found.topics[topic].error or failed_disk(found, topic)

    def _note_failure(self, error: KafkaError | None, report: Report) -> None:
        if error is not None:
            if not self._failed:
                self._failed_topic = report.topic() or ""
            self._failed.append(error)
            self.failed += 1
