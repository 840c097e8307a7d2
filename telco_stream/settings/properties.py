"""librdkafka's properties: which client each is for, which are not the user's to set, and which are secrets."""

import re
from collections.abc import Mapping
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["producer", "consumer", "admin"]


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: What librdkafka 2.16 marks `P`, aliases and topic properties included; a consumer warns about each.
PRODUCER_ONLY = _names(
    "transactional.id transaction.timeout.ms enable.idempotence enable.gapless.guarantee "
    "queue.buffering.max.messages queue.buffering.max.kbytes queue.buffering.max.ms linger.ms "
    "queue.buffering.backpressure.threshold message.send.max.retries retries compression.codec compression.type "
    "compression.level batch.num.messages batch.size delivery.report.only.error dr_cb dr_msg_cb "
    "sticky.partitioning.linger.ms request.required.acks acks request.timeout.ms message.timeout.ms "
    "delivery.timeout.ms queuing.strategy produce.offset.report partitioner partitioner_cb msg_order_cmp"
)

#: What it marks `C`; a producer warns about each.
CONSUMER_ONLY = _names(
    "group.id group.instance.id partition.assignment.strategy session.timeout.ms heartbeat.interval.ms "
    "group.protocol.type group.protocol group.remote.assignor coordinator.query.interval.ms max.poll.interval.ms "
    "enable.auto.commit auto.commit.enable auto.commit.interval.ms enable.auto.offset.store queued.min.messages "
    "queued.max.messages.kbytes fetch.wait.max.ms fetch.queue.backoff.ms fetch.message.max.bytes "
    "max.partition.fetch.bytes fetch.max.bytes fetch.min.bytes fetch.error.backoff.ms offset.store.method "
    "offset.store.path offset.store.sync.interval.ms isolation.level consume_cb rebalance_cb offset_commit_cb "
    "enable.partition.eof check.crcs max.poll.records share.acknowledgement.mode auto.offset.reset "
    "consume.callback.max.messages"
)

#: Two names for one property, the alias first.
ALIASES = {
    "bootstrap.servers": "metadata.broker.list",
    "max.in.flight": "max.in.flight.requests.per.connection",
    "sasl.mechanism": "sasl.mechanisms",
    "max.partition.fetch.bytes": "fetch.message.max.bytes",
    "linger.ms": "queue.buffering.max.ms",
    "retries": "message.send.max.retries",
    "compression.type": "compression.codec",
    "acks": "request.required.acks",
    "delivery.timeout.ms": "message.timeout.ms",
    "auto.commit.enable": "enable.auto.commit",
    "sasl.oauthbearer.client.credentials.client.id": "sasl.oauthbearer.client.id",
    "sasl.oauthbearer.client.credentials.client.secret": "sasl.oauthbearer.client.secret",
}

_DELIVERY = "choose with --delivery exactly-once or at-least-once"
_COMMITS = f"offsets are committed once a batch is delivered; {_DELIVERY}"
_BROKERS = "use --broker or TELCO_STREAM_BOOTSTRAP_SERVERS"
_RUNS_CODE = "it makes the client run code of another file"
_CONFIRMED = "every record is confirmed by all in-sync replicas"
#: Properties that carry a promise or have a setting of their own, and what to use instead.
REFUSED = {
    "enable.auto.commit": _COMMITS,
    "auto.commit.enable": _COMMITS,
    "enable.auto.offset.store": _COMMITS,
    "isolation.level": "only committed records are read",
    "transactional.id": "use TELCO_STREAM_CONSUMER__TRANSACTIONAL_ID",
    "enable.idempotence": f"producers are always idempotent; {_DELIVERY}",
    "acks": _CONFIRMED,
    "request.required.acks": _CONFIRMED,
    "delivery.report.only.error": "every record's delivery is confirmed",
    "partitioner": "keys are placed as Java producers place them (murmur2_random)",
    "bootstrap.servers": _BROKERS,
    "metadata.broker.list": _BROKERS,
    "group.id": "use --group or TELCO_STREAM_CONSUMER__GROUP_ID",
    "auto.offset.reset": "use TELCO_STREAM_CONSUMER__AUTO_OFFSET_RESET",
    "max.poll.records": "use TELCO_STREAM_CONSUMER__MAX_POLL_RECORDS",
    "plugin.library.paths": _RUNS_CODE,
    "ssl.engine.location": _RUNS_CODE,
    "ssl.engine.id": _RUNS_CODE,
    "ssl.providers": f"{_RUNS_CODE}; openssl.cnf names the providers of this machine",
    "sasl.kerberos.kinit.cmd": "it is a command that the client runs in a shell",
}
#: These take a function or an object of the program, never text.
_CODE = re.compile(
    r".*_cb|on_commit|on_delivery|logger|opaque|interceptors|default[._]topic[._]conf(ig)?|.*_data|msg_order_cmp"
)

#: What a property's name looks like; whether there is one of that name, librdkafka judges.
PROPERTY = re.compile(r"\w+(\.\w+)*", re.ASCII)

#: Names that speak of a secret, and those that only say where one is.
_SECRET = re.compile(r"pas+w|pwd|passphrase|secret|token|credential|jaas|pem|key(?!tab)|kinit", re.IGNORECASE)
_PLACE = re.compile(r"\.(location|file)$", re.IGNORECASE)
#: Of the authentication's own names only these are shown: a misspelt password is a password too.
_AUTHENTICATION = re.compile(r"sasl|ssl|https|oauth", re.IGNORECASE)
_OPEN = re.compile(
    r"sasl\.mechanisms?|sasl\.username|sasl\.kerberos\.(service\.name|principal|keytab|min\..*)"
    r"|sasl\.oauthbearer\.(method|scope|grant\.type|assertion\.algorithm)|enable\.sasl\.oauthbearer\.unsecure\.jwt"
    r"|enable\.ssl\.certificate\.verification|ssl\.(endpoint\.identification\.algorithm|ca\.certificate\.stores)"
    r"|ssl\.(cipher\.suites|curves\.list|sigalgs\.list)|.*\.(location|file)"
)


def for_client(kind: Kind, properties: Mapping[str, str]) -> dict[str, str]:
    """The properties that a client of this kind understands; names unknown here go to every kind, librdkafka judges."""
    foreign = {
        "producer": CONSUMER_ONLY,
        "consumer": PRODUCER_ONLY,
        "admin": CONSUMER_ONLY | PRODUCER_ONLY,
    }[kind]
    return {name: value for name, value in properties.items() if name not in foreign}


def canonical(name: str) -> str:
    """One name for a property and its alias."""
    return ALIASES.get(name, name)


def why_refused(name: str) -> str | None:
    """Why a property can't be passed through and what to use instead; None where it can."""
    if _CODE.fullmatch(name):
        return "it takes code, not text"
    return REFUSED.get(name)


def is_secret(name: str) -> bool:
    """Whether a property's value is never shown; in doubt it isn't."""
    if _SECRET.search(name):
        return not _PLACE.search(name)
    return bool(_AUTHENTICATION.search(name)) and not _OPEN.fullmatch(name)


def secrets_of(properties: Mapping[str, str]) -> dict[str, str]:
    """Return the secret properties under every name that the client may use for them."""
    return {alias: value for name, value in properties.items() if is_secret(name) for alias in (name, canonical(name))}
