"""A load generator: numbered customers into the raw topic at a steady rate, each exactly once."""

import threading
import time
from collections.abc import Iterator

from confluent_kafka import KafkaError, Message, Producer

from tests.faults.numbered import NumberedCustomer

#: Seconds between two looks at the schedule.
_TICK = 0.02
#: Seconds that the last records may take to be confirmed.
_FLUSH = 120


class Load(threading.Thread):
    """Sends at least `least` customers, and goes on until told that it is enough."""

    def __init__(
        self, bootstrap: str, topic: str, customers: Iterator[NumberedCustomer], *, rate: float, least: int
    ) -> None:
        super().__init__(daemon=True)
        self._customers = customers
        self._topic = topic
        self._rate, self._least = rate, least
        self._enough = threading.Event()
        self._failed: list[str] = []
        # Idempotent, without a time limit, and one request at a time: a broker that is killed makes it lose and double
        # nothing. With more on their way the client doubles some when a leader is late (librdkafka issue 4953).
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
        #: What was sent, by key: the answer that it must get.
        self.sent: dict[str, float | None] = {}
        #: When Kafka had it.
        self.confirmed: dict[str, float] = {}

    def finish(self) -> None:
        """It has sent what it must, and all of it is confirmed."""
        self._enough.set()
        self.join()
        assert self._producer.flush(_FLUSH) == 0, f"the load was not confirmed within {_FLUSH} s"
        assert not self._failed, f"the load was not sent: {self._failed[0]}"

    def end(self) -> None:
        """It stops, whatever it has sent."""
        self._least = 0
        self._enough.set()
        if self.is_alive():
            self.join()

    def run(self) -> None:
        started = time.monotonic()
        while not self._is_done():
            # On a machine that can't keep up with the rate, there is always one more to send.
            while len(self.sent) < (time.monotonic() - started) * self._rate and not self._is_done():
                self._send(next(self._customers))
            self._producer.poll(_TICK)

    def _is_done(self) -> bool:
        return self._enough.is_set() and len(self.sent) >= self._least

    def _send(self, one: NumberedCustomer) -> None:
        self.sent[one.key] = one.expected
        self._producer.produce(self._topic, one.value, one.key, on_delivery=self._note)
        self._producer.poll(0)

    def _note(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._failed.append(error.str())
        else:
            self.confirmed[(message.key() or b"").decode()] = time.monotonic()
