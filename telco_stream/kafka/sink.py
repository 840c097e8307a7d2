"""Messages into a producer's queue, and out of it."""

from collections.abc import Callable, Iterable

from confluent_kafka import KafkaError, Producer
from confluent_kafka import Message as Report

from telco_stream.kafka.clients import SLICE
from telco_stream.kafka.trouble import complaint
from telco_stream.records import Outgoing
from telco_stream.stop import Stop, Stopped

#: Seconds after a wish to stop in which the queue may still empty itself; then it is left behind, unconfirmed.
GRACE = 2.0
#: Seconds between two looks at a full queue; only failures wake a wait, so it must be short.
_PAUSE = 0.01


class Sink:
    """A producer that knows what has failed. A full queue waits; nothing is dropped."""

    def __init__(self, producer: Producer, stop: Stop) -> None:
        self.producer = producer
        self._stop = stop
        self._failed: list[KafkaError] = []

    def send(self, topic: str, messages: Iterable[Outgoing]) -> None:
        """Queue all messages; their delivery is confirmed by `flush` or by the transaction's commit."""
        produce: Callable[..., None] = self.producer.produce
        failed = self._note_failure
        for key, value, headers in messages:
            try:
                produce(topic, value, key, on_delivery=failed, headers=headers)
            except BufferError:
                self._wait_for_room()
                produce(topic, value, key, on_delivery=failed, headers=headers)

    def flush(self) -> None:
        """Wait until the broker has confirmed all; raises where one failed, `Stopped` where there was no time."""
        while self.producer.flush(SLICE):
            if self._stop.overdue(GRACE):
                raise Stopped
        if self._failed:
            raise complaint(self._failed[0], "A record was not delivered")

    def failed(self) -> int:
        """Messages that were refused, or ran out of time."""
        return len(self._failed)

    def unconfirmed(self) -> int:
        """Messages sent but not confirmed, or failed."""
        return len(self.producer) + len(self._failed)

    def _wait_for_room(self) -> None:
        full = len(self.producer)
        while self.producer.poll(_PAUSE) == 0 and len(self.producer) >= full:
            if self._stop.overdue(GRACE):
                raise Stopped

    def _note_failure(self, error: KafkaError | None, _report: Report) -> None:
        if error is not None:
            self._failed.append(error)
