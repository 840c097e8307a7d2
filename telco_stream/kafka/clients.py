"""The one factory of every producer, consumer and admin client, and the properties that carry the promises."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient

from telco_stream import errors
from telco_stream.kafka.auth_errors import address_of, check_login, refusal
from telco_stream.kafka.error_policy import cannot_connect, is_too_large
from telco_stream.kafka.outage import Outage
from telco_stream.runtime.redaction import redact
from telco_stream.settings import Settings, for_client, secrets_of

log = logging.getLogger("telco_stream.kafka.client")

#: Seconds that one call into the client may take, so that a signal is seen in between.
MAX_CALL_SECONDS = 0.5
#: Seconds that a broker which seems to be away has to answer.
_PROBE = 1.0
#: Milliseconds; how long a transaction left by a killed process can hold readers back.
_TRANSACTION_TIMEOUT = 30_000

_PRODUCER: dict[str, Any] = {
    "enable.idempotence": "true",
    "acks": "all",
    "partitioner": "murmur2_random",  # as Java's, so that all producers agree on a key's partition
    "compression.type": "lz4",
    "linger.ms": "5",
    "delivery.report.only.error": True,  # the binding itself reads this one, as a bool
    "queue.buffering.max.messages": "100000",
    "queue.buffering.max.kbytes": "65536",
    # A topic that was deleted is found missing before the records for it are given up as late.
    "topic.metadata.propagation.max.ms": "10000",
    "retry.backoff.ms": "5",  # also how long a transaction waits for the one before: 100 adds 100 ms to each
}
_CONSUMER = {
    "enable.auto.commit": "false",
    "enable.auto.offset.store": "false",
    "isolation.level": "read_committed",
    "allow.auto.create.topics": "false",
    # Where a partition starts is decided by us: by its own policy, the client would skip records or repeat them.
    "auto.offset.reset": "error",
    # A small queue keeps memory flat; with the client's usual back-off of a second it would run dry.
    "queued.max.messages.kbytes": "4096",
    "queued.min.messages": "10000",
    "fetch.message.max.bytes": "262144",
    "fetch.queue.backoff.ms": "5",
}
#: For the classic protocol only: KIP-848 keeps these on the broker.
_CLASSIC = {
    "partition.assignment.strategy": "cooperative-sticky",
    "session.timeout.ms": "10000",
    "heartbeat.interval.ms": "2000",
}

Client = TypeVar("Client")


class Clients:
    """Makes the clients of one process, and remembers the last thing that any of them complained about."""

    def __init__(self, settings: Settings, timeout: float = 10.0) -> None:
        redact.register(secrets_of(settings.kafka))
        check_login(settings.kafka, settings.bootstrap_servers)
        self.settings = settings
        self.timeout = timeout
        self.last_error: KafkaError | None = None
        #: Host and port of each broker in the metadata that was read last.
        self.advertised: tuple[tuple[str, int], ...] = ()
        #: How often the clients complained, by the name of the error.
        self.errors: Counter[str] = Counter()
        #: What is told of the clients' statistics, which only clients that are polled all the time can deliver.
        self.on_statistics: dict[str, Callable[[str], None]] = {}
        self._too_large: list[KafkaError] = []
        #: Gets the error that ends a run whose broker refuses this process for `timeout` seconds.
        self.on_refused: Callable[[errors.KafkaError], None] = lambda _: None
        self._outage = Outage(settings.bootstrap_servers, self._probe, timeout, self._refused)

    def unavailable_for(self) -> float | None:
        """Seconds since the broker was found to be away; None while it is there."""
        since = self._outage.since
        return None if since is None else time.monotonic() - since

    @property
    def too_large(self) -> KafkaError | None:
        """The error of a consumer whose broker sends more than `receive.message.max.bytes`, again and again."""
        return self._too_large[-1] if len(self._too_large) > 1 else None

    @property
    def is_classic_protocol(self) -> bool:
        """Whether consumers use the classic group protocol, not the one of KIP-848."""
        return self.settings.kafka.get("group.protocol", "classic").lower() == "classic"

    def admin(self) -> AdminClient:
        """A client for topics, groups and offsets; keep it until its futures have resolved."""
        return self._make(AdminClient, self._common("admin"))

    def producer(self, transactional_id: str | None = None) -> Producer:
        """An idempotent producer; with an id, a transactional one that still has to be initialised."""
        own = dict(_PRODUCER)
        # Above the largest letter: the client's default is below the broker's, and what was read must be writable.
        own["message.max.bytes"] = str(max(2_097_152, self.settings.topics.deadletter_max_message_bytes) + 65_536)
        properties = self._common("producer")
        if transactional_id is None:
            own["message.timeout.ms"] = "0"  # wait for the broker as long as it takes
        else:
            limit = _transaction_timeout(properties)
            own |= {"transactional.id": transactional_id, "transaction.timeout.ms": str(limit)}
            own["message.timeout.ms"] = str(limit * 5 // 6)
        return self._make(Producer, own | properties)

    def transaction_lifetime(self) -> float:
        """Seconds after which the broker ends a transaction by itself."""
        return _transaction_timeout(for_client("producer", self.settings.kafka)) / 1_000

    def consumer(self, group: str, **more: str) -> Consumer:
        """A consumer of that group; `more` are properties with `_` for `.`."""
        own = _CONSUMER | {"group.id": group}
        properties = self._common("consumer")
        if self.is_classic_protocol:
            own |= _CLASSIC
        return self._make(Consumer, own | properties | {name.replace("_", "."): text for name, text in more.items()})

    def is_incremental(self) -> bool:
        """Return whether a group's partitions come and go one by one: an eager protocol takes all of them each time."""
        properties = _CLASSIC | self._common("consumer")
        is_classic = properties.get("group.protocol", "classic").lower() == "classic"
        return not is_classic or "cooperative" in properties["partition.assignment.strategy"]

    def reader(self) -> Consumer:
        """A consumer outside of any group, that tells where a partition ends."""
        return self.consumer("telco-stream-reader", enable_partition_eof="true")

    def _common(self, kind: Literal["admin", "producer", "consumer"]) -> dict[str, Any]:
        common = {
            "bootstrap.servers": self.settings.bootstrap_servers,
            "client.id": "telco-stream",
            "reconnect.backoff.max.ms": "1000",  # ten times as long as usual, it would be late to see a broker return
            "error_cb": self._on_error if kind == "admin" else self._on_loss,
            "logger": log,
        }
        if kind in self.on_statistics:
            common |= {"stats_cb": self.on_statistics[kind], "statistics.interval.ms": "5000"}
        return common | for_client(kind, self.settings.kafka)

    def _make(self, kind: Callable[[dict[str, Any]], Client], properties: dict[str, Any]) -> Client:
        try:
            return kind(properties)
        except KafkaException as error:
            message = f"Kafka's client refuses a property: {error.args[0].str()}; check TELCO_STREAM_KAFKA__*"
            raise errors.UsageError(message) from error

    def _on_error(self, error: KafkaError) -> None:
        # That all brokers are down follows each complaint of one, and tells nothing; it can even read "0/2 brokers".
        if error.code() != KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001 - public name
            self.last_error = error
        self.errors[error.name()] += 1

    def _on_loss(self, error: KafkaError) -> None:
        """An error of a client that has work to do; questions have a time limit, and complain for themselves."""
        self._on_error(error)
        if is_too_large(error):
            self._too_large.append(error)
        if error.code() == KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001 - the client's public name
            self._outage.suspect()
        elif cannot_connect(error):
            self._outage.suspect(address_of(error))

    def _refused(self, error: KafkaError) -> None:
        self.on_refused(refusal(error, self.settings.bootstrap_servers, self.settings.kafka))

    def _probe(self, address: str | None) -> KafkaError | None:
        """Ask one broker, or any, for the cluster's metadata with a new client: it has to log in as at the start."""
        reported: list[KafkaError] = []
        properties = self._common("admin") | {"error_cb": reported.append}
        admin = self._make(AdminClient, properties | ({"bootstrap.servers": address} if address else {}))
        try:
            admin.list_topics(timeout=_PROBE)
        except KafkaException as error:
            admin.poll(0)
            return next(filter(cannot_connect, reported), error.args[0])
        return None


def _transaction_timeout(properties: Mapping[str, Any]) -> int:
    return _whole(properties.get("transaction.timeout.ms")) or _TRANSACTION_TIMEOUT


def _whole(text: str | None) -> int | None:
    """The number; none where there is none, which is for librdkafka to refuse."""
    try:
        return int(text or "")
    except ValueError:
        return None
