"""Factory for all producers, consumers and admin clients, with the properties that the delivery guarantees need.

The embedded broker for the demo and for tests without Docker is librdkafka's mock broker inside the process. It lacks
CreateTopics (the first metadata request for a topic creates it, with four partitions), isolation of transactions and
fencing. Runs on it are at-least-once and say so.
"""

import logging
import os
import secrets
import socket
import time
import weakref
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property, partial
from typing import Any, Literal, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient

from telco_stream import errors
from telco_stream.kafka.auth_errors import address_of, check_login, refusal
from telco_stream.kafka.error_policy import advertised_address, cannot_connect, is_too_large
from telco_stream.kafka.outage import Outage, unreachable_broker
from telco_stream.runtime.redaction import redact
from telco_stream.settings import Settings
from telco_stream.settings.properties import for_client

log = logging.getLogger("telco_stream.kafka.client")

#: Seconds in which a broker that seems to be unavailable must answer a probe.
_PROBE_SECONDS = 1.0
#: Seconds for a metadata request to the embedded broker, which answers at once or never.
_EMBEDDED_TIMEOUT = 5.0
#: Milliseconds for which the open transaction of a killed process can block read_committed consumers.
_TRANSACTION_TIMEOUT = 30_000

_PRODUCER: dict[str, Any] = {
    "enable.idempotence": "true",
    "acks": "all",
    "partitioner": "murmur2_random",  # as in Java clients, so that all producers agree on a key's partition
    "compression.type": "lz4",
    "linger.ms": "5",
    "delivery.report.only.error": True,  # read by confluent_kafka, which needs a bool
    "queue.buffering.max.messages": "100000",
    "queue.buffering.max.kbytes": "65536",
    # A deleted topic is reported as missing before its records time out.
    "topic.metadata.propagation.max.ms": "10000",
    "retry.backoff.ms": "5",  # a transaction also waits this long for the previous one: 100 adds 100 ms to each
}
_CONSUMER = {
    "enable.auto.commit": "false",
    "enable.auto.offset.store": "false",
    "isolation.level": "read_committed",
    # `starts.py` decides where a partition starts; the client's reset policies would skip or repeat records.
    "auto.offset.reset": "error",
    # A small queue keeps memory flat; with the default back-off of one second it would run empty.
    "queued.max.messages.kbytes": "4096",
    "queued.min.messages": "10000",
    "fetch.message.max.bytes": "262144",
    "fetch.queue.backoff.ms": "5",
}
#: Default of the property `client.id`.
_CLIENT_ID = "telco-stream"
#: Properties of the classic group protocol; with KIP-848 they are set on the broker.
_CLASSIC = {
    "partition.assignment.strategy": "cooperative-sticky",
    "session.timeout.ms": "10000",
    "heartbeat.interval.ms": "2000",
}

Client = TypeVar("Client")


