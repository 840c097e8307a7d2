"""A load generator that sends each numbered customer to the raw topic once, at a steady rate."""

import threading
import time
from collections.abc import Iterator

from confluent_kafka import KafkaError, Message, Producer

from tests.faults.numbered import NumberedCustomer

#: Seconds between two checks of the schedule.
_TICK = 0.02
#: Time limit for the last confirmations, in seconds.
_FLUSH = 120


class Load(threading.Thread):
    """Sends at least `least` customers, and continues until `finish` or `end`."""

    def __init__(
        self, bootstrap: str, topic: str, customers: Iterator[NumberedCustomer], *, rate: float, least: int
    ) -> None:
        super().__init__(daemon=True)
        self._customers = customers
        self._topic = topic
        self._rate, self._least = rate, least
        self._finishing = threading.Event()
        self._failed: list[str] = []
        # Idempotent, without a time limit and with one request in flight, it loses and duplicates nothing when a broker
        # is killed. With more requests the client duplicates some if a leader is late (librdkafka issue 4953).
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "enable.idempotence": True,
                "message.timeout.ms": 0,
                "max.in.flight.requests.per.connection": 1,
                "linger.ms": 5,
                "partitioner": "murmur2_random",
                "reconnect.backoff.max.ms": 500,
                "log_level": 0,
            }
        )
        #: Expected answers of the sent customers, by key.
        self.sent: dict[str, float | None] = {}
        #: Time of the confirmation, by key.
        self.confirmed: dict[str, float] = {}

    def finish(self) -> None:
        """Send the rest up to `least` and wait for the confirmations."""
        self._finishing.set()
        self.join()
        assert self._producer.flush(_FLUSH) == 0, f"the load was not confirmed within {_FLUSH} s"
        assert not self._failed, f"the load was not sent: {self._failed[0]}"

    def end(self) -> None:
        """Stop at once."""
        self._least = 0
        self._finishing.set()
        if self.is_alive():
            self.join()

    def run(self) -> None:
        started = time.monotonic()
        while not self._is_done():
            # Also check whether to stop here: a slow machine never catches up with the rate.
            while len(self.sent) < (time.monotonic() - started) * self._rate and not self._is_done():
                self._send(next(self._customers))
            self._producer.poll(_TICK)

    def _is_done(self) -> bool:
        return self._finishing.is_set() and len(self.sent) >= self._least

    def _send(self, customer: NumberedCustomer) -> None:
        self.sent[customer.key] = customer.expected
        self._producer.produce(self._topic, customer.value, customer.key, on_delivery=self._on_delivery)
        self._producer.poll(0)

    def _on_delivery(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._failed.append(error.str())
        else:
            self.confirmed[(message.key() or b"").decode()] = time.monotonic()