class Clients:
    """Factory for the Kafka clients of one process; keeps the last error that any of them reported."""

    def __init__(self, settings: Settings, timeout: float = 10.0) -> None:
        redact.register(settings.secrets())
        check_login(settings.kafka, settings.bootstrap_servers)
        self.settings = settings
        self.timeout = timeout
        self.last_error: KafkaError | None = None
        #: Host and port of each broker in the latest cluster metadata.
        self.advertised: tuple[tuple[str, int], ...] = ()
        #: Number of errors that the clients reported, by error name.
        self.errors: Counter[str] = Counter()
        #: Statistics callbacks by kind of client; a client must be polled regularly to call them.
        self.on_statistics: dict[str, Callable[[str], None]] = {}
        self._too_large: list[KafkaError] = []
        #: Called with the error that ends the run after the broker has refused this process for `timeout` seconds.
        self.on_refused: Callable[[errors.KafkaError], None] = lambda _: None
        clients = weakref.proxy(self)  # probes end when nothing uses the clients any more
        probe, refused = partial(Clients._probe, clients), partial(Clients._refused, clients)
        self._outage = Outage(settings.bootstrap_servers, probe, timeout, refused)

    def unavailable_for(self) -> float | None:
        """Return the seconds since the broker became unavailable, or None while it is available."""
        since = self._outage.since
        return None if since is None else time.monotonic() - since

    @property
    def too_large(self) -> KafkaError | None:
        """The error of a consumer that repeatedly gets responses larger than `receive.message.max.bytes`, or None."""
        return self._too_large[-1] if len(self._too_large) > 1 else None

    @property
    def is_classic_protocol(self) -> bool:
        """True if consumers use the classic group protocol instead of KIP-848."""
        return self.settings.kafka.get("group.protocol", "classic").lower() == "classic"

    def connection_error(self) -> errors.KafkaError | None:
        """Return the error of a broker that refuses this process or advertises an unreachable address, or None."""
        if self.last_error is not None and cannot_connect(self.last_error):
            return self._refusal(self.last_error)
        return unreachable_broker(self.settings.bootstrap_servers, self.advertised)

    def admin(self) -> AdminClient:
        """Create an admin client; keep a reference to it until its futures have resolved."""
        return self._make(AdminClient, self._common("admin"))

    def producer(
        self, transactional_id: str | None = None, largest_batch: int | None = None, **overrides: str
    ) -> Producer:
        """Create an idempotent producer; with an id, it is transactional and the caller has to initialise it.

        `largest_batch` is the size in bytes of the largest batch that the topics accept, if it is known. `overrides`
        are client properties with `_` for `.`.
        """
        defaults = dict(_PRODUCER)
        # Larger than any message and batch: the client's default limit is below the broker's, so a record that was read
        # could be too large to write.
        largest = max(2_097_152, self.settings.topics.deadletter_max_message_bytes, largest_batch or 0)
        defaults["message.max.bytes"] = str(largest + 65_536)
        if largest_batch is not None:
            # An idempotent producer waits busily for the answer to a batch while it has more records of its partition,
            # so that those of a micro-batch should fit in one. The size is that before compression, with a reserve.
            defaults["batch.size"] = str(largest_batch * 15 // 16)
        properties = self._common("producer")
        if transactional_id is None:
            defaults["message.timeout.ms"] = "0"  # wait for the broker without a limit
        else:
            limit = _transaction_timeout(properties)
            defaults |= {"transactional.id": transactional_id, "transaction.timeout.ms": str(limit)}
            defaults["message.timeout.ms"] = str(limit * 5 // 6)
        properties |= _named(overrides)
        return self._make(Producer, defaults | properties)

    def transaction_lifetime(self) -> float:
        """Return the transaction timeout in seconds, after which the broker aborts a transaction."""
        return _transaction_timeout(for_client("producer", self.settings.kafka)) / 1_000

    def consumer(self, group: str, **overrides: str) -> Consumer:
        """Create a consumer of the group; `overrides` are client properties with `_` for `.`."""
        defaults = _CONSUMER | {"group.id": group}
        properties = self._common("consumer")
        if self.is_classic_protocol:
            defaults |= _CLASSIC
        properties |= _named(overrides)
        return self._make(Consumer, defaults | properties)

    def member(self, group: str, **overrides: str) -> Consumer:
        """Create a consumer that joins the group as soon as it subscribes to a topic."""
        # End-of-partition events distinguish an idle partition from a stalled one.
        return self.consumer(group, enable_partition_eof="true", **overrides)

    @cached_property
    def worker(self) -> str:
        """Name of this process in a consumer group: its instance ID, or else a client ID that no other process has."""
        properties = for_client("consumer", self.settings.kafka)
        prefix = properties.get("client.id", _CLIENT_ID)
        unique = f"{prefix}-{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        return properties.get("group.instance.id", unique)

    def is_incremental(self) -> bool:
        """Return whether rebalances are incremental; an eager protocol revokes all partitions in each of them."""
        strategy = self.settings.kafka.get("partition.assignment.strategy", _CLASSIC["partition.assignment.strategy"])
        return not self.is_classic_protocol or "cooperative" in strategy

    def reader(self) -> Consumer:
        """Create a consumer for assigned partitions, outside any group; it reports the end of each partition."""
        # At the end of a partition, the broker waits this long for a record before it reports the end.
        wait = self.settings.kafka.get("fetch.wait.max.ms", "50")
        return self.consumer("telco-stream-reader", enable_partition_eof="true", fetch_wait_max_ms=wait)

    def _common(self, kind: Literal["admin", "producer", "consumer"]) -> dict[str, Any]:
        log.debug("new %s client for %s", kind, self.settings.bootstrap_servers)
        common = {
            "bootstrap.servers": self.settings.bootstrap_servers,
            "client.id": _CLIENT_ID,
            # Otherwise a request about a deleted topic creates it again if the broker allows that.
            "allow.auto.create.topics": "false",
            # Each client's first connection waits half of this; the client's default is 100 ms.
            "reconnect.backoff.ms": "20",
            "reconnect.backoff.max.ms": "1000",  # the default of 10 s delays the reconnect after an outage
            "error_cb": self._on_error if kind == "admin" else self._on_connection_error,
            "logger": log,
        }
        if kind in self.on_statistics:
            common |= {"stats_cb": self.on_statistics[kind], "statistics.interval.ms": "5000"}
        return common | for_client(kind, self.settings.kafka)

    def _make(self, kind: Callable[[dict[str, Any]], Client], properties: dict[str, Any]) -> Client:
        try:
            return kind(properties)
        except KafkaException as error:
            message = f"The Kafka client rejects a property: {error.args[0].str()}; check TELCO_STREAM_KAFKA__*"
            raise errors.UsageError(message) from error

    def _on_error(self, error: KafkaError) -> None:
        # It follows each broker's own error and adds nothing; its text can even say "0/2 brokers".
        if error.code() != KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001 - public name
            self.last_error = error
            # An address with a broker ID: the client has it from a bootstrap server's metadata.
            address = advertised_address(error.str())
            if address is not None and address not in self.advertised:
                self.advertised += (address,)
        self.errors[error.name()] += 1

    def _on_connection_error(self, error: KafkaError) -> None:
        """Handle an error of a producer or consumer: suspect an outage. Admin requests have their own timeouts."""
        self._on_error(error)
        if is_too_large(error):
            self._too_large.append(error)
        if error.code() == KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001 - the client's public name
            self._outage.suspect()
        elif cannot_connect(error):
            self._outage.suspect(address_of(error))

    def note_slow_answer(self) -> None:
        """Log once that no broker has answered yet."""
        self._outage.note_slow_answer(self.last_error)

    def suspect_outage(self) -> None:
        """Probe the brokers, because a request has not been answered; log an outage, and end the run if they refuse."""
        self._outage.suspect()

    def _refused(self, error: KafkaError) -> None:
        self.on_refused(self._refusal(error))

    def _refusal(self, error: KafkaError) -> errors.KafkaError:
        return refusal(error, self.settings.bootstrap_servers, self.settings.kafka)

    def _probe(self, address: str | None) -> KafkaError | None:
        """Request the cluster's metadata from one broker, or any, with a new client, which has to log in again."""
        reported: list[KafkaError] = []
        properties = self._common("admin") | {"error_cb": reported.append}
        admin = self._make(AdminClient, properties | ({"bootstrap.servers": address} if address else {}))
        try:
            admin.list_topics(timeout=_PROBE_SECONDS)
        except KafkaException as error:
            admin.poll(0)
            return next(filter(cannot_connect, reported), error.args[0])
        return None


@contextmanager
def embedded_broker(*topics: str) -> Iterator[str]:
    """Start a broker with these topics and yield its address; it stops at the end of the block."""
    host = Producer({"bootstrap.servers": "none", "test.mock.num.brokers": "1", "logger": log})
    broker = next(iter(host.list_topics(timeout=_EMBEDDED_TIMEOUT).brokers.values()))
    for topic in topics:
        host.list_topics(topic, timeout=_EMBEDDED_TIMEOUT)
    yield f"{broker.host}:{broker.port}"


def _named(overrides: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "."): value for name, value in overrides.items()}


def _transaction_timeout(properties: Mapping[str, Any]) -> int:
    """Return the transaction timeout in milliseconds; librdkafka rejects a setting that is not an integer."""
    try:
        return int(properties.get("transaction.timeout.ms") or _TRANSACTION_TIMEOUT)
    except ValueError:
        return _TRANSACTION_TIMEOUT
